//! GraphQL by root fields: many calls in one request, under aliases, with literals or with variables of any name.

#[allow(dead_code, unreachable_pub, clippy::unwrap_used, missing_docs)]
mod world;

use std::net::IpAddr;

use world::{Call, World, bad, call, convicted, expect, ip};

fn graphql(
    from: IpAddr,
    operation: &'static str,
    template: &'static str,
    body: String,
    answer: &str,
) -> Call {
    let c = call(from, "POST", template).asks(operation).body(body);
    Call { path: "/graphql".into(), answer: answer.into(), ..c }
}

/// Log-ins, each under an alias of its own, names and passwords in variables that say nothing.
fn batch(from: IpAddr, start: u32, many: u32) -> Call {
    let list = |each: &dyn Fn(u32) -> String| (start..start + many).map(each).collect::<Vec<_>>().join(",");
    let body = format!(
        "{{\"query\":\"mutation M({}) {{ {} }}\",\"variables\":{{{}}}}}",
        list(&|n| format!("$a{n}: String!, $b{n}: String!")),
        list(&|n| format!("x{n}: signIn(email: $a{n}, password: $b{n}) {{ token }}")),
        list(&|n| format!("\"a{n}\":\"victim{n}@mail.test\",\"b{n}\":\"leaked-{n}\"")),
    );
    let answer = "{\"data\":{\"x1\":null},\"errors\":[{\"message\":\"Invalid credentials\"}]}";
    graphql(from, "mutation signIn", "/graphql#mutation.signIn", body, answer)
}

/// People who sign in by the same field, one at a time.
fn people(w: &mut World) {
    for n in 0..30u32 {
        let body = format!(
            "{{\"query\":\"mutation L($email: String!, $password: String!) {{ signIn(email: $email, password: $password) {{ token }} }}\",\
             \"variables\":{{\"email\":\"person{n}@mail.test\",\"password\":\"own{n}\"}}}}"
        );
        let c = graphql(
            ip(3, 0, n as u8),
            "mutation signIn",
            "/graphql#mutation.signIn",
            body,
            "{\"data\":{\"signIn\":{\"token\":\"0123456789abcdef\"}}}",
        );
        w.at(i64::from(n) * 7_000, &c.chrome());
    }
}

#[test]
fn log_ins_under_aliases_are_counted_each() {
    let mut w = World::new();
    w.honest();
    people(&mut w);
    for n in 0..6u32 {
        w.at(150_000 + i64::from(n) * 4_000, &batch(bad(1), n * 10, 10).chrome());
    }
    expect(&w.judge(), "credential-cracking", 1);
}

/// A list of documents, each a log-in, is answered with a list of errors.
#[test]
fn log_ins_in_a_list_of_documents_fail_where_each_does() {
    let mut w = World::new();
    w.honest();
    people(&mut w);
    for n in 0..12u32 {
        let each = |m: u32| {
            format!(
                "{{\"operationName\":\"SignIn\",\"query\":\"mutation SignIn($email:String!,$password:String!){{signIn(email:$email,password:$password){{token}}}}\",\
                 \"variables\":{{\"email\":\"victim{m}@mail.test\",\"password\":\"Password1\"}}}}"
            )
        };
        let body = (n * 8..n * 8 + 8).map(each).collect::<Vec<_>>().join(",");
        let error = "{\"errors\":[{\"message\":\"Please check and try again\"}],\"data\":{\"signIn\":null}}";
        let answer = format!("[{}]", [error; 8].join(","));
        let c =
            graphql(bad(n % 3), "mutation signIn", "/graphql#mutation.signIn", format!("[{body}]"), &answer);
        w.at(150_000 + i64::from(n) * 4_000, &c.script());
    }
    expect(&w.judge(), "credential-stuffing", 3);
}

#[test]
fn vouchers_under_aliases_are_counted_each() {
    let mut w = World::new();
    w.honest();
    let vouchers = |from: IpAddr, start: u32, many: u32, real: bool| {
        let list: Vec<String> = (start..start + many)
            .map(|n| format!("v{n}: voucher(code: \\\"SAVE{n:04}\\\") {{ percent }}"))
            .collect();
        let body = format!("{{\"query\":\"{{ {} }}\"}}", list.join(" "));
        let answer = if real {
            "{\"data\":{\"v0\":{\"percent\":10}}}"
        } else {
            "{\"data\":{\"v0\":null},\"errors\":[{\"message\":\"voucher not found\"}]}"
        };
        graphql(from, "query voucher", "/graphql#query.voucher", body, answer)
    };
    for n in 0..30u32 {
        w.at(i64::from(n) * 7_000, &vouchers(ip(3, 1, n as u8), n * 31, 1, n != 4).chrome());
    }
    for n in 0..6u32 {
        w.at(150_000 + i64::from(n) * 4_000, &vouchers(bad(1), 2_000 + n * 15, 15, false).script());
    }
    expect(&w.judge(), "coupon-abuse", 1);
}

/// A page that fetches what it shows under aliases, twenty at a time: everybody's does.
#[test]
fn pages_that_fetch_their_products_under_aliases_walk_nowhere() {
    let mut w = World::new();
    w.honest();
    let shown = |from: IpAddr, who: u32, start: u32| {
        let ids: Vec<String> =
            (0..20).map(|i| format!("\"i{i}\":\"{}\"", 9_000 + (start + i * 7) % 400)).collect();
        let fields: Vec<String> = (0..20).map(|i| format!("p{i}: product(id: $i{i}) {{ name }}")).collect();
        let body = format!(
            "{{\"query\":\"query P {{ {} }}\",\"variables\":{{{}}}}}",
            fields.join(" "),
            ids.join(",")
        );
        let answer = "{\"data\":{\"p0\":{\"name\":\"Lamp\"}}}";
        graphql(from, "query product", "/graphql#query.product", body, answer)
            .app()
            .header("Authorization", format!("Bearer 0123456789abcdef{who:08}"))
    };
    for n in 0..30u32 {
        let views = if n == 3 { 14 } else { 2 + n % 4 };
        for i in 0..views {
            w.at(i64::from(n) * 7_000 + i64::from(i) * 12_000, &shown(ip(3, 2, n as u8), n, n * 13 + i * 40));
        }
    }
    assert_eq!(convicted(&w.judge()), []);
}

//! Objects that are named in the bodies of POSTs and in JSON in queries: who walks through those of others, and who reads his own.

#[allow(dead_code, unreachable_pub, clippy::unwrap_used, missing_docs)]
mod world;

use std::net::IpAddr;

use world::{Call, World, bad, call, convicted, expect, ip};

const PAUSE: i64 = 6_000;

fn bearer(who: u32) -> String {
    format!("Bearer 0123456789abcdef{who:08}")
}

/// An invoice asked for as Connect-RPC and Twirp do it.
fn invoice(from: IpAddr, who: u32, id: u32) -> Call {
    let template = "/billing.v1.InvoiceService/GetInvoice";
    let c = call(from, "POST", template).app().body(format!("{{\"id\":\"{id}\"}}"));
    let answer = format!("{{\"id\":\"{id}\",\"total\":\"17.20\",\"due\":\"2026-12-01\",\"paid\":true}}");
    Call { answer, ..c }.header("Authorization", bearer(who))
}

/// Forty customers who look at their two or three invoices, each a few times, among other things.
fn customers(w: &mut World) {
    for n in 0..40u32 {
        let from = ip(3, 0, n as u8);
        let at = i64::from(n) * PAUSE;
        w.at(at, &call(from, "GET", "/api/home").app().header("Authorization", bearer(n)));
        for i in 0..5u32 {
            w.at(at + 1_000 + i64::from(i) * 9_000, &invoice(from, n, 770_000 + n * 31 + i % 3));
        }
    }
}

/// Nobody is convicted, nor suspected.
fn all_clean(w: World) {
    let engine = w.judge();
    assert_eq!(convicted(&engine), []);
    let suspects: Vec<_> =
        engine.verdicts().into_iter().filter(|v| v.intent == "suspicious").map(|v| v.client_ips).collect();
    assert!(suspects.is_empty(), "{suspects:?}");
}

#[test]
fn invoices_of_others_walked_through_a_method_are_bola() {
    let mut w = World::new();
    w.honest();
    customers(&mut w);
    for n in 0..60u32 {
        w.at(120_000 + i64::from(n) * 1_100, &invoice(bad(1), 900, 770_100 + n));
    }
    expect(&w.judge(), "bola", 1);
}

#[test]
fn invoices_of_others_out_of_order_are_bola_where_a_program_asks() {
    let mut w = World::new();
    w.honest();
    customers(&mut w);
    for n in 0..60u32 {
        let c = invoice(bad(1), 900, 770_000 + (n * 467) % 1_200);
        w.at(120_000 + i64::from(n) * 1_900, &c);
    }
    expect(&w.judge(), "bola", 1);
}

#[test]
fn a_program_that_reads_its_own_invoices_is_no_thief() {
    let mut w = World::new();
    w.honest();
    customers(&mut w);
    for n in 0..50u32 {
        w.at(120_000 + i64::from(n) * 200, &invoice(ip(3, 1, 1), 901, 790_000 + n));
    }
    all_clean(w);
}

#[test]
fn clerks_who_read_what_customers_ask_about_are_not_even_suspected() {
    let mut w = World::new();
    w.honest();
    customers(&mut w);
    for desk in 0..3u32 {
        let from = ip(3, 2, desk as u8);
        let t = 40_000 + i64::from(desk) * 1_700;
        for n in 0..45u32 {
            let at = t + i64::from(n) * 9_000;
            let other = (n * 7 + desk * 3) % 40;
            let find = call(from, "POST", "/billing.v1.CustomerService/SearchCustomers").app();
            let find = find.body(format!("{{\"text\":\"customer {other}\"}}"));
            w.at(at, &find.header("Authorization", bearer(800 + desk)));
            let note = call(from, "POST", "/billing.v1.NoteService/CreateNote").app();
            let note = note.body("{\"text\":\"called, wants a copy\"}");
            w.at(at + 4_000, &note.header("Authorization", bearer(800 + desk)));
            w.at(at + 2_000, &invoice(from, 800 + desk, 770_000 + other * 31 + n % 3));
        }
    }
    all_clean(w);
}

#[test]
fn a_dashboard_that_asks_for_the_same_again_and_again_is_left_alone() {
    let mut w = World::new();
    w.honest();
    customers(&mut w);
    for round in 0..12u32 {
        for n in 0..20u32 {
            let at = 30_000 + i64::from(round) * 30_000 + i64::from(n) * 150;
            w.at(at, &invoice(ip(3, 3, 1), 902, 795_000 + n * 3));
        }
    }
    all_clean(w);
}

/// The same by tRPC: JSON in the query.
fn order(from: IpAddr, who: u32, id: u32) -> Call {
    let c = call(from, "GET", "/trpc/order.byId").path(format!(
        "/trpc/order.byId?batch=1&input=%7B%220%22%3A%7B%22json%22%3A%7B%22id%22%3A{id}%7D%7D%7D"
    ));
    let answer = format!("[{{\"result\":{{\"data\":{{\"id\":{id},\"state\":\"sent\"}}}}}}]");
    Call { answer, ..c.chrome() }.header("Authorization", bearer(who))
}

#[test]
fn ids_within_json_in_a_query_are_walked_like_others() {
    let mut w = World::new();
    w.honest();
    for n in 0..40u32 {
        for i in 0..4u32 {
            let at = i64::from(n) * PAUSE + i64::from(i) * 9_000;
            w.at(at, &order(ip(3, 4, n as u8), n, 5_000 + n * 17 + i % 2));
        }
    }
    for n in 0..60u32 {
        w.at(120_000 + i64::from(n) * 1_100, &order(bad(1), 900, 5_100 + n));
    }
    expect(&w.judge(), "bola", 1);
}

#[test]
fn ids_guessed_in_bodies_without_a_session_are_enumeration() {
    let mut w = World::new();
    w.honest();
    let track = |from: IpAddr, id: u32, there: bool| {
        let c = call(from, "POST", "/api/FindParcel").body(format!("{{\"parcel\":\"PX{id}\"}}"));
        let c = if there { c } else { c.status(404) };
        Call {
            answer: if there { format!("{{\"parcel\":\"PX{id}\",\"at\":\"depot\"}}") } else { "{}".into() },
            ..c
        }
    };
    for n in 0..40u32 {
        w.at(i64::from(n) * PAUSE, &track(ip(3, 5, n as u8), 40_000 + n * 91, true).app());
    }
    for n in 0..60u32 {
        w.at(120_000 + i64::from(n) * 900, &track(bad(n % 3), 40_001 + n, n % 20 == 0).script());
    }
    expect(&w.judge(), "id-enumeration", 3);
}

/// A dependency robot with a token that reads package after package: everybody may.
#[test]
fn what_anybody_may_open_is_nobodys() {
    let mut w = World::new();
    w.honest();
    let package = |from: IpAddr, n: u32| {
        call(from, "GET", "/{package}").path(format!("/@acme/core{n}")).set("User-Agent", None)
    };
    for n in 0..24u32 {
        for i in 0..6u32 {
            let at = i64::from(n) * PAUSE + i64::from(i) * 4_000;
            let c = package(ip(3, 6, n as u8), 60 + (n * 11 + i * 5) % 70).app();
            w.at(at, &if n % 8 == 0 { c } else { c.header("Authorization", bearer(n)) });
        }
    }
    for n in 0..70u32 {
        let c = package(ip(3, 7, 1), 60 + n).header("Host", "shop.test").header("User-Agent", "renovate/39");
        w.at(100_000 + i64::from(n) * 3_000, &c.header("Accept", "*/*").header("Authorization", bearer(903)));
    }
    all_clean(w);
}

//! Somebody who is forgotten on demand while the engine goes on.

#[allow(dead_code, unreachable_pub, clippy::unwrap_used, missing_docs)]
mod world;

use std::net::IpAddr;

use sidetap_bots::{Engine, Name};
use sidetap_model::SubjectKind;
use world::{World, bad, call, ip};

fn guess(w: &mut World, t: i64, who: IpAddr, n: u32) {
    let body = format!("{{\"username\":\"user{n}\",\"password\":\"leaked{n}\"}}");
    w.at(t, &call(who, "POST", "/api/login").script().body(body).status(401));
}

/// All that the engine says, as text.
fn said(engine: &Engine) -> String {
    format!("{:?} {:?}", engine.verdicts(), engine.campaigns())
}

#[test]
fn nothing_is_said_of_who_was_forgotten_and_others_stay() {
    let mut w = World::new();
    w.honest();
    for n in 0..60 {
        for i in 0..8 {
            guess(&mut w, 30_000 + i64::from(n) * 400 + i64::from(i) * 10, bad(i), n * 8 + i);
        }
    }
    let mut engine = w.judge();
    let told = engine.take_changes();
    let (gone, left) = (bad(3), bad(4));
    assert!(said(&engine).contains(&format!("\"{gone}\"")) && told.iter().any(|v| v.client_ip == Some(gone)));
    let known = engine.clients();
    engine.forget(&Name::of(SubjectKind::Ip, &gone.to_string()).unwrap());
    assert!(engine.clients() < known);
    assert!(!said(&engine).contains(&format!("\"{gone}\"")), "{}", said(&engine));
    assert!(said(&engine).contains(&format!("\"{left}\"")));
    assert_eq!(engine.take_changes(), [], "others are said already");

    // Somebody else who gets the address later.
    let mut later = World::new();
    later.at(900_000, &call(gone, "GET", "/").chrome().html());
    engine.epoch(later.observations.last().unwrap().ts, &mut later.observations, &[]);
    engine.finish(&[]);
    assert!(!engine.verdicts().iter().any(|v| v.client_ip == Some(gone) && v.intent == "malicious"));

    // The same one, at it again.
    let mut again = World::new();
    for n in 0..60 {
        guess(&mut again, 1_000_000 + i64::from(n) * 400, gone, 1_000 + n);
    }
    engine.epoch(again.observations.last().unwrap().ts, &mut again.observations, &[]);
    let told = engine.take_changes();
    let row = told.iter().find(|v| v.client_ip == Some(gone) && v.intent == "malicious");
    assert!(row.is_some_and(|v| v.first_seen >= again.observations[0].ts), "{told:?}");
}

#[test]
fn a_session_is_forgotten_and_its_address_is_not() {
    let mut w = World::new();
    w.honest();
    let who = ip(7, 7, 7);
    for n in 0..80u32 {
        let path = format!("/api/orders/{}", 7_000 + n);
        let c = call(who, "GET", "/api/orders/{id}").path(path).script();
        w.at(40_000 + i64::from(n) * 300, &c.header("authorization", "Bearer tok-0123456789abcdef-session"));
    }
    let of_them = w.observations.iter().filter(|o| o.client.ip == who);
    let spelled = of_them.flat_map(|o| &o.sessions).next().unwrap().spelled();
    let name = Name::of(SubjectKind::Session, &spelled).unwrap();
    assert!(w.observations.iter().any(|o| name.is_in(o)));
    let mut engine = w.judge();
    let before = engine.evictions();
    engine.forget(&name);
    assert!(!said(&engine).contains(&spelled));
    assert_eq!(engine.evictions(), before, "nobody was given up for want of room");
}

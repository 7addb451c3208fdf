//! Verdicts, campaigns and stored traffic for tests.

#![allow(dead_code, clippy::unwrap_used)]

use std::sync::Arc;

use sidetap_model::rows::{CampaignRow, Reason, Subject, VerdictRow};
use sidetap_model::{SubjectKind, Ts};
use sidetap_policy::{Behind, Seen, Traffic, TrafficBuilder};

pub(crate) fn ip(value: &str) -> Subject {
    Subject { kind: SubjectKind::Ip, value: value.into(), parts: Vec::new() }
}

pub(crate) fn verdict(intent: &str, subject: Subject) -> VerdictRow {
    let reason = Reason {
        indicator: "login-failures".into(),
        weight: 3.0,
        observed: "40 of 40".into(),
        baseline: "3 %".into(),
        evidence: ["a-1".to_owned()].into(),
    };
    let address = subject.each_part().iter().find(|p| p.kind == SubjectKind::Ip).map(|p| p.value.clone());
    let address = address.and_then(|a| a.parse().ok());
    VerdictRow {
        id: format!("v-{}", subject.value),
        zone: "default".into(),
        subject,
        client_ip: address,
        client_ips: address.into_iter().collect(),
        intent: intent.into(),
        class: Some("credential-stuffing".into()),
        oat: vec!["OAT-008".into()],
        score: 95,
        automation: 90,
        coverage: Default::default(),
        campaign: None,
        phase: "online".into(),
        first_seen: Ts(0),
        detected_at: Ts::from_parts(60, 0),
        last_seen: Ts::from_parts(90, 0),
        requests: 40,
        reasons: vec![reason],
        response: String::new(),
        ttl_s: 0,
        hosts: vec!["shop.example/login".into()],
        origin: None,
        agent: None,
        policy: None,
        measures: None,
        prints: Vec::new(),
    }
}

pub(crate) fn campaign(id: &str, fingerprint: &str) -> CampaignRow {
    CampaignRow {
        id: id.into(),
        class: "credential-stuffing".into(),
        oat: Vec::new(),
        score: 90,
        phase: "online".into(),
        first_seen: Ts(0),
        detected_at: Ts(0),
        last_seen: Ts(0),
        requests: 15,
        endpoints: vec!["POST shop.example/login".into()],
        members: Vec::new(),
        signature: [("fingerprint".to_owned(), fingerprint.to_owned())].into_iter().collect(),
        outcome: Default::default(),
        reasons: Vec::new(),
        networks: Default::default(),
        countries: Default::default(),
        timeline: Vec::new(),
    }
}

pub(crate) fn request(ip: &str, agent: &str, path: &str, prints: &[&str]) -> Seen {
    Seen {
        zone: "default".into(),
        ip: ip.parse().unwrap(),
        host: "shop.example".into(),
        method: "POST".into(),
        path: path.into(),
        agent: agent.into(),
        prints: prints.iter().map(|p| Arc::from(*p)).collect(),
        sessions: Vec::new(),
        account: None,
        api_key: None,
        country: None,
        network: None,
    }
}

/// Good requests, as a store keeps them.
pub(crate) fn traffic(requests: &[Seen]) -> Traffic {
    let mut builder = TrafficBuilder::default();
    requests.iter().for_each(|r| builder.add(r.clone(), Behind::Good, None, 1, Ts(0)));
    builder.build()
}

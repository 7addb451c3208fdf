//! What a run of the world leaves: packets, labels of clients, one row a request.

use std::net::IpAddr;

use serde::Serialize;
use sidetap_model::Ts;

use crate::Packet;

/// Who a client is, in the words of the labels.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Who {
    /// `benign`, `benign-bot` or `malicious`.
    pub label: &'static str,
    /// What it does; of an attacker the class id.
    pub class: &'static str,
    /// The group of clients that behave alike.
    pub actor: &'static str,
    /// The attack that it belongs to, or empty.
    pub campaign: &'static str,
    /// The program that it claims or imitates.
    pub tool: &'static str,
}

/// One client: an address with an actor (and, on a shared address, a token that tells it apart).
#[derive(Clone, Debug, Serialize)]
pub struct Label {
    /// Its id.
    pub id: String,
    /// Its address.
    pub src_ip: IpAddr,
    /// First request, seconds since the epoch.
    pub start: f64,
    /// Last answer.
    pub end: f64,
    /// Label.
    pub label: &'static str,
    /// Class.
    pub class: &'static str,
    /// Actor.
    pub actor: &'static str,
    /// Campaign.
    pub campaign: &'static str,
    /// Tool.
    pub tool: &'static str,
    /// Kind of network.
    pub network: &'static str,
    /// Number of its requests.
    pub n_requests: u32,
    /// What its requests carry, where it shares its address.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub matching: Option<Match>,
}

/// A header and a value within it that only one client sends.
#[derive(Clone, Debug, Serialize)]
pub struct Match {
    /// Name, lower case.
    pub header: &'static str,
    /// What its value contains.
    pub value: String,
}

/// One request with its truth.
#[derive(Clone, Debug, Serialize)]
pub struct RequestRow {
    /// Time, seconds since the epoch.
    pub t: f64,
    /// Client address.
    pub ip: IpAddr,
    /// Port of the connection's source.
    pub port: u16,
    /// Method.
    pub method: &'static str,
    /// Host.
    pub host: String,
    /// Request-target.
    pub uri: String,
    /// Status, 0 where no answer came.
    pub status: u16,
    /// User agent.
    pub ua: String,
    /// Label.
    pub label: &'static str,
    /// Class.
    pub cls: &'static str,
    /// Actor.
    pub actor: &'static str,
    /// Campaign.
    pub campaign: &'static str,
    /// Id of the client's label.
    pub entity: String,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Packets in time order.
    pub packets: Vec<Packet>,
    /// One label a client that sent anything.
    pub labels: Vec<Label>,
    /// One row a request.
    pub requests: Vec<RequestRow>,
}

impl Record {
    /// Opens a label; gives its index.
    pub(crate) fn client(&mut self, who: Who, ip: IpAddr, network: &'static str) -> usize {
        let Who { label, class, actor, campaign, tool } = who;
        let id = format!("c{:05}", self.labels.len());
        let (src_ip, start, end, n_requests, matching) = (ip, f64::MAX, 0.0, 0, None);
        let row = Label {
            id,
            src_ip,
            start,
            end,
            label,
            class,
            actor,
            campaign,
            tool,
            network,
            n_requests,
            matching,
        };
        self.labels.push(row);
        self.labels.len() - 1
    }

    /// Adds a request of the client at `index`.
    pub(crate) fn request(&mut self, index: usize, row: RequestRow, end: Ts) {
        if let Some(label) = self.labels.get_mut(index) {
            label.start = label.start.min(row.t);
            label.end = label.end.max(seconds(end));
            label.n_requests += 1;
        }
        self.requests.push(row);
    }

    /// Puts packets and rows in time order and drops clients that never sent anything.
    pub(crate) fn sort(&mut self) {
        self.packets.sort_by_key(|p| p.ts);
        self.requests.sort_by(|a, b| a.t.total_cmp(&b.t));
        self.labels.retain(|l| l.n_requests > 0);
    }
}

/// Seconds since the epoch, rounded to microseconds.
pub(crate) fn seconds(ts: Ts) -> f64 {
    (ts.0 / 1000) as f64 / 1e6
}

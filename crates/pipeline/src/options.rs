use std::collections::BTreeSet;
use std::path::PathBuf;

use ipnet::IpNet;
use sidetap_model::rows::{CampaignGist, RunData, VerdictRow};
use sidetap_model::{HashKey, SubjectKind, Ts};

/// How a run is to go.
#[derive(Debug)]
pub struct Options {
    /// Worker threads, at least 1.
    pub workers: usize,
    /// Bytes that all tables together may hold.
    pub memory_limit: u64,
    /// Networks of proxies whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Headers of such proxies that name the client outright, in order of preference.
    pub client_headers: Vec<String>,
    /// The site's key.
    pub hash_key: HashKey,
    /// False: stop at exchanges (`--no-analysis`).
    pub analysis: bool,
    /// Where to write `exchanges.ndjson`, where it is wanted.
    pub exchanges: Option<PathBuf>,
    /// Keep exchanges that findings and verdicts name ([`Outcome::evidence`]).
    pub evidence: bool,
    /// Who hears every exchange, where `evidence` is kept.
    pub listener: Option<Listener>,
    /// Save packets of flagged flows.
    pub flagged: Option<crate::FlaggedOptions>,
    /// Live: shed and count rather than wait when a queue is full.
    pub live: bool,
    /// Of the answers of an endpoint that has long been settled one in so many is read whole.
    pub answer_sample: u16,
    /// Sensitive-data types.
    pub sensitive: std::sync::Arc<sidetap_sensitive::Pack>,
    /// Exploit patterns.
    pub threats: std::sync::Arc<sidetap_threats::Pack>,
    /// Bot detection.
    pub bots: sidetap_bots::Config,
    /// API descriptions to compare with.
    pub specs: Vec<sidetap_discovery::Spec>,
    /// Templates that people set: endpoints merged or told apart.
    pub shapes: Vec<sidetap_discovery::Spec>,
    /// What an earlier run learned (`--state`): the bytes that [`Outcome::state`] was.
    pub state: Option<Vec<u8>>,
    /// True where [`Outcome::state`] is wanted.
    pub keep_state: bool,
    /// Seconds of traffic that may lie between what was learned and what is judged by it.
    pub state_max_age_s: i64,
    /// Names of zones, by index.
    pub zones: Vec<String>,
    /// How packets are decoded. Caps of fragments and the key of copies are set from the limits and the key above.
    pub decode: sidetap_capture::DecodeOptions,
}

/// Hears exchanges in the run's order: the beginning of a line of `exchanges.ndjson`, up to the value of its last field, and the
/// template of its endpoint.
#[derive(Clone)]
pub struct Listener(pub std::sync::Arc<Hear>);

/// What a [`Listener`] does.
pub type Hear = dyn Fn(&[u8], Option<&str>) + Send + Sync;

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listener")
    }
}

/// What a run gave.
#[derive(Debug, Default)]
pub struct Outcome {
    /// All rows and the summary (without `wall_ms` and `peak_rss_bytes`, which the caller measures).
    pub run: RunData,
    /// OpenAPI documents by host.
    pub openapi: Vec<(String, serde_json::Value)>,
    /// What was learned, for the next run.
    pub state: Option<Vec<u8>>,
    /// Exchanges that findings and verdicts name, as far as they were still there.
    pub evidence: Vec<crate::Evidence>,
    /// Of how many exchanges which ones stand for a campaign, finding or place of sensitive data, where evidence was kept.
    pub samples: Vec<crate::Sampled>,
    /// Exchanges that were wanted as evidence and not there any more.
    pub missed: u64,
    /// Calls of endpoints by time, of a replay that keeps evidence.
    pub calls: Vec<(sidetap_model::EndpointId, Ts, u64)>,
    /// Outputs that could not be written, with the reason.
    pub write_errors: Vec<sidetap_model::rows::NotWritten>,
    /// Sources that were recognised as proxies though nothing was configured.
    pub learned_proxies: Vec<std::net::IpAddr>,
}

/// What an epoch brought.
#[derive(Clone, Debug, Default)]
pub struct Changed {
    /// Verdicts that are new or changed.
    pub verdicts: Vec<VerdictRow>,
    /// The campaigns that they name, as they are by now, where [`Hooks::wants_campaigns`].
    pub campaigns: Vec<CampaignGist>,
}

impl Changed {
    /// These verdicts; `ask` is asked for their campaigns where they name some and somebody wants to know.
    pub(crate) fn of(
        verdicts: Vec<VerdictRow>,
        hooks: &mut dyn Hooks,
        ask: impl FnOnce(BTreeSet<String>) -> Vec<CampaignGist>,
    ) -> Changed {
        let wants = hooks.wants_campaigns();
        let named: BTreeSet<String> =
            verdicts.iter().filter(|_| wants).filter_map(|v| v.campaign.clone()).collect();
        let campaigns = if named.is_empty() { Vec::new() } else { ask(named) };
        Changed { verdicts, campaigns }
    }
}

/// What a live run has found so far, verdicts apart: those come as they change.
#[derive(Debug, Default)]
pub struct Found {
    /// Inventory, sensitive data, findings, campaigns, traffic.
    pub run: RunData,
    /// OpenAPI documents by host.
    pub openapi: Vec<(String, serde_json::Value)>,
    /// Exchanges that were named since the last time.
    pub evidence: Vec<crate::Evidence>,
    /// Of how many exchanges which ones stand for a campaign, finding or place of sensitive data, as far as that changed.
    pub samples: Vec<crate::Sampled>,
    /// Exchanges that were wanted as evidence since the last time and not there any more.
    pub missed: u64,
}

/// Somebody to forget, named as outputs spell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forget {
    /// What the name is of.
    pub kind: SubjectKind,
    /// The name.
    pub value: String,
}

impl Forget {
    /// Whether the name stands in a text by itself.
    pub(crate) fn is_in(&self, text: &[u8]) -> bool {
        // Most texts do not have it at all.
        memchr::memmem::find(text, self.value.as_bytes()).is_some()
            && sidetap_model::words(text, self.value.as_bytes()).next().is_some()
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Packets read.
    pub packets: u64,
    /// Bytes of input read.
    pub bytes_read: u64,
    /// Bytes of input in all, where known.
    pub bytes_total: Option<u64>,
    /// Exchanges so far.
    pub exchanges: u64,
    /// Packets that the kernel or the interface dropped.
    pub kernel_dropped: u64,
    /// Packets of flows that were left out because workers could not keep up.
    pub shed: u64,
    /// Packet time.
    pub now: Option<Ts>,
}

/// What the caller wants to hear of while a run goes on. Called on the caller's thread.
pub trait Hooks {
    /// Called a few times a second.
    fn progress(&mut self, _progress: &Progress) {}

    /// Called after each epoch: the listener has heard what was judged in it.
    fn judged(&mut self) {}

    /// Called after each epoch that brought new or changed verdicts; `now` is packet time.
    fn verdicts(&mut self, _now: Ts, _changed: Changed) {}

    /// Asked before verdicts are handed on: whether somebody decides by the campaigns that they name, which takes its time.
    fn wants_campaigns(&mut self) -> bool {
        false
    }

    /// Called now and then while a live run goes on that keeps its state: what was learned so far.
    fn state(&mut self, _bytes: Vec<u8>) {}

    /// Asked with each second of traffic judged, at most twice a second, of a live run that keeps evidence: whether to be handed what
    /// was found so far, which takes its time.
    fn wants_found(&mut self) -> bool {
        true
    }

    /// Called where [`Hooks::wants_found`] said so: what was found so far.
    fn found(&mut self, _now: Ts, _found: Found) {}

    /// Asked between epochs of a live run: whom it has to forget from now on.
    fn to_forget(&mut self) -> Vec<Forget> {
        Vec::new()
    }

    /// Called once they are forgotten: nothing that is handed on from now on tells of what they did before.
    fn forgot(&mut self) {}

    /// Called with what became known of an input: an interface that went away or came back.
    fn news(&mut self, _line: &str) {}

    /// True to end the run: what was read is still judged.
    fn stop(&self) -> bool {
        false
    }
}

/// Hooks that hear nothing.
impl Hooks for () {}

/// Why a run could not start.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// What an earlier run learned cannot be read.
    #[error("the state cannot be used: {0}")]
    State(String),
    /// A thread of the data path ended early: a defect.
    #[error("a {0} thread ended early; this is a defect, please report it")]
    Died(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Wants(bool);

    impl Hooks for Wants {
        fn wants_campaigns(&mut self) -> bool {
            self.0
        }
    }

    fn verdict(campaign: Option<&str>) -> VerdictRow {
        serde_json::from_value(serde_json::json!({
            "id": "v", "zone": "default", "subject": {"kind": "ip", "value": "192.0.2.1"}, "client_ip": null, "client_ips": [],
            "intent": "malicious", "class": null, "oat": [], "score": 90, "automation": 90, "coverage": {}, "campaign": campaign,
            "phase": "online", "first_seen": "2026-01-01T00:00:00Z", "detected_at": "2026-01-01T00:00:00Z", "requests": 1,
            "reasons": [], "response": "none", "ttl_s": 1
        }))
        .unwrap()
    }

    #[test]
    fn campaigns_are_asked_for_once_where_somebody_wants_them() {
        let asked = |wants: bool, campaigns: &[Option<&str>]| {
            let mut asked = Vec::new();
            let verdicts = campaigns.iter().map(|c| verdict(*c)).collect();
            let changed = Changed::of(verdicts, &mut Wants(wants), |ids| {
                asked.push(ids.into_iter().collect::<Vec<_>>().join(" "));
                Vec::new()
            });
            assert_eq!(changed.verdicts.len(), campaigns.len());
            asked
        };
        assert_eq!(asked(true, &[Some("b"), None, Some("a"), Some("b")]), ["a b"]);
        assert!(asked(true, &[None]).is_empty());
        assert!(asked(false, &[Some("a")]).is_empty());
    }
}

use std::net::IpAddr;

use sidetap_bots::Part;
use sidetap_discovery::{Context, Side, Visit};
use sidetap_model::{Anomaly, AnomalySet, Body, ClientAddr, Completeness, EndpointRef, Exchange, Headers};
use sidetap_sensitive::Dir;
use sidetap_wire::body::{self, Kind, WalkLimits, WalkScratch};
use sidetap_wire::coding::{self, CodingLimits, CodingScratch};
use sidetap_wire::forward;
use sidetap_wire::target::{self, Target};

use crate::hops::Mark;
use crate::item::{Item, Order, Seen as Kept, SourceSeen, Whole};
use crate::options::Options;
use crate::proxies::ProxyRules;
use crate::raw::Raw;
use crate::redact;
use crate::row::{self, Shown};
use crate::sample::names_of;
use crate::snapshot::World;
use crate::spool::LookupKey;

/// Which part of an exchange is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// All of it.
    Whole,
    /// The request; its answer is slow.
    Request,
    /// All of it, after its request was looked at before.
    Answer,
}

/// All stateless work on exchanges; each worker has its own.
pub(crate) struct Analyzer {
    proxies: ProxyRules,
    analysis: bool,
    answer_sample: u16,
    lines: bool,
    evidence: bool,
    world: Option<World>,
    hosts: Hosts,
    eyes: Eyes,
    coding: CodingScratch,
    walk: WalkScratch,
}

/// Everybody who looks at heads and body tokens.
struct Eyes {
    discovery: sidetap_discovery::Extractor,
    bots: sidetap_bots::Extractor,
    sensitive: sidetap_sensitive::Scanner,
    threats: sidetap_threats::Scanner,
}

impl Analyzer {
    pub(crate) fn new(options: &Options) -> Self {
        Analyzer {
            proxies: ProxyRules {
                trusted: options.trusted_proxies.clone(),
                headers: options.client_headers.clone(),
            },
            analysis: options.analysis,
            answer_sample: options.answer_sample,
            lines: options.exchanges.is_some() || options.evidence,
            evidence: options.evidence,
            world: None,
            hosts: Hosts::default(),
            eyes: Eyes {
                discovery: sidetap_discovery::Extractor::new(),
                bots: sidetap_bots::Extractor::new(options.hash_key.clone(), options.bots.agents())
                    .with_key_headers(options.bots.known.headers())
                    .with_stated(options.bots.stated.clone()),
                sensitive: sidetap_sensitive::Scanner::new(&options.sensitive, options.hash_key.clone()),
                threats: sidetap_threats::Scanner::new(&options.threats),
            },
            coding: CodingScratch::default(),
            walk: WalkScratch::default(),
        }
    }

    /// From now on exchanges are compared with this state of the world.
    pub(crate) fn enter(&mut self, world: World) {
        self.world = Some(world);
    }

    /// What was left out because one exchange held too much of it, by what it was.
    pub(crate) fn left_out(&self) -> [(&'static str, u64); 4] {
        let (unproven, cut) = self.eyes.threats.unproven();
        [
            ("sightings-per-exchange", self.eyes.sensitive.dropped()),
            ("attempts-per-exchange", self.eyes.threats.dropped()),
            ("proofs-per-exchange", unproven),
            ("proofs-cut", cut),
        ]
    }

    /// What later stages want of `ex`; nothing where nobody wants anything. Anomalies of its bodies are added to it.
    pub(crate) fn analyze(&mut self, ex: &mut Exchange, stage: Stage) -> Option<Item> {
        let world = self.world.as_ref()?;
        let client = self.proxies.client_of(ex, &world.proxies);
        let order = Order {
            ts: if stage == Stage::Answer { ex.end } else { ex.ts },
            flow: ex.flow_id,
            seq: ex.seq,
            stage: u8::from(stage != Stage::Request),
        };
        // Without analysis only finished exchanges go on: the late answer is the first that is seen of one.
        let is_first = stage != Stage::Answer || !self.analysis;
        // Anybody can have written what comes in a tunnel that is not trusted: it has its line, and nobody learns from it, nor takes
        // another exchange for a later hop of it.
        let is_hearsay = ex.anomalies.contains(Anomaly::TunnelUntrusted);
        let hop = if is_first && !is_hearsay { Mark::of(ex, &client, stage == Stage::Request) } else { None };
        if !self.analysis || is_hearsay {
            // A request that is shown early has its line when it is over.
            let line = (self.lines && stage != Stage::Request).then(|| self.line(ex, &client, None, None))?;
            let whole = Whole {
                hop,
                discovery: None,
                sightings: vec![],
                attempts: vec![],
                source: None,
                line: Some(line),
                seen: None,
            };
            let zone = ex.zone;
            return Some(Item::new(order, zone, None, None, None, Some(Box::new(whole))));
        }
        let found = self.hosts.locate(ex, world);
        let visit = found.as_ref().map_or(Visit::Light, |f| f.visit(ex.flow_id, ex.seq));
        let answer = ex.response.as_ref().map_or((0, 0), |r| (r.status, r.body.len));
        let stands_for = found
            .as_ref()
            .map_or(1, |f| f.stands_for(ex.flow_id, ex.seq, self.answer_sample, answer.0, answer.1));
        let known = found.as_ref().is_some_and(|f| f.known);
        let mut endpoint = found.map(|f| f.endpoint);
        self.look(ex, stage, visit, stands_for);
        let attempts = self.eyes.threats.take();
        let (signs, proofs) = (self.eyes.threats.take_signs(), self.eyes.threats.take_proofs());
        for attempt in &attempts {
            self.eyes.bots.attempt(attempt.class());
        }
        let hop = hop.map(|mark| mark.with(attempts.iter().map(|a| a.class())));
        self.eyes.bots.operation(self.eyes.discovery.operation());
        let part = match stage {
            Stage::Whole => Part::Whole,
            Stage::Request => Part::RequestOnly,
            Stage::Answer => Part::Answer,
        };
        let bots = endpoint
            .as_ref()
            .filter(|_| has_whole_heads(ex))
            .and_then(|e| self.eyes.bots.finish(ex, client, e.clone(), part))
            .map(Box::new);
        let sightings = self.eyes.sensitive.take();
        if let Some(e) =
            endpoint.as_mut().filter(|_| !known && sightings.iter().any(|s| s.location.starts_with("path:")))
        {
            // The template of a path that is in no inventory is the path: it must not name what the row masks.
            if let Some(shown) = redact::target(&mut self.eyes.sensitive, b"GET", e.template.as_bytes()) {
                e.template = String::from_utf8_lossy(&shown).into();
            }
        }
        let (open, hop) = if stage == Stage::Request { (hop.map(Box::new), None) } else { (None, hop) };
        let whole = (stage != Stage::Request).then(|| {
            let actors = bots.as_ref().filter(|_| self.lines).map(|b| b.actors());
            let line = self.lines.then(|| self.line(ex, &client, endpoint.as_ref(), actors.as_ref()));
            let seen = self.evidence.then(|| {
                let names = actors.as_ref().map(names_of).unwrap_or_default();
                Box::new(Kept { raw: Raw::of(ex, signs, proofs), names })
            });
            let discovery = endpoint.as_ref().and_then(|e| self.discovered(ex, e, &client, visit));
            Box::new(Whole { hop, discovery, sightings, attempts, source: source_seen(ex), line, seen })
        });
        let zone = ex.zone;
        Some(Item::new(order, zone, endpoint, bots, open, whole))
    }

    /// Shows the head and both bodies to everybody, in one pass each.
    ///
    /// The answer's body stands for `stands_for` of its like; where that is none, only its beginning is read, and nobody looks
    /// for sensitive data in it.
    fn look(&mut self, ex: &mut Exchange, stage: Stage, visit: Visit, stands_for: u32) {
        let mut anomalies = AnomalySet::default();
        let eyes = &mut self.eyes;
        eyes.discovery.reset();
        eyes.bots.begin();
        eyes.threats.begin();
        eyes.sensitive.begin(Dir::Request);
        if let Some(request) = &ex.request {
            let split = target::split(&request.method, &request.target);
            if let Some(path) = split.path {
                eyes.sensitive.path(&target::percent_decoded(path));
            }
            if let Some(query) = split.query {
                eyes.sensitive.query(query);
            }
            eyes.sensitive.headers(&request.headers);
            eyes.threats.request(request);
            let mut body = Seen {
                headers: &request.headers,
                body: &request.body,
                coding: &mut self.coding,
                walk: &mut self.walk,
                anomalies: &mut anomalies,
            };
            body.show(eyes, Side::Request, visit, false);
        }
        if let Some(response) = ex.response.as_ref().filter(|_| stage != Stage::Request) {
            eyes.sensitive.begin(Dir::Response);
            eyes.sensitive.headers(&response.headers);
            eyes.threats.response(response);
            let mut body = Seen {
                headers: &response.headers,
                body: &response.body,
                coding: &mut self.coding,
                walk: &mut self.walk,
                anomalies: &mut anomalies,
            };
            let skim = stands_for == 0 && eyes.threats.is_idle();
            eyes.sensitive.count_as(stands_for);
            body.show(eyes, Side::Response, visit, skim);
        }
        ex.anomalies.extend(&anomalies);
    }

    fn discovered(
        &mut self,
        ex: &Exchange,
        endpoint: &EndpointRef,
        client: &ClientAddr,
        visit: Visit,
    ) -> Option<sidetap_discovery::Observation> {
        let request = ex.request.as_ref()?;
        let split = target::split(&request.method, &request.target);
        Some(self.eyes.discovery.take(&Context {
            exchange: ex,
            zone: &ex.zone,
            path: split.path?,
            query: split.query,
            endpoint,
            client: client.ip,
            visit,
        }))
    }

    /// The exchange's line, sensitive values in its target masked.
    fn line(
        &mut self,
        ex: &Exchange,
        client: &ClientAddr,
        endpoint: Option<&EndpointRef>,
        actors: Option<&sidetap_bots::Actors>,
    ) -> (Vec<u8>, Option<LookupKey>) {
        let request = ex.request.as_ref();
        let hidden = request.and_then(|r| {
            if redact::is_plain(&target::split(&r.method, &r.target), &r.target) {
                return None;
            }
            redact::target(&mut self.eyes.sensitive, &r.method, &r.target)
        });
        let shown: Option<&[u8]> = hidden.as_deref().or_else(|| request.map(|r| r.target.as_slice()));
        let host = request.and_then(target::host_of).map(|(host, _)| host);
        let agent = request
            .and_then(|r| r.headers.get("user-agent"))
            .map(|a| redact::agent(&mut self.eyes.sensitive, a));
        let shown = Shown { target: shown, agent: agent.as_deref(), host: host.as_deref(), actors };
        let line = row::line(ex, client, &shown);
        let key = endpoint.zip(request).and_then(|(e, r)| {
            Some(LookupKey {
                zone: ex.zone.to_string(),
                host: e.host.to_string(),
                method: e.method.to_string(),
                path: target::split(&r.method, &r.target).path?.to_vec(),
            })
        });
        (line, key)
    }
}

/// What is read of an answer that is not read whole: what says how a call ended stands at its beginning.
const SKIM: WalkLimits = WalkLimits { depth: 64, tokens: 48 };
const SKIM_CODING: CodingLimits = CodingLimits { size: 4 << 10, ratio: 200, layers: 2, window: 22 };
/// Anybody can send a request: its coding may ask for less than that of an answer.
const ASKED_CODING: CodingLimits = CodingLimits { size: 1 << 20, ratio: 200, layers: 2, window: 18 };

/// Pages are told apart by their length too.
fn is_page(content_type: &[u8]) -> bool {
    content_type.windows(4).any(|w| w.eq_ignore_ascii_case(b"html"))
}

/// False where headers may be missing because the mirror lost or cut them: who is judged by what he did not send must have been
/// heard out. An answer that its client broke off had its head.
fn has_whole_heads(ex: &Exchange) -> bool {
    let lost = |gap, end| ex.completeness.contains(gap) || ex.completeness.contains(end);
    let asked = ex.request.as_ref().is_some_and(|r| r.body.gap_at.is_some())
        || !lost(Completeness::REQUEST_GAP, Completeness::REQUEST_TRUNCATED);
    let answered = ex.response.as_ref().is_none_or(|r| r.body.gap_at.is_some())
        || !ex.completeness.contains(Completeness::SNAPPED)
        || !lost(Completeness::RESPONSE_GAP, Completeness::RESPONSE_TRUNCATED);
    asked && answered
}

/// A body on its way before everybody's eyes.
struct Seen<'a> {
    headers: &'a Headers,
    body: &'a Body,
    coding: &'a mut CodingScratch,
    walk: &'a mut WalkScratch,
    anomalies: &'a mut AnomalySet,
}

impl Seen<'_> {
    fn show(&mut self, eyes: &mut Eyes, side: Side, visit: Visit, skim: bool) {
        let certain = self.body.gap_at.map_or(self.body.bytes.len(), |at| at as usize);
        let bytes = self.body.bytes.get(..certain).unwrap_or(&self.body.bytes);
        let content_type = self.headers.get("content-type");
        let bytes = if skim && !content_type.is_some_and(is_page) {
            // The rest of it is not read: where it breaks off says nothing.
            coding::decode(self.headers, bytes, &SKIM_CODING, self.coding, &mut AnomalySet::default())
        } else {
            let limits = if side == Side::Request { ASKED_CODING } else { CodingLimits::default() };
            coding::decode(self.headers, bytes, &limits, self.coding, self.anomalies)
        };
        let kind = body::kind_of(content_type, bytes);
        match side {
            Side::Request => eyes.bots.request_body(bytes),
            Side::Response => eyes.bots.response_body(bytes),
        }
        if kind == Kind::Empty {
            return;
        }
        eyes.discovery.begin(side, visit, content_type, kind, bytes);
        if skim {
            eyes.discovery.end();
            body::walk(kind, content_type, bytes, &SKIM, self.walk, &mut eyes.bots);
            return;
        }
        let mut all = (&mut eyes.discovery, &mut eyes.bots, &mut eyes.sensitive, &mut eyes.threats);
        let walked = body::walk(kind, content_type, bytes, &WalkLimits::default(), self.walk, &mut all);
        eyes.discovery.end();
        if walked.malformed && !self.body.is_cut() {
            self.anomalies.insert(Anomaly::BodyMalformed);
        }
        if let (Kind::Multipart, Some(declared)) = (kind, content_type) {
            self.anomalies.extend(&body::multipart_anomalies(declared, bytes, !self.body.is_cut()));
        }
        if walked.too_deep {
            self.anomalies.insert(Anomaly::BodyTooDeep);
        }
    }
}

/// Hosts as endpoints spell them, by the bytes of the Host field: a worker's requests are for few hosts.
#[derive(Debug, Default)]
struct Hosts([Spelled; Hosts::SLOTS]);

#[derive(Debug, Default)]
struct Spelled {
    field: Vec<u8>,
    host: String,
}

impl Hosts {
    const SLOTS: usize = 32;

    /// The endpoint that the world knows for a request; nothing for CONNECT and where there is no request.
    fn locate(&mut self, ex: &Exchange, world: &World) -> Option<sidetap_discovery::Found> {
        let request = ex.request.as_ref()?;
        let Target { path, authority, .. } = target::split(&request.method, &request.target);
        let path = path?;
        let field = request.headers.get("host").filter(|_| authority.is_none_or(<[u8]>::is_empty));
        let field = field.unwrap_or_default();
        let known = self.0.get_mut(body::hash_bytes(field) as usize % Self::SLOTS)?;
        if field.is_empty() || field != known.field {
            let named = target::host_of(request);
            known.field.clear();
            if named.is_some() {
                known.field.extend_from_slice(field);
            }
            known.host = match named {
                Some((host, Some(port))) if port != 80 && port != 443 => match host.contains(':') {
                    // An IPv6 address (RFC 3986 section 3.2.2).
                    true => format!("[{host}]:{port}"),
                    false => format!("{host}:{port}"),
                },
                Some((host, _)) => host,
                None => ex.flow.server.ip.to_string(),
            };
        }
        let method = target::lossy_utf8_percent(&request.method);
        Some(world.discovery.find(ex.zone.as_str(), &known.host, &method, path))
    }
}

fn source_seen(ex: &Exchange) -> Option<SourceSeen> {
    let request = ex.request.as_ref()?;
    let hops = forward::hops(&request.headers);
    let nearest = hops.x_forwarded_for.last().or_else(|| hops.forwarded.last()).and_then(|n| n.ip());
    let agent = request.headers.get("user-agent").unwrap_or_default();
    Some(SourceSeen {
        zone: ex.flow.zone,
        ip: ex.flow.client.ip,
        forwarded: nearest.map(|ip| match ip {
            IpAddr::V4(ip) => body::hash_bytes(&ip.octets()),
            IpAddr::V6(ip) => body::hash_bytes(&ip.octets()),
        }),
        agent: body::hash_bytes(agent),
    })
}

use sidetap_model::{Addr, Anomaly, AnomalySet, Completeness, Exchange, FlowId, FlowKey, Ts, Zone};
use sidetap_wire::http1::{Probe, likely_request, probe_request, probe_response};

use super::doubt::Doubt;
use super::kind::Kind;
use super::track::Side;
use super::{BASE, Cx, FlowLimits, Mark};
use crate::http::{Beginning, Facts, Held, Http, extend};
use crate::proxy;

/// Bytes of one direction kept while it is not clear what they begin.
pub(super) const LONGEST_OPENING: usize = 64 << 10;
/// So many bytes of a message's first word may come alone.
const LONGEST_PREFIX: usize = 16;
/// Beyond so many bytes more of a first line without an end changes nothing.
const SETTLED: usize = 2 << 10;
/// More empty lines than this are nothing else's beginning.
const LONGEST_BLANK: usize = 64;
/// Tunnels one inside the other that are looked into.
const MOST_TUNNELS: u8 = 4;
/// A flow seen from its start that is not HTTP within so many bytes is not looked at any longer.
const PATIENCE: u64 = 256 << 10;

/// Systems give clients no lower ports unless they are told to.
const LOWEST_DYNAMIC: u16 = 10_000;
/// Ports from here on are given to clients by most systems; few servers have one.
const HIGHEST_SERVICE: u16 = 32_768;

/// The ends of a flow in the order of their addresses, and its name.
pub(super) struct Ends {
    pub(super) zone: Zone,
    pub(super) zone_index: u16,
    pub(super) ends: [Addr; 2],
    pub(super) id: FlowId,
    /// It came in a tunnel that is not trusted.
    pub(super) foreign: bool,
}

/// What stands on every exchange of a flow.
pub(crate) struct Address {
    pub(crate) zone: Zone,
    pub(crate) flow: FlowKey,
    pub(crate) flow_id: FlowId,
    pub(crate) proxied_for: Option<Addr>,
}

/// What a flow carries.
pub(super) struct App {
    address: Address,
    /// The two ends in the order of their addresses.
    ends: [Addr; 2],
    pub(super) client: Option<Side>,
    /// The handshake showed who the client is.
    opened: bool,
    /// For each side, whether it seemed to ask, and to be answered, though it hardly is the client.
    contrary: [[bool; 2]; 2],
    facts: Facts,
    pub(super) state: State,
    kind: Kind,
    /// What goes through it since it was handed over.
    inner: Option<Kind>,
    /// Up to where a side sent nothing but empty lines, from its first byte on.
    blank: [u64; 2],
    /// Anomalies that no exchange has taken with it yet.
    odd: AnomalySet,
    acked: [u64; 2],
    /// Number of the next exchange.
    seq: u32,
    /// Tunnels that the bytes are in.
    tunnels: u8,
    /// Sides whose first bytes were lost.
    lost: [bool; 2],
    /// An exchange came of it.
    told: bool,
    /// Sides that said anything since the connection, or the tunnel, began.
    pub(super) spoke: [bool; 2],
    /// What a side seems to speak by its first bytes, while the other one is still to be heard: a protocol takes two.
    pub(super) claim: Option<(Side, Kind)>,
    /// Who the client is was taken from one request, and nothing else speaks for it yet.
    pub(super) doubt: Option<Box<Doubt>>,
}

pub(super) enum State {
    /// Not known yet what it is.
    Opening([Opening; 2], u64),
    Http(Box<Http>),
    /// Known not to be HTTP/1, or not worth looking at: bytes are passed over.
    Other,
    Finished,
}

/// The first bytes of a direction, while they may still become a message.
#[derive(Default)]
pub(super) struct Opening {
    pub(super) bytes: Vec<u8>,
    pub(super) at: Option<Mark>,
    pub(super) refused: bool,
    /// It is the beginning of a request line that has no end yet, and long enough to be nothing else.
    pub(super) settled: bool,
}

impl Opening {
    fn new(bytes: Vec<u8>, at: Mark) -> Self {
        let line = bytes.trim_ascii_start();
        let settled =
            bytes.len() > SETTLED && line.first().is_some_and(u8::is_ascii_graphic) && !line.contains(&b'\n');
        Opening { bytes, at: Some(at), refused: false, settled }
    }

    /// Takes more of a line that is settled, as long as it is no more than that: then it need not be judged anew.
    fn takes(&mut self, more: &[u8]) -> bool {
        let plain = |b: &u8| *b >= 0x20 || matches!(b, b'\t' | b'\r');
        let takes =
            self.settled && self.bytes.len() + more.len() <= LONGEST_OPENING && more.iter().all(plain);
        if takes {
            extend(&mut self.bytes, more);
        }
        takes
    }
}

impl App {
    pub(super) fn new(ends: Ends) -> Self {
        let [client, server] = ends.ends;
        let flow = FlowKey { zone: ends.zone_index, client, server };
        App {
            address: Address { zone: ends.zone, flow, flow_id: ends.id, proxied_for: None },
            ends: ends.ends,
            client: None,
            opened: false,
            contrary: [[false; 2]; 2],
            facts: Facts { foreign: ends.foreign, ..Facts::default() },
            state: State::Opening(Default::default(), 0),
            kind: Kind::Unknown,
            inner: None,
            blank: [BASE; 2],
            odd: AnomalySet::default(),
            acked: [BASE; 2],
            seq: 0,
            tunnels: 0,
            lost: [false; 2],
            told: false,
            spoke: [false; 2],
            claim: None,
            doubt: None,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// What goes through it since CONNECT or Upgrade handed it over.
    pub(super) fn inner(&self) -> Option<Kind> {
        self.inner
    }

    /// An exchange came of it.
    pub(super) const fn has_told(&self) -> bool {
        self.told
    }

    pub(super) const fn is_tunnelled(&self) -> bool {
        self.tunnels > 0
    }

    pub(super) fn held(&self) -> usize {
        match &self.state {
            State::Opening(sides, _) => sides.iter().map(|s| s.bytes.capacity()).sum(),
            State::Http(http) => http.held() + self.doubt.as_ref().map_or(0, |d| d.held()),
            State::Other | State::Finished => 0,
        }
    }

    /// The handshake shows who opened the connection.
    pub(super) fn opened_by(&mut self, side: Side) {
        if self.client.is_none() {
            self.orient(side);
            self.opened = true;
        }
    }

    /// The side is known to be the server's.
    pub(super) fn is_server(&self, side: Side) -> bool {
        self.client.is_some_and(|client| client != side)
    }

    pub(super) fn orient(&mut self, client: Side) {
        self.client = Some(client);
        self.address.flow.client = self.ends[client & 1];
        self.address.flow.server = self.ends[(client ^ 1) & 1];
    }

    pub(super) fn joined(&mut self, from_start: bool) {
        self.facts.from_start = from_start;
    }

    /// Nothing of the other side is to be seen.
    pub(super) const fn is_one_sided(&self) -> bool {
        !self.facts.both_sides
    }

    /// It was seen from its first byte on.
    pub(super) fn is_seen_whole(&self) -> bool {
        self.facts.from_start
    }

    pub(super) fn sides_seen(&mut self, both: bool) {
        self.facts.both_sides = both;
    }

    pub(super) fn acknowledged(&mut self, low: u64, high: u64) {
        self.acked = [low, high];
    }

    pub(super) fn odd(&mut self, anomaly: Anomaly) {
        self.odd.insert(anomaly);
    }

    pub(super) fn odd_left(&self) -> &AnomalySet {
        &self.odd
    }

    pub(super) fn snapped(&mut self) {
        self.facts.snapped = true;
    }

    /// The flow is being given up, for this reason.
    pub(super) fn cut(&mut self, why: Completeness) {
        self.facts.cut = why;
    }

    /// Bytes of a direction, in order.
    pub(super) fn data(&mut self, side: Side, bytes: &[u8], mark: Mark, cx: &mut Cx<'_>) {
        if self.doubt.is_some() && self.turns_round(side, bytes, mark, cx) {
            return;
        }
        match &mut self.state {
            State::Http(_) => self.http(side, cx, |http, up, out| match up {
                true => http.up(bytes, mark, out),
                false => http.down(bytes, mark, out),
            }),
            State::Opening(..) => self.opening(side, bytes, mark, cx),
            State::Other | State::Finished => {}
        }
    }

    /// Bytes of a direction that never came; it goes on at `at`.
    pub(super) fn gap(&mut self, side: Side, len: u64, at: u64, cx: &mut Cx<'_>) {
        match &mut self.state {
            State::Http(_) => self.http(side, cx, |http, up, out| match up {
                true => http.up_gap(len, at, out),
                false => http.down_gap(len, at, out),
            }),
            State::Opening(sides, _) => {
                self.facts.lost_opening = true;
                self.lost[side & 1] |= sides[side & 1].bytes.is_empty();
                let opening = std::mem::take(&mut sides[side & 1]);
                let mut both: [Opening; 2] = Default::default();
                both[side & 1] = opening;
                if self.last_look(both, cx) {
                    return self.gap(side, len, at, cx);
                }
            }
            State::Other | State::Finished => {}
        }
        self.facts.snapped = false;
    }

    /// A direction is at its end.
    pub(super) fn eof(&mut self, side: Side, at: u64, cx: &mut Cx<'_>) {
        if matches!(self.state, State::Http(_)) {
            self.http(side, cx, |http, up, out| http.eof(up, at, out));
        }
    }

    /// The flow is over.
    pub(super) fn finish(&mut self, cx: &mut Cx<'_>) {
        if let State::Opening(sides, _) = &mut self.state {
            let sides = std::mem::take(sides);
            if !self.last_look(sides, cx)
                && let Some((_, kind)) = self.claim
            {
                self.become_other(kind);
            }
        }
        self.http(0, cx, |http, _, out| http.finish(out));
        self.state = State::Finished;
    }

    /// What the client sent may not be what its server read.
    pub(super) fn contest(&mut self, cx: &mut Cx<'_>) {
        self.http(0, cx, |http, _, _| http.contest());
    }

    /// The request of this number is complete, has no answer and was not shown.
    pub(super) fn is_unanswered(&self, seq: u32) -> bool {
        matches!(&self.state, State::Http(http) if http.is_unanswered(seq))
    }

    pub(super) fn show_open(&mut self, seq: u32, limits: &FlowLimits, sink: &mut dyn FnMut(&Exchange)) {
        let State::Http(http) = &mut self.state else { return };
        let out = Out {
            limits,
            body: limits.body,
            facts: &self.facts,
            address: &self.address,
            done: &mut Vec::new(),
            unanswered: &mut Vec::new(),
            odd: &mut self.odd,
            seq: &mut self.seq,
            forgotten: &mut 0,
        };
        let shown = http.show_open(seq, &out);
        if let Some(exchange) = shown {
            sink(&exchange);
        }
    }

    /// Lets the HTTP reader work and sends on what it completed.
    pub(super) fn http(
        &mut self,
        side: Side,
        cx: &mut Cx<'_>,
        work: impl FnOnce(&mut Http, bool, &mut Out<'_>),
    ) {
        let State::Http(http) = &mut self.state else { return };
        let client = self.client.unwrap_or(0);
        let mut done = std::mem::take(cx.done);
        self.facts.acked_up = self.acked[client & 1];
        let mut out = Out {
            limits: cx.limits,
            body: cx.body,
            facts: &self.facts,
            address: &self.address,
            done: &mut done,
            unanswered: cx.unanswered,
            odd: &mut self.odd,
            seq: &mut self.seq,
            forgotten: &mut cx.counters.requests_forgotten,
        };
        work(http, side == client, &mut out);
        let handover = if http.hands_over() { http.take_handover() } else { None };
        if !done.is_empty() {
            self.told = true;
            if !self.odd.is_empty()
                && let Some(first) = done.first_mut()
            {
                first.anomalies.extend(&std::mem::take(&mut self.odd));
            }
            done.drain(..).for_each(&mut *cx.sink);
        }
        *cx.done = done;
        if let Some(handover) = handover {
            self.hand_over(handover, cx);
        }
    }

    /// After CONNECT or Upgrade the bytes are of another protocol, which may be HTTP again.
    fn hand_over(&mut self, handover: Handover, cx: &mut Cx<'_>) {
        self.tunnels = self.tunnels.saturating_add(1);
        self.facts.in_last_tunnel = self.tunnels >= MOST_TUNNELS;
        self.inner = Some(handover.kind);
        self.facts.lost_opening = false;
        if handover.kind == Kind::Tunnel && self.tunnels <= MOST_TUNNELS {
            self.state = State::Opening(Default::default(), 0);
            self.spoke = [false; 2];
            let client = self.client.unwrap_or(0);
            if let Some(held) = handover.up {
                let end = held.mark.off + held.bytes.len() as u64;
                self.data(client, &held.bytes, held.mark, cx);
                if held.dropped > 0 {
                    self.gap(client, held.dropped, end + held.dropped, cx);
                }
            }
            if let Some((mark, bytes)) = handover.down {
                self.data(client ^ 1, &bytes, mark, cx);
            }
        } else {
            self.state = State::Other;
        }
    }

    fn opening(&mut self, side: Side, bytes: &[u8], mark: Mark, cx: &mut Cx<'_>) {
        let State::Opening(_, total) = &mut self.state else { return };
        if !bytes.iter().all(is_blank) {
            *total += bytes.len() as u64;
        }
        // A message that began before a connection was joined may be as long as it likes.
        let worn_out = *total > PATIENCE && self.facts.from_start;
        self.spoke[side & 1] = true;
        if self.claim.is_some() {
            return self.hear_out(side, bytes, mark, worn_out, cx);
        }
        let State::Opening(sides, _) = &mut self.state else { return };
        let opening = &mut sides[side & 1];
        if opening.bytes.is_empty() {
            match self.judge(side, bytes, mark) {
                Verdict::Http { skip } => return self.become_http(side, bytes, skip, mark, cx),
                Verdict::Unsure if !worn_out => self.keep_opening(side, bytes, mark),
                Verdict::Other(kind) => self.seem_other(side, kind, bytes, mark),
                Verdict::Unsure | Verdict::Refused => self.refuse(side, bytes, mark, worn_out),
            }
            return;
        }
        if opening.takes(bytes) {
            return;
        }
        extend(&mut opening.bytes, bytes);
        if opening.bytes.len() > LONGEST_BLANK && opening.bytes.iter().all(is_blank) {
            // Empty lines before a request go for nothing, however many (RFC 9112 §2.2), and so does other white space at some servers.
            let end = mark.off + bytes.len() as u64;
            if opening.at.is_some_and(|at| at.off == self.blank[side & 1]) {
                self.blank[side & 1] = end;
            }
            *opening = Opening::default();
            return self.odd(Anomaly::LeadingEmptyLine);
        }
        let (held, at) = (std::mem::take(&mut opening.bytes), opening.at.take().unwrap_or(mark));
        match self.judge(side, &held, at) {
            Verdict::Http { skip } => self.become_http(side, &held, skip, at, cx),
            Verdict::Unsure if held.len() <= LONGEST_OPENING => {
                if let State::Opening(sides, _) = &mut self.state {
                    sides[side & 1] = Opening::new(held, at);
                }
            }
            // A first line that is longer than servers take: what is there of it is told.
            Verdict::Unsure if likely_request(held.trim_ascii_start()) => {
                match self.begins(side, Message::Request, 0) {
                    Verdict::Http { skip } => self.become_http(side, &held, skip, at, cx),
                    _ => self.refuse(side, &held, at, worn_out),
                }
            }
            Verdict::Other(kind) => self.seem_other(side, kind, &held, at),
            Verdict::Unsure | Verdict::Refused => self.refuse(side, &held, at, worn_out),
        }
    }

    pub(super) fn keep_opening(&mut self, side: Side, bytes: &[u8], mark: Mark) {
        if let State::Opening(sides, _) = &mut self.state {
            sides[side & 1] = Opening::new(bytes.to_vec(), mark);
        }
    }

    /// What begins a tunnel and is not HTTP makes the whole tunnel something else (RFC 9110 §9.3.6), once the other side does not
    /// answer it in HTTP: a server that knows no CONNECT may have said 2xx to it.
    fn refuse(&mut self, side: Side, bytes: &[u8], mark: Mark, worn_out: bool) {
        if self.is_tunnelled() && !worn_out {
            return self.seem_other(side, Kind::Tunnel, bytes, mark);
        }
        if self.is_tunnelled() {
            return self.become_other(Kind::Tunnel);
        }
        if let State::Opening(sides, _) = &mut self.state {
            sides[side & 1].refused = true;
        }
        if worn_out {
            self.become_other(if self.facts.both_sides { Kind::Unknown } else { Kind::OneSidedUnknown });
        }
    }

    pub(super) fn become_other(&mut self, kind: Kind) {
        self.claim = None;
        self.guess(kind);
        self.state = State::Other;
    }

    /// What it is, as far as is known.
    pub(super) fn guess(&mut self, kind: Kind) {
        match &mut self.inner {
            Some(inner) => *inner = kind,
            None => self.kind = kind,
        }
    }

    /// What the first bytes of a direction are.
    pub(super) fn judge(&mut self, side: Side, bytes: &[u8], mark: Mark) -> Verdict {
        if bytes.iter().all(|b| matches!(b, b'\r' | b'\n')) {
            return Verdict::Unsure;
        }
        let start = mark.off == self.blank[side & 1];
        let mut skip = 0;
        if start && !self.is_tunnelled() {
            match proxy::parse(bytes) {
                proxy::Header::None => {}
                proxy::Header::Partial => return Verdict::Unsure,
                proxy::Header::Complete { len, client } => {
                    self.address.proxied_for = client.or(self.address.proxied_for);
                    skip = len;
                }
            }
        }
        let rest = bytes.get(skip..).unwrap_or_default();
        let asks = probe_request(rest);
        let other = if asks == Probe::Certain { Kind::of_preface(rest) } else { Kind::recognise(rest) };
        if let Some(kind) = other {
            return Verdict::Other(kind);
        }
        match (asks, probe_response(rest)) {
            // Joined late, bytes may stand in the middle of a message.
            (Probe::Certain | Probe::Unsure, _)
                if !(start && self.facts.from_start)
                    && rest.len() > LONGEST_PREFIX
                    && !likely_request(rest.trim_ascii_start()) =>
            {
                Verdict::Refused
            }
            (Probe::Certain, _) => self.begins(side, Message::Request, skip),
            (_, Probe::Certain) => self.begins(side, Message::Response, skip),
            (Probe::No, Probe::No) => Verdict::Refused,
            _ => Verdict::Unsure,
        }
    }

    /// A direction seems to begin with a message: whether it is one, and not the content of one that goes the other way.
    ///
    /// Who opened the connection is its client, and whoever asked for a tunnel is that within it. Where the handshake was not seen, a
    /// port below those that clients are given, opposite one that servers hardly have (RFC 6335 §6), is the server's. It is the
    /// other way round only where both directions say so.
    fn begins(&mut self, side: Side, what: Message, skip: usize) -> Verdict {
        let client = if what == Message::Request { side } else { side ^ 1 };
        let other = self.client.is_some_and(|known| known & 1 != client & 1);
        if self.is_tunnelled() && other {
            return Verdict::Refused;
        }
        let [own, peer] = [self.ends[client & 1].port, self.ends[(client ^ 1) & 1].port];
        let likely = own >= HIGHEST_SERVICE && peer < LOWEST_DYNAMIC;
        let doubtful = !self.opened && !likely && !self.is_tunnelled();
        let unlikely = if self.opened { other } else { own < LOWEST_DYNAMIC && peer >= HIGHEST_SERVICE };
        if unlikely {
            let told = &mut self.contrary[client & 1];
            told[what as usize & 1] = true;
            if told.contains(&false) {
                return Verdict::Unsure;
            }
        }
        // It may be all the other side's word: what it was made to send, and an answer to that.
        self.facts.reversed = unlikely;
        self.doubt = (doubtful && !unlikely).then(|| Box::new(Doubt::new(what == Message::Request)));
        self.orient(client);
        Verdict::Http { skip }
    }

    pub(super) fn become_http(&mut self, side: Side, bytes: &[u8], skip: usize, mark: Mark, cx: &mut Cx<'_>) {
        let State::Opening(sides, _) = &mut self.state else { return };
        let other = std::mem::take(&mut sides[(side ^ 1) & 1]);
        self.claim = None;
        match &mut self.inner {
            Some(inner) => *inner = Kind::Http,
            None => self.kind = Kind::Http,
        }
        let refused_before = other.refused;
        let beginning = match self.client {
            Some(client) if self.lost[client & 1] => Beginning::LostRequests,
            _ if self.facts.from_start && !self.facts.lost_opening && !refused_before => Beginning::Seen,
            _ => Beginning::Unknown,
        };
        self.state = State::Http(Box::new(Http::new(beginning)));
        if let Some(at) = other.at {
            self.data(side ^ 1, &other.bytes, at, cx);
        }
        self.data(side, bytes.get(skip..).unwrap_or_default(), mark.plus(skip), cx);
    }

    /// At the end of what was never certain: a request cut short is still a request. True where there is one.
    fn last_look(&mut self, sides: [Opening; 2], cx: &mut Cx<'_>) -> bool {
        for (side, opening) in sides.into_iter().enumerate() {
            let Some(at) = opening.at else { continue };
            let known =
                [&b"GET /"[..], b"POST /", b"HEAD /", b"PUT /", b"DELETE /", b"OPTIONS /", b"PATCH /"];
            let begins = known.iter().any(|k| opening.bytes.starts_with(k));
            if begins && matches!(self.begins(side, Message::Request, 0), Verdict::Http { .. }) {
                self.kind = Kind::Http;
                self.state = State::Http(Box::new(Http::new(Beginning::Unknown)));
                self.data(side, &opening.bytes, at, cx);
                return true;
            }
        }
        false
    }
}

/// White space between messages.
const fn is_blank(b: &u8) -> bool {
    matches!(b, b'\r' | b'\n' | b' ' | b'\t')
}

/// What a message is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Message {
    Request,
    Response,
}

pub(super) enum Verdict {
    Http { skip: usize },
    Unsure,
    Refused,
    Other(Kind),
}

/// What the HTTP reader is given besides bytes, and where its exchanges go.
pub(crate) struct Out<'a> {
    pub(crate) limits: &'a FlowLimits,
    /// Bytes kept of a body now.
    pub(crate) body: usize,
    pub(crate) facts: &'a Facts,
    pub(crate) address: &'a Address,
    pub(crate) done: &'a mut Vec<Exchange>,
    pub(crate) unanswered: &'a mut Vec<(Ts, u32)>,
    /// Anomalies that the next exchange takes with it, or at last the flow.
    pub(crate) odd: &'a mut AnomalySet,
    pub(crate) seq: &'a mut u32,
    pub(crate) forgotten: &'a mut u64,
}

/// The connection stops being HTTP/1: what it becomes, and bytes of it that were read already.
pub(crate) struct Handover {
    pub(crate) kind: Kind,
    pub(crate) up: Option<Held>,
    pub(crate) down: Option<(Mark, Vec<u8>)>,
}

//! What the first bytes of a connection, or of a tunnel within it, are.

use sidetap_model::Anomaly;
use sidetap_wire::http1::{Probe, likely_request, probe_request, probe_response, trim_start};

use super::super::doubt::Doubt;
use super::super::kind::Kind;
use super::super::track::Side;
use super::super::{Cx, Mark};
use super::{App, State};
use crate::http::{Beginning, Http, begins_with_text, extend};
use crate::proxy;

/// Bytes of one direction kept while it is not clear what they begin.
pub(in crate::flow) const LONGEST_OPENING: usize = 64 << 10;
/// So many bytes of a message's first word may come alone.
const LONGEST_PREFIX: usize = 16;
/// Beyond so many bytes more of a first line without an end changes nothing.
const SETTLED: usize = 2 << 10;
/// More empty lines than this are nothing else's beginning.
const LONGEST_BLANK: usize = 64;
/// A flow seen from its start in which whoever was asked says nothing that is HTTP within so many bytes is not looked at any longer. Who
/// asks may say what he likes before he is answered.
pub(super) const PATIENCE: u64 = 256 << 10;
/// Systems give clients no lower ports unless they are told to.
const LOWEST_DYNAMIC: u16 = 10_000;
/// Ports from here on are given to clients by most systems; few servers have one.
const HIGHEST_SERVICE: u16 = 32_768;

/// The first bytes of a direction, while they may still become a message.
#[derive(Default)]
pub(in crate::flow) struct Opening {
    pub(in crate::flow) bytes: Vec<u8>,
    pub(in crate::flow) at: Option<Mark>,
    pub(in crate::flow) refused: bool,
    /// It is the beginning of a request line that has no end yet, and long enough to be nothing else.
    pub(in crate::flow) settled: bool,
}

impl Opening {
    fn new(bytes: Vec<u8>, at: Mark) -> Self {
        let line = trim_start(&bytes);
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
    pub(super) fn opening(&mut self, side: Side, bytes: &[u8], mark: Mark, cx: &mut Cx<'_>) {
        let State::Opening(_, said) = &mut self.state else { return };
        if !bytes.iter().all(is_blank) {
            said[side & 1] += bytes.len() as u64;
        }
        // A message that began before a connection was joined may be as long as it likes.
        let answered = self.client.map_or(0, |client| said[(client ^ 1) & 1]);
        let worn_out = answered > PATIENCE && self.facts.from_start;
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
            Verdict::Unsure if likely_request(trim_start(&held)) => {
                match self.begins(side, Message::Request, 0) {
                    Verdict::Http { skip } => self.become_http(side, &held, skip, at, cx),
                    _ => self.refuse(side, &held, at, worn_out),
                }
            }
            Verdict::Other(kind) => self.seem_other(side, kind, &held, at),
            Verdict::Unsure | Verdict::Refused => self.refuse(side, &held, at, worn_out),
        }
    }

    pub(in crate::flow) fn keep_opening(&mut self, side: Side, bytes: &[u8], mark: Mark) {
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
        if !worn_out && self.facts.from_start && self.client == Some(side) && begins_with_text(bytes) {
            // Lines that only its server reads are told by its answer.
            return self.seem_other(side, Kind::Unknown, bytes, mark);
        }
        if let State::Opening(sides, _) = &mut self.state {
            sides[side & 1].refused = true;
        }
        if worn_out {
            self.become_other(Kind::Unknown);
        }
    }

    pub(in crate::flow) fn become_other(&mut self, kind: Kind) {
        self.claim = None;
        self.guess(kind);
        self.state = State::Other;
    }

    /// What it is, as far as is known.
    pub(in crate::flow) fn guess(&mut self, kind: Kind) {
        match &mut self.inner {
            Some(inner) => *inner = kind,
            None => self.kind = kind,
        }
    }

    /// What the first bytes of a direction are.
    pub(in crate::flow) fn judge(&mut self, side: Side, bytes: &[u8], mark: Mark) -> Verdict {
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
                    && !likely_request(trim_start(rest)) =>
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

    pub(in crate::flow) fn become_http(
        &mut self,
        side: Side,
        bytes: &[u8],
        skip: usize,
        mark: Mark,
        cx: &mut Cx<'_>,
    ) {
        let State::Opening(sides, _) = &mut self.state else { return };
        let other = std::mem::take(&mut sides[(side ^ 1) & 1]);
        self.claim = None;
        let changed = self.inner == Some(Kind::Unknown);
        match &mut self.inner {
            Some(inner) => *inner = Kind::Http,
            None => self.kind = Kind::Http,
        }
        let refused_before = other.refused || sides[side & 1].refused && !self.facts.reversed;
        let beginning = match self.client {
            Some(client) if self.lost[client & 1] => Beginning::LostRequests,
            _ if self.facts.from_start && !self.facts.lost_opening && !refused_before => Beginning::Seen,
            _ => Beginning::Unknown,
        };
        let mut http = Box::new(Http::new(beginning));
        if std::mem::take(&mut self.contested) {
            http.contest();
        }
        if changed {
            http.within_another();
        }
        self.state = State::Http(http);
        if let Some(at) = other.at {
            self.data(side ^ 1, &other.bytes, at, cx);
        }
        self.data(side, bytes.get(skip..).unwrap_or_default(), mark.plus(skip), cx);
        let [first, second] = std::mem::take(&mut self.urgent);
        let urgent = if side == 0 { first } else { second };
        if !urgent.is_empty() {
            self.http(side, cx, |http, up, out| {
                if up {
                    http.begin_urgent(bytes, mark, &urgent, out);
                }
            });
        }
    }

    /// At the end of what was never certain: a request cut short is still a request. True where there is one.
    pub(super) fn last_look(&mut self, sides: [Opening; 2], cx: &mut Cx<'_>) -> bool {
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

pub(in crate::flow) enum Verdict {
    Http { skip: usize },
    Unsure,
    Refused,
    Other(Kind),
}

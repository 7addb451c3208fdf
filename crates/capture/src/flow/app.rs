use sidetap_model::{Addr, Anomaly, AnomalySet, Completeness, Exchange, FlowId, FlowKey, Ts, Zone};

mod opening;

use super::doubt::Doubt;
use super::kind::Kind;
use super::track::Side;
use super::{Aside, BASE, Cx, FlowLimits, Mark};
use crate::http::{Facts, Held, Http};
use opening::PATIENCE;
pub(super) use opening::{LONGEST_OPENING, Opening, Verdict};

/// Tunnels one inside the other that are looked into.
const MOST_TUNNELS: u8 = 4;

/// Urgent bytes of a side that are kept before it is known what it speaks.
const MOST_URGENT: usize = 4096;

/// Exchanges for which room is kept: those of one segment are seldom more.
const MOST_DONE: usize = 64;

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
    /// What its client said first may not be what its server read.
    contested: bool,
    /// Who the client is was taken from one request, and nothing else speaks for it yet.
    pub(super) doubt: Option<Box<Doubt>>,
    /// Urgent bytes of a side before it is known what it speaks, and where they are.
    urgent: [Vec<(Mark, u8)>; 2],
}

pub(super) enum State {
    /// Not known yet what it is; so much was said by either side.
    Opening([Opening; 2], [u64; 2]),
    Http(Box<Http>),
    /// Known not to be HTTP/1, or not worth looking at: bytes are passed over.
    Other,
    Finished,
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
            state: State::Opening(Default::default(), [0; 2]),
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
            contested: false,
            doubt: None,
            urgent: Default::default(),
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

    /// Its server acknowledged a whole request that it has not answered.
    pub(super) fn is_heard(&self) -> bool {
        let State::Http(http) = &self.state else { return false };
        self.client.is_some_and(|client| http.waits(self.acked[client & 1]))
    }

    pub(super) const fn is_tunnelled(&self) -> bool {
        self.tunnels > 0
    }

    pub(super) fn held(&self) -> usize {
        match &self.state {
            State::Opening(sides, _) => {
                let urgent: usize = self.urgent.iter().map(|u| u.capacity() * size_of::<(Mark, u8)>()).sum();
                urgent + sides.iter().map(|s| s.bytes.capacity()).sum::<usize>()
            }
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

    /// The side accepted the connection: its handshake was seen.
    pub(super) fn accepted(&self, side: Side) -> bool {
        self.opened && self.is_server(side)
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

    /// It came in a tunnel that is not trusted.
    pub(super) const fn is_foreign(&self) -> bool {
        self.facts.foreign
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

    /// An urgent byte, which is left out of a direction.
    pub(super) fn urgent(&mut self, side: Side, byte: u8, mark: Mark, cx: &mut Cx<'_>) {
        match &mut self.state {
            State::Http(_) => self.http(side, cx, |http, up, out| {
                if up {
                    http.urgent(byte, mark, out);
                }
            }),
            State::Opening(..) if self.urgent[side & 1].len() < MOST_URGENT => {
                self.urgent[side & 1].push((mark, byte));
            }
            State::Opening(..) | State::Other | State::Finished => {}
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
        if let State::Opening(sides, said) = &mut self.state {
            let (sides, said) = (std::mem::take(sides), said.iter().sum::<u64>());
            if self.last_look(sides, cx) {
            } else if let Some((_, kind)) = self.claim {
                self.become_other(kind);
            } else if said > PATIENCE && !self.facts.both_sides {
                self.become_other(Kind::OneSidedUnknown);
            }
        }
        self.http(0, cx, |http, _, out| http.finish(out));
        self.state = State::Finished;
    }

    /// The flow holds too much: what is held of its messages is sent on, cut, and reading begins anew.
    pub(super) fn shed(&mut self, cx: &mut Cx<'_>) {
        self.facts.cut = Completeness::EVICTED;
        self.http(0, cx, |http, _, out| {
            let mut next = http.anew();
            next.take_suspects(http);
            http.finish(out);
            *http = next;
        });
        self.facts.cut = Completeness::WHOLE;
    }

    /// What the client sent may not be what its server read.
    pub(super) fn contest(&mut self, cx: &mut Cx<'_>) {
        self.contested |= matches!(self.state, State::Opening(..));
        self.http(0, cx, |http, _, _| http.contest());
    }

    /// Bytes of the client up to `end` that are content of a known length: what else may have stood in them makes no other requests.
    pub(super) fn is_content(&self, from: u64, end: u64) -> bool {
        matches!(&self.state, State::Http(http) if http.is_content(from, end))
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
            aside: &mut Aside { unproven: 0, proven: 0 },
            not_told: &mut 0,
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
            aside: cx.aside,
            not_told: &mut cx.counters.requests_not_told,
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
            done.shrink_to(MOST_DONE);
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
        // A protocol that is not known may be HTTP all the same.
        if matches!(handover.kind, Kind::Tunnel | Kind::Unknown) && self.tunnels <= MOST_TUNNELS {
            self.state = State::Opening(Default::default(), [0; 2]);
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
    pub(crate) aside: &'a mut Aside,
    /// Those for which there was no room.
    pub(crate) not_told: &'a mut u64,
}

/// The connection stops being HTTP/1: what it becomes, and bytes of it that were read already.
pub(crate) struct Handover {
    pub(crate) kind: Kind,
    pub(crate) up: Option<Held>,
    pub(crate) down: Option<(Mark, Vec<u8>)>,
}

use sidetap_model::{Addr, Direction, Ts};

use super::{Dialogue, Step};
use crate::tcpip::{ACK, PSH};
use crate::{Conversation, Packet};

/// The packets of a dialogue.
pub(super) fn render(dialogue: &Dialogue) -> Vec<Packet> {
    let mut stage = Stage {
        dialogue,
        talk: None,
        port: dialogue.client.port,
        connections: 0,
        now: Ts::from_parts(START, 0),
        way: Direction::Up,
        said: Vec::new(),
        size: dialogue.mss,
        lost: false,
        acks: true,
        sees: (true, true),
        sent: Vec::new(),
        out: Vec::new(),
    };
    dialogue.steps.iter().for_each(|step| stage.step(step));
    stage.flush();
    stage.acknowledge();
    stage.snap();
    stage.out
}

struct Stage<'a> {
    dialogue: &'a Dialogue,
    talk: Option<Conversation>,
    port: u16,
    connections: u64,
    now: Ts,
    way: Direction,
    said: Vec<u8>,
    size: usize,
    lost: bool,
    acks: bool,
    sees: (bool, bool),
    /// Data segments sent in this direction, the last ones: payload, and place in `out` where it was seen.
    sent: Vec<(Vec<u8>, Option<usize>)>,
    out: Vec<Packet>,
}

impl Stage<'_> {
    fn step(&mut self, step: &Step) {
        match step {
            Step::Say(bytes) => return self.said.extend_from_slice(bytes),
            _ => self.flush(),
        }
        match step {
            Step::Speak(way) => {
                self.acknowledge();
                if *way != self.way {
                    self.sent.clear();
                }
                self.way = *way;
                self.size = self.dialogue.mss;
                self.pass(5_000_000);
            }
            Step::Every(size) => self.size = (*size).max(1),
            Step::Lost(lost) => self.lost = *lost,
            Step::Delay(nanos) => self.pass(*nanos),
            Step::Close(way) => self.control(|talk, ts, out| talk.close(ts, *way, 1_000_000, out)),
            Step::Finish(way) => self.one(|talk, ts, out| talk.finish(ts, *way, out)),
            Step::Reset(way) => self.one(|talk, ts, out| talk.reset(ts, *way, out)),
            Step::Acks(on) => self.acks = *on,
            Step::See(up, down) => {
                self.sees = (*up, *down);
                if let Some(talk) = self.talk.as_mut() {
                    talk.see(*up, *down);
                }
            }
            Step::Repeat => self.repeat(),
            Step::Swap => self.swap(),
            Step::Overlap(back, bytes) => {
                let way = self.way;
                self.one(|talk, ts, out| talk.resend(ts, way, *back, bytes, out));
            }
            Step::Connect(again) => {
                self.acknowledge();
                self.talk = None;
                self.port = if *again { self.port } else { self.port.wrapping_add(1) };
                self.pass(1_000_000);
            }
            Step::Say(_) | Step::Split => {}
        }
    }

    /// Sends what was said as segments.
    fn flush(&mut self) {
        let said = std::mem::take(&mut self.said);
        for part in said.chunks(self.size) {
            let way = self.way;
            let (before, lost) = (self.out.len(), self.lost);
            self.one(|talk, ts, out| match lost {
                true => talk.skip(way, part.len()),
                false => talk.segment(ts, way, ACK | PSH, part, out),
            });
            let place = self.out.len().checked_sub(1).filter(|last| *last >= before && !lost);
            self.sent.push((part.to_vec(), place));
        }
    }

    fn acknowledge(&mut self) {
        if self.acks && !self.sent.is_empty() {
            let way = self.way.opposite();
            self.one(|talk, ts, out| talk.acknowledge(ts, way, out));
        }
    }

    fn repeat(&mut self) {
        let Some((bytes, _)) = self.sent.last().cloned() else { return };
        let way = self.way;
        self.pass(200_000_000);
        self.one(|talk, ts, out| talk.resend(ts, way, bytes.len(), &bytes, out));
    }

    fn swap(&mut self) {
        let Some([(_, Some(a)), (_, Some(b))]) = self.sent.last_chunk() else { return };
        let (a, b) = (*a, *b);
        if let (Some(x), Some(y)) = (self.out.get(a).map(|p| p.ts), self.out.get(b).map(|p| p.ts)) {
            self.out.swap(a, b);
            self.out[a].ts = x;
            self.out[b].ts = y;
        }
    }

    fn one(&mut self, send: impl FnOnce(&mut Conversation, Ts, &mut Vec<Packet>)) {
        self.control(|talk, ts, out| {
            send(talk, ts, out);
            ts
        });
    }

    /// Lets something happen on the connection.
    fn control(&mut self, act: impl FnOnce(&mut Conversation, Ts, &mut Vec<Packet>) -> Ts) {
        let mut out = std::mem::take(&mut self.out);
        let mut talk = self.talk.take().unwrap_or_else(|| self.connect(&mut out));
        self.now = act(&mut talk, self.now, &mut out).plus(100_000);
        self.talk = Some(talk);
        self.out = out;
    }

    /// Opens a connection: its handshake comes before the first thing that happens on it.
    fn connect(&mut self, out: &mut Vec<Packet>) -> Conversation {
        self.connections += 1;
        let client = Addr { port: self.port, ..self.dialogue.client };
        let (server, framing) = (self.dialogue.server, self.dialogue.framing.clone());
        let mut talk = Conversation::new(client, server, framing, self.connections);
        talk.see(self.sees.0, self.sees.1);
        self.now = talk.open(self.now, 10_000_000, out);
        talk
    }

    const fn pass(&mut self, nanos: i64) {
        self.now = self.now.plus(nanos);
    }

    fn snap(&mut self) {
        let Some(len) = self.dialogue.snap else { return };
        self.out.iter_mut().for_each(|p| p.data.truncate(len));
    }
}

/// 2026-01-02T03:04:05Z.
const START: i64 = 1_767_323_045;

#[cfg(test)]
mod tests {
    use crate::Dialogue;

    fn sizes(text: &str) -> Vec<usize> {
        let dialogue = Dialogue::parse(&format!("~ link raw\n{text}")).unwrap();
        dialogue.packets().iter().map(|p| p.data.len()).collect()
    }

    #[test]
    fn blocks_become_segments_with_acknowledgements() {
        // SYN, SYN ACK, ACK, data, ACK, data, ACK: headers are 60, 60, 52 and so on.
        assert_eq!(sizes(">>>\nabc\\\n<<<\ndefg\\\n"), [60, 60, 52, 55, 52, 56, 52]);
        assert_eq!(
            sizes("~ acks off\n>>>\nab\\|c\\[xx\\]d\\\n~ close server\n"),
            [60, 60, 52, 54, 53, 53, 52, 52, 52]
        );
    }

    #[test]
    fn a_sensor_sees_what_it_is_let_see() {
        assert_eq!(sizes("~ see server\n>>>\nabc\\\n<<<\nde\\\n"), [60, 52, 54]);
        assert_eq!(sizes("~ see nothing\n>>>\nabc\\\n~ see both\n<<<\nde\\\n"), [52, 54, 52]);
    }
}

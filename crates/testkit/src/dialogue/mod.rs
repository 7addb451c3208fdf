//! Dialogues: a conversation as text, with what the network did to it, made into packets. docs/testkit.md tells the format.

mod parse;
mod render;

use sidetap_model::{Addr, Direction};

use crate::{Framing, Packet};

/// A dialogue that was read.
#[derive(Clone, Debug)]
pub struct Dialogue {
    /// First comment line.
    pub title: String,
    /// Comment lines that name the text which the expectation follows from (`RFC 9112 §6.1: …`).
    pub references: Vec<String>,
    /// How its packets are framed.
    pub framing: Framing,
    client: Addr,
    server: Addr,
    mss: usize,
    snap: Option<usize>,
    pub(crate) steps: Vec<Step>,
}

/// What is wrong with a dialogue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct DialogueError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl Dialogue {
    /// Reads a dialogue.
    pub fn parse(text: &str) -> Result<Self, DialogueError> {
        parse::read(text)
    }

    /// The packets of it.
    pub fn packets(&self) -> Vec<Packet> {
        render::render(self)
    }
}

/// One thing that happens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// A block begins: from here on this side speaks.
    Speak(Direction),
    /// Bytes that it says.
    Say(Vec<u8>),
    /// The segment ends here.
    Split,
    /// Segments of at most this size from here on.
    Every(usize),
    /// What follows is sent and never seen; or seen again.
    Lost(bool),
    /// Time passes, in nanoseconds.
    Delay(i64),
    /// Both sides close, this one first.
    Close(Direction),
    /// This side closes its half.
    Finish(Direction),
    /// This side resets.
    Reset(Direction),
    /// Receivers acknowledge, or not.
    Acks(bool),
    /// Which directions the sensor sees: up, down.
    See(bool, bool),
    /// The last segment comes once more.
    Repeat,
    /// The last two segments come in the other order.
    Swap,
    /// A segment that begins this many bytes back, with these bytes.
    Overlap(usize, Vec<u8>),
    /// Another connection: from the next port, or from the same one.
    Connect(bool),
}

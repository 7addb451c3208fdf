use sidetap_model::Ts;

/// A captured packet: what a capture file holds of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When it was seen.
    pub ts: Ts,
    /// Index of the interface in a pcapng file; 0 elsewhere.
    pub interface: u32,
    /// The bytes kept.
    pub data: Vec<u8>,
    /// Length on the wire.
    pub orig_len: u32,
}

impl Packet {
    /// A packet kept whole.
    pub fn new(ts: Ts, data: Vec<u8>) -> Self {
        let orig_len = data.len() as u32;
        Packet { ts, interface: 0, data, orig_len }
    }
}

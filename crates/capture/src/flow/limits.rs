/// Caps of one logical shard's flow table. All of them hold for the shard alone, so that results do not depend on threads.
#[derive(Clone, Debug)]
pub struct FlowLimits {
    /// Flows at once, whatever they hold.
    pub flows: usize,
    /// Of `bytes`, what flows beyond these may take while it is free: many that hold little, or a few that hold much.
    pub flows_room: usize,
    /// Bytes held in all: out-of-order data, heads, bodies, exchanges that wait for their other half. Windows are apart.
    pub bytes: usize,
    /// Bytes held of one flow; over it the flow is cut, however much room is left.
    pub flow_bytes: usize,
    /// Delivered bytes kept of a flow to compare with what comes again: the last ones that the client sent since
    /// it was answered, and the first ones of each answer.
    pub windows_each: [usize; 2],
    /// The same, of all flows.
    pub windows: usize,
    /// Out-of-order bytes of one direction of a flow.
    pub direction_bytes: usize,
    /// Out-of-order pieces of one direction of a flow.
    pub direction_pieces: usize,
    /// Bytes of a message's head.
    pub head: usize,
    /// Header fields of a message.
    pub fields: usize,
    /// Bytes kept of a body; an eighth of it while more than half of `bytes` is held.
    pub body: usize,
    /// Requests of one flow that wait for their answer.
    pub open_requests: usize,
    /// Complete requests that [`crate::FlowTable::open_requests`] may still show.
    pub unanswered: usize,
    /// Exchanges after which a tick, or a step towards the end, lets the rest wait for the next one; a flow's come together.
    pub at_once: usize,
    /// Nanoseconds without a packet after which a flow is cut.
    pub idle: i64,
    /// The same, of a flow that never carried data.
    pub handshake: i64,
    /// The same, of a flow that was closed or reset.
    pub closed: i64,
    /// Packets of a flow to wait for a piece that its receiver acknowledged and the capture did not show: mirrors reorder.
    pub reorder_packets: u32,
    /// Nanoseconds to wait for it.
    pub reorder_time: i64,
}

const SHARDS: u64 = 256;
/// The longest head that is kept whole.
const HEAD: u64 = 64 << 10;
/// What a request of usual size takes that waits for its answer.
const REQUEST: u64 = 640;
/// What a flow takes besides what it holds.
const FLOW_BYTES: u64 = 1536;

impl Default for FlowLimits {
    fn default() -> Self {
        FlowLimits::for_memory(256 << 20)
    }
}

impl FlowLimits {
    /// Limits under which 256 tables together stay within `bytes`.
    pub fn for_memory(bytes: u64) -> Self {
        let shard = bytes / SHARDS;
        let flows = (shard / 4 / FLOW_BYTES).clamp(16, 16_384);
        let held = (shard * 9 / 16).max(64 << 10);
        // One flow may hold the longest head and the least of a body behind it, as long as others have some room as well.
        let flow = (held / 4 * 3).max((HEAD + HEAD / 8).min(held / 16 * 15));
        FlowLimits {
            flows: flows as usize,
            flows_room: (held / 4 * 3) as usize,
            bytes: held as usize,
            flow_bytes: flow as usize,
            windows_each: [16 << 10, 2 << 10],
            windows: (held / 3) as usize,
            direction_bytes: (held / 2).min(1 << 20) as usize,
            direction_pieces: 2048,
            head: HEAD as usize,
            fields: 512,
            body: (held / 4).min(256 << 10) as usize,
            open_requests: (flow / REQUEST).clamp(64, 256) as usize,
            unanswered: (held / 256).clamp(64, 16_384) as usize,
            at_once: (shard / 6_144).clamp(16, 4_096) as usize,
            idle: 600_000_000_000,
            handshake: 30_000_000_000,
            closed: 10_000_000_000,
            reorder_packets: 32,
            reorder_time: 200_000_000,
        }
    }

    /// Bytes that are held, with what flows beyond [`FlowLimits::flows`] take of the same room.
    pub(super) fn taken(&self, flows: usize, held: usize) -> usize {
        held + flows.saturating_sub(self.flows) * FLOW_BYTES as usize
    }

    /// There is no room for another flow.
    pub(super) fn is_full(&self, flows: usize, held: usize) -> bool {
        flows >= self.flows.max(1) && self.taken(flows + 1, held) > self.flows_room
    }
}

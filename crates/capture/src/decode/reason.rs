/// Why a packet was not decoded. Codes are stable: they stand in `summary.json`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DropReason {
    /// The link type is not one the decoder reads.
    UnknownLinkType,
    /// The packet ends inside a header.
    Truncated,
    /// A header of the link layer that contradicts itself.
    MalformedLink,
    /// A wireless frame that holds several packets.
    Aggregated,
    /// A header of a tunnel that contradicts itself.
    MalformedTunnel,
    /// An IP header that contradicts itself.
    MalformedIp,
    /// A TCP header that contradicts itself.
    MalformedTcp,
    /// More headers one inside the other than the limit.
    TooManyLayers,
    /// A fragment that fits no datagram (beyond 64 KiB, or of no length).
    MalformedFragment,
    /// A fragment of IPv6 that overlaps others, with which it is forbidden (RFC 8200 §4.5).
    FragmentOverlap,
    /// The table of fragments was full.
    FragmentsFull,
    /// A checksum that the receiver would not have accepted either.
    BadChecksum,
}

impl DropReason {
    /// Every reason.
    pub const ALL: [DropReason; 12] = [
        DropReason::UnknownLinkType,
        DropReason::Truncated,
        DropReason::MalformedLink,
        DropReason::Aggregated,
        DropReason::MalformedTunnel,
        DropReason::MalformedIp,
        DropReason::MalformedTcp,
        DropReason::TooManyLayers,
        DropReason::MalformedFragment,
        DropReason::FragmentOverlap,
        DropReason::FragmentsFull,
        DropReason::BadChecksum,
    ];

    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            DropReason::UnknownLinkType => "unknown-link-type",
            DropReason::Truncated => "truncated",
            DropReason::MalformedLink => "malformed-link",
            DropReason::Aggregated => "aggregated",
            DropReason::MalformedTunnel => "malformed-tunnel",
            DropReason::MalformedIp => "malformed-ip",
            DropReason::MalformedTcp => "malformed-tcp",
            DropReason::TooManyLayers => "too-many-layers",
            DropReason::MalformedFragment => "malformed-fragment",
            DropReason::FragmentOverlap => "fragment-overlap",
            DropReason::FragmentsFull => "fragments-full",
            DropReason::BadChecksum => "bad-checksum",
        }
    }
}

use std::collections::BTreeMap;

/// What was out of the ordinary about packets that were decoded; one packet may count under several.
#[derive(Clone, Debug, Default)]
pub struct DecodeCounters {
    /// Second sights of a packet, left out.
    pub duplicates: u64,
    /// Fragments of IP datagrams.
    pub fragments: u64,
    /// Datagrams put together of them.
    pub reassembled: u64,
    /// First fragments too short for a TCP header (RFC 1858 §3).
    pub tiny_fragments: u64,
    /// Fragments of IPv4 that repeat bytes of others.
    pub overlapping_fragments: u64,
    /// Segments cut by the snap length.
    pub snapped: u64,
    /// Segments larger than any frame on a wire, made by segmentation or receive off-load.
    pub super_frames: u64,
    /// Segments with wrong checksums of senders whose card fills them in later.
    pub checksum_offload: u64,
    /// Segments with wrong checksums of senders of which too little was known to tell why.
    pub checksum_unproven: u64,
    /// Sources whose habit with checksums was forgotten for another's.
    pub checksum_sources_forgotten: u64,
    /// Segments that came through a tunnel.
    pub tunnelled: u64,
    /// Of these, segments of tunnels that are not trusted.
    pub foreign: u64,
}

impl DecodeCounters {
    /// Those that are not 0, by their stable codes.
    pub fn noted(&self) -> BTreeMap<String, u64> {
        let all = [
            ("duplicate", self.duplicates),
            ("fragment", self.fragments),
            ("reassembled", self.reassembled),
            ("tiny-fragment", self.tiny_fragments),
            ("overlapping-fragment", self.overlapping_fragments),
            ("snapped", self.snapped),
            ("super-frame", self.super_frames),
            ("checksum-offload", self.checksum_offload),
            ("checksum-unproven", self.checksum_unproven),
            ("checksum-source-forgotten", self.checksum_sources_forgotten),
            ("tunnelled", self.tunnelled),
            ("tunnel-untrusted", self.foreign),
        ];
        all.into_iter().filter(|(_, n)| *n > 0).map(|(code, n)| (code.to_owned(), n)).collect()
    }
}

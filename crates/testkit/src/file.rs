//! Writers of capture files: pcap in its four forms, and pcapng.

use std::io::{self, Write};

use crate::{LinkKind, Packet};

/// Form of a pcap file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PcapForm {
    /// Microseconds, little-endian.
    #[default]
    Micros,
    /// Nanoseconds, little-endian.
    Nanos,
    /// Microseconds, big-endian.
    MicrosBig,
    /// Nanoseconds, big-endian.
    NanosBig,
}

/// Writes a pcap file.
pub struct PcapWriter<W> {
    out: W,
    form: PcapForm,
}

impl<W: Write> PcapWriter<W> {
    /// Writes the file header.
    pub fn new(mut out: W, link: LinkKind, form: PcapForm) -> io::Result<Self> {
        let magic: u32 = match form {
            PcapForm::Micros | PcapForm::MicrosBig => 0xa1b2_c3d4,
            PcapForm::Nanos | PcapForm::NanosBig => 0xa1b2_3c4d,
        };
        let words = [magic, 0, 0, 0, 262_144, link.number()];
        for (n, word) in words.into_iter().enumerate() {
            let versions = if form.is_big() { [0, 2, 0, 4] } else { [2, 0, 4, 0] };
            out.write_all(&if n == 1 { versions } else { form.bytes(word) })?;
        }
        Ok(PcapWriter { out, form })
    }

    /// Writes one packet.
    pub fn write(&mut self, packet: &Packet) -> io::Result<()> {
        let nanos = packet.ts.0.rem_euclid(1_000_000_000) as u32;
        let part = match self.form {
            PcapForm::Micros | PcapForm::MicrosBig => nanos / 1000,
            PcapForm::Nanos | PcapForm::NanosBig => nanos,
        };
        let mut head = [0; 16];
        let words = [packet.ts.secs() as u32, part, packet.data.len() as u32, packet.orig_len];
        for (to, word) in head.chunks_mut(4).zip(words) {
            to.copy_from_slice(&self.form.bytes(word));
        }
        self.out.write_all(&head)?;
        self.out.write_all(&packet.data)
    }

    /// Flushes and gives the writer back.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

impl PcapForm {
    const fn is_big(self) -> bool {
        matches!(self, PcapForm::MicrosBig | PcapForm::NanosBig)
    }

    const fn bytes(self, word: u32) -> [u8; 4] {
        if self.is_big() { word.to_be_bytes() } else { word.to_le_bytes() }
    }
}

/// Resolution of a pcapng interface's times.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Resolution {
    /// 10⁻⁶ s, the default of the format.
    #[default]
    Micros,
    /// 10⁻⁹ s.
    Nanos,
}

/// An interface of a pcapng file.
#[derive(Clone, Debug, Default)]
pub struct Interface {
    /// Its link type.
    pub link: LinkKind,
    /// Its name.
    pub name: String,
    /// Resolution of its times.
    pub resolution: Resolution,
}

/// Writes a little-endian pcapng file (draft-ietf-opsawg-pcapng).
pub struct PcapngWriter<W> {
    out: W,
    interfaces: Vec<Interface>,
}

impl<W: Write> PcapngWriter<W> {
    /// Writes the section header and one description for each interface.
    pub fn new(out: W, interfaces: Vec<Interface>) -> io::Result<Self> {
        let mut writer = PcapngWriter { out, interfaces };
        let mut section = 0x1a2b_3c4d_u32.to_le_bytes().to_vec();
        section.extend_from_slice(&[1, 0, 0, 0]);
        section.extend_from_slice(&u64::MAX.to_le_bytes());
        writer.block(0x0a0d_0d0a, &section)?;
        for interface in writer.interfaces.clone() {
            let mut body = (interface.link.number() as u16).to_le_bytes().to_vec();
            body.extend_from_slice(&[0, 0]);
            body.extend_from_slice(&262_144_u32.to_le_bytes());
            push_option(&mut body, 2, interface.name.as_bytes());
            if interface.resolution == Resolution::Nanos {
                push_option(&mut body, 9, &[9]);
            }
            push_option(&mut body, 0, &[]);
            writer.block(1, &body)?;
        }
        Ok(writer)
    }

    /// Writes one packet as an enhanced packet block of its interface.
    pub fn write(&mut self, packet: &Packet) -> io::Result<()> {
        let resolution = self.interfaces.get(packet.interface as usize).map(|i| i.resolution);
        let time = match resolution.unwrap_or_default() {
            Resolution::Micros => packet.ts.0.div_euclid(1000),
            Resolution::Nanos => packet.ts.0,
        } as u64;
        let mut body = Vec::with_capacity(packet.data.len() + 24);
        let words =
            [packet.interface, (time >> 32) as u32, time as u32, packet.data.len() as u32, packet.orig_len];
        words.into_iter().for_each(|w| body.extend_from_slice(&w.to_le_bytes()));
        body.extend_from_slice(&packet.data);
        self.block(6, &body)
    }

    /// Flushes and gives the writer back.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }

    fn block(&mut self, kind: u32, body: &[u8]) -> io::Result<()> {
        let padding = body.len().next_multiple_of(4) - body.len();
        let total = ((12 + body.len() + padding) as u32).to_le_bytes();
        self.out.write_all(&kind.to_le_bytes())?;
        self.out.write_all(&total)?;
        self.out.write_all(body)?;
        self.out.write_all(&[0; 3][..padding])?;
        self.out.write_all(&total)
    }
}

/// The bytes of a pcap file of these packets.
pub fn pcap_bytes(packets: &[Packet], link: LinkKind, form: PcapForm) -> Vec<u8> {
    let written = PcapWriter::new(Vec::new(), link, form).and_then(|mut writer| {
        packets.iter().try_for_each(|p| writer.write(p))?;
        writer.finish()
    });
    written.unwrap_or_default()
}

/// The bytes of a pcapng file of these packets.
pub fn pcapng_bytes(packets: &[Packet], interfaces: Vec<Interface>) -> Vec<u8> {
    let written = PcapngWriter::new(Vec::new(), interfaces).and_then(|mut writer| {
        packets.iter().try_for_each(|p| writer.write(p))?;
        writer.finish()
    });
    written.unwrap_or_default()
}

fn push_option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    body.extend_from_slice(&code.to_le_bytes());
    body.extend_from_slice(&(value.len() as u16).to_le_bytes());
    body.extend_from_slice(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use sidetap_model::Ts;

    use super::*;

    #[test]
    fn pcap_is_written_in_its_four_forms() {
        let packet = Packet::new(Ts::from_parts(1, 234_567_891), vec![1, 2, 3]);
        let little = pcap_bytes(std::slice::from_ref(&packet), LinkKind::Ethernet, PcapForm::Micros);
        assert_eq!(little[..8], [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0]);
        assert_eq!(little[24..32], [1, 0, 0, 0, 0x47, 0x94, 3, 0]);
        let big = pcap_bytes(&[packet], LinkKind::Raw, PcapForm::NanosBig);
        assert_eq!(big[..8], [0xa1, 0xb2, 0x3c, 0x4d, 0, 2, 0, 4]);
        assert_eq!(big[20..24], [0, 0, 0, 101]);
        assert_eq!(big[28..32], 234_567_891_u32.to_be_bytes());
        assert_eq!(big.len(), 24 + 16 + 3);
    }

    #[test]
    fn pcapng_blocks_are_aligned_and_closed_by_their_length() {
        let mut packet = Packet::new(Ts(5_000_000_000), vec![1, 2, 3]);
        packet.interface = 1;
        let nanos =
            Interface { resolution: Resolution::Nanos, name: "mirror1".into(), ..Interface::default() };
        let bytes = pcapng_bytes(&[packet], vec![Interface::default(), nanos]);
        let (mut at, mut kinds) = (0, Vec::new());
        while at < bytes.len() {
            let word = |i: usize| u32::from_le_bytes(bytes[i..i + 4].try_into().unwrap());
            let len = word(at + 4) as usize;
            assert_eq!(word(at + len - 4) as usize, len);
            kinds.push(word(at));
            at += len;
        }
        assert_eq!(kinds, [0x0a0d_0d0a, 1, 1, 6]);
    }
}

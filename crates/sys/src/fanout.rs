//! Which socket of a fan-out group a packet goes to: a classic BPF program, run by the kernel (`PACKET_FANOUT_CBPF`, packet(7)).
//!
//! The kernel's own hash (`PACKET_FANOUT_HASH`) looks into tunnels, at what each direction has of its own: the source port of VXLAN, the label of MPLS. The two
//! directions of a connection then go to different sockets, whose readers nobody puts in order. This program takes the pair of addresses of the first IP
//! header, behind VLAN tags, MPLS labels and PPPoE, and the pair of ports where TCP stands right behind it: the same for both
//! directions. All that one tunnel carries goes to one socket; what has no such header goes to the first.

use libc::sock_filter;

/// Where to go on. Programs have forward jumps alone, so a label is defined behind its uses.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Label(usize);

enum Step {
    Plain(u32, u32),
    /// The instruction, its operand, where it holds, where it does not; without a label, the next instruction.
    Test(u32, u32, Option<Label>, Option<Label>),
    Jump(Label),
}

#[derive(Default)]
struct Assembler {
    steps: Vec<Step>,
    labels: Vec<usize>,
}

const LOAD_WORD: u32 = libc::BPF_LD | libc::BPF_W;
const LOAD_HALF: u32 = libc::BPF_LD | libc::BPF_H;
const LOAD_BYTE: u32 = libc::BPF_LD | libc::BPF_B;
const TEST: u32 = libc::BPF_JMP | libc::BPF_K;
const ALU: u32 = libc::BPF_ALU;
/// Offsets from here on count from the network header (`linux/filter.h`).
const NETWORK: u32 = (-0x10_0000_i32) as u32;
/// Where the packet's EtherType is read, without the tag that the card took off.
const PROTOCOL: u32 = (-0x1000_i32) as u32;
/// Cells: the sum of addresses and ports, and where a header begins.
const SUM: u32 = 0;
const AT: u32 = 1;

impl Assembler {
    fn label(&mut self) -> Label {
        self.labels.push(usize::MAX);
        Label(self.labels.len() - 1)
    }

    fn here(&mut self, label: Label) {
        if let Some(at) = self.labels.get_mut(label.0) {
            *at = self.steps.len();
        }
    }

    fn plain(&mut self, code: u32, k: u32) {
        self.steps.push(Step::Plain(code, k));
    }

    /// Loads what stands so far behind the header at X.
    fn load(&mut self, width: u32, offset: u32) {
        self.plain(width | libc::BPF_IND, NETWORK.wrapping_add(offset));
    }

    fn test(&mut self, op: u32, k: u32, holds: Option<Label>, fails: Option<Label>) {
        self.steps.push(Step::Test(TEST | op, k, holds, fails));
    }

    /// Jumps there unless A is this.
    fn unless(&mut self, k: u32, label: Label) {
        self.test(libc::BPF_JEQ, k, None, Some(label));
    }

    /// Moves X so many bytes on; A is what it was.
    fn advance(&mut self, by: u32) {
        self.plain(libc::BPF_ST, AT);
        self.plain(libc::BPF_MISC | libc::BPF_TXA, 0);
        self.plain(ALU | libc::BPF_ADD, by);
        self.plain(libc::BPF_MISC | libc::BPF_TAX, 0);
        self.plain(libc::BPF_LD | libc::BPF_MEM, AT);
    }

    /// Adds the words or half words there to the sum, whichever of the two comes first.
    fn add(&mut self, width: u32, offsets: impl Iterator<Item = u32>) {
        self.plain(libc::BPF_STX, AT);
        for offset in offsets {
            self.load(width, offset);
            self.plain(libc::BPF_LDX | libc::BPF_MEM, SUM);
            self.plain(ALU | libc::BPF_ADD | libc::BPF_X, 0);
            self.plain(libc::BPF_ST, SUM);
            self.plain(libc::BPF_LDX | libc::BPF_MEM, AT);
        }
    }

    /// Multiplies the sum and folds it, so that neighbours part.
    fn mix(&mut self, factor: u32) {
        self.plain(libc::BPF_LD | libc::BPF_MEM, SUM);
        self.plain(ALU | libc::BPF_MUL, factor);
        self.plain(libc::BPF_ST, SUM);
        self.plain(ALU | libc::BPF_RSH, 15);
        self.plain(libc::BPF_LDX | libc::BPF_MEM, SUM);
        self.plain(ALU | libc::BPF_XOR | libc::BPF_X, 0);
        self.plain(libc::BPF_ST, SUM);
        self.plain(libc::BPF_LDX | libc::BPF_MEM, AT);
    }

    fn finish(self) -> Vec<sock_filter> {
        let Assembler { steps, labels } = self;
        let far = |from: usize, label: Label| labels.get(label.0).map_or(0, |to| to.saturating_sub(from + 1));
        let near = |from: usize, label: Option<Label>| {
            // Longer jumps are made with `Jump`; the kernel refuses a program that leads nowhere.
            label.map_or(0, |label| u8::try_from(far(from, label)).unwrap_or(u8::MAX))
        };
        let instruction = |(at, step): (usize, &Step)| match *step {
            Step::Plain(code, k) => sock_filter { code: code as u16, jt: 0, jf: 0, k },
            Step::Test(code, k, holds, fails) => {
                sock_filter { code: code as u16, jt: near(at, holds), jf: near(at, fails), k }
            }
            Step::Jump(label) => sock_filter {
                code: (libc::BPF_JMP | libc::BPF_JA) as u16,
                jt: 0,
                jf: 0,
                k: far(at, label) as u32,
            },
        };
        steps.iter().enumerate().map(instruction).collect()
    }
}

/// VLAN tags and MPLS labels that are walked; one more tag may have been taken off by the card.
const TAGS: usize = 2;
const LABELS: usize = 4;

/// The program: it gives a number, of which the kernel takes the remainder by the count of sockets.
pub(crate) fn program() -> Vec<sock_filter> {
    let mut a = Assembler::default();
    let (v4, v6, sum) = (a.label(), a.label(), a.label());
    a.plain(libc::BPF_LDX | libc::BPF_IMM, 0);
    a.plain(LOAD_WORD | libc::BPF_ABS, PROTOCOL);
    for _ in 0..TAGS {
        let (tag, next) = (a.label(), a.label());
        for kind in [0x8100, 0x88a8, 0x9100] {
            a.test(libc::BPF_JEQ, kind, Some(tag), None);
        }
        a.steps.push(Step::Jump(next));
        a.here(tag);
        a.load(LOAD_HALF, 2);
        a.advance(4);
        a.here(next);
    }
    let next = a.label();
    a.unless(0x8864, next);
    // PPPoE and PPP (RFC 2516 §4): IPv4 is 0x0021, IPv6 0x0057.
    let (v6_in_ppp, other) = (a.label(), a.label());
    a.load(LOAD_HALF, 6);
    a.advance(8);
    a.unless(0x0021, v6_in_ppp);
    a.steps.push(Step::Jump(v4));
    a.here(v6_in_ppp);
    a.unless(0x0057, other);
    a.steps.push(Step::Jump(v6));
    a.here(other);
    a.plain(libc::BPF_RET, 0);
    a.here(next);
    let (labelled, bottom, next) = (a.label(), a.label(), a.label());
    a.test(libc::BPF_JEQ, 0x8847, Some(labelled), None);
    a.unless(0x8848, next);
    a.here(labelled);
    for _ in 0..LABELS {
        // The bit that says that this label is the last one (RFC 3032 §2.1).
        a.load(LOAD_WORD, 0);
        a.advance(4);
        a.test(libc::BPF_JSET, 0x100, Some(bottom), None);
    }
    a.plain(libc::BPF_RET, 0);
    a.here(bottom);
    let six = a.label();
    a.load(LOAD_BYTE, 0);
    a.plain(ALU | libc::BPF_RSH, 4);
    a.unless(4, six);
    a.steps.push(Step::Jump(v4));
    a.here(six);
    a.test(libc::BPF_JEQ, 6, Some(v6), None);
    a.plain(libc::BPF_RET, 0);
    a.here(next);
    let not_four = a.label();
    a.unless(0x0800, not_four);
    a.steps.push(Step::Jump(v4));
    a.here(not_four);
    a.test(libc::BPF_JEQ, 0x86dd, Some(v6), None);
    a.plain(libc::BPF_RET, 0);

    let ports = a.label();
    a.here(v4);
    zero(&mut a);
    a.add(LOAD_WORD, [12, 16].into_iter());
    a.mix(0x9e37_79b1);
    // A fragment has no ports, or would be alone in having them: MF and the offset.
    a.load(LOAD_HALF, 6);
    a.test(libc::BPF_JSET, 0x3fff, Some(sum), None);
    a.load(LOAD_BYTE, 9);
    a.unless(6, sum);
    a.load(LOAD_BYTE, 0);
    a.plain(ALU | libc::BPF_AND, 0x0f);
    a.plain(ALU | libc::BPF_LSH, 2);
    a.plain(ALU | libc::BPF_ADD | libc::BPF_X, 0);
    a.plain(libc::BPF_MISC | libc::BPF_TAX, 0);
    a.steps.push(Step::Jump(ports));

    a.here(v6);
    zero(&mut a);
    a.add(LOAD_WORD, (8..40).step_by(4));
    a.mix(0x9e37_79b1);
    a.load(LOAD_BYTE, 6);
    a.unless(6, sum);
    a.advance(40);

    a.here(ports);
    a.add(LOAD_HALF, [0, 2].into_iter());
    a.here(sum);
    a.mix(0x85eb_ca6b);
    a.plain(libc::BPF_LD | libc::BPF_MEM, SUM);
    a.plain(ALU | libc::BPF_RSH, 16);
    a.plain(libc::BPF_RET | libc::BPF_A, 0);
    a.finish()
}

fn zero(a: &mut Assembler) {
    a.plain(libc::BPF_LD | libc::BPF_IMM, 0);
    a.plain(libc::BPF_ST, SUM);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    /// What the kernel makes of it; nothing where a load lies outside of the packet.
    fn run(program: &[sock_filter], protocol: u32, packet: &[u8]) -> u32 {
        let (mut a, mut x, mut cells, mut at) = (0u32, 0u32, [0u32; 16], 0usize);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            at += 1;
            let (code, to) = (u32::from(code), |holds: bool| usize::from(if holds { jt } else { jf }));
            let load = |offset: u32, len: usize| {
                let from = offset.wrapping_sub(NETWORK) as usize;
                packet.get(from..from + len).map(|b| b.iter().fold(0, |n, b| n << 8 | u32::from(*b)))
            };
            let loaded = match code {
                c if c == LOAD_WORD | libc::BPF_ABS && k == PROTOCOL => Some(protocol),
                c if c == LOAD_WORD | libc::BPF_IND => load(x.wrapping_add(k), 4),
                c if c == LOAD_HALF | libc::BPF_IND => load(x.wrapping_add(k), 2),
                c if c == LOAD_BYTE | libc::BPF_IND => load(x.wrapping_add(k), 1),
                c if c == libc::BPF_LD | libc::BPF_IMM => Some(k),
                c if c == libc::BPF_LD | libc::BPF_MEM => Some(cells[k as usize]),
                c if c == libc::BPF_MISC | libc::BPF_TXA => Some(x),
                c if c == ALU | libc::BPF_ADD => Some(a.wrapping_add(k)),
                c if c == ALU | libc::BPF_ADD | libc::BPF_X => Some(a.wrapping_add(x)),
                c if c == ALU | libc::BPF_XOR | libc::BPF_X => Some(a ^ x),
                c if c == ALU | libc::BPF_MUL => Some(a.wrapping_mul(k)),
                c if c == ALU | libc::BPF_RSH => Some(a >> k),
                c if c == ALU | libc::BPF_LSH => Some(a << k),
                c if c == ALU | libc::BPF_AND => Some(a & k),
                c if c == libc::BPF_RET => return k,
                c if c == libc::BPF_RET | libc::BPF_A => return a,
                _ => {
                    match code {
                        c if c == libc::BPF_LDX | libc::BPF_IMM => x = k,
                        c if c == libc::BPF_LDX | libc::BPF_MEM => x = cells[k as usize],
                        c if c == libc::BPF_MISC | libc::BPF_TAX => x = a,
                        c if c == libc::BPF_ST => cells[k as usize] = a,
                        c if c == libc::BPF_STX => cells[k as usize] = x,
                        c if c == libc::BPF_JMP | libc::BPF_JA => at += k as usize,
                        c if c == TEST | libc::BPF_JEQ => at += to(a == k),
                        c if c == TEST | libc::BPF_JSET => at += to(a & k != 0),
                        other => unreachable!("{other:#x}"),
                    }
                    continue;
                }
            };
            match loaded {
                Some(value) => a = value,
                None => return 0,
            }
        }
    }

    fn v4(proto: u8, from: [u8; 4], to: [u8; 4], options: usize, more: u16, data: &[u8]) -> Vec<u8> {
        let mut p = vec![0x45 + (options / 4) as u8, 0, 0, 0, 0, 0];
        p.extend(more.to_be_bytes());
        p.extend([64, proto, 0, 0]);
        p.extend(from);
        p.extend(to);
        p.resize(20 + options, 1);
        p.extend(data);
        p
    }

    fn v6(next: u8, from: u8, to: u8, data: &[u8]) -> Vec<u8> {
        let mut p = vec![0x60, 0, 0, 0, 0, 0, next, 64];
        p.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, from]);
        p.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, to]);
        p.extend(data);
        p
    }

    fn ports(from: u16, to: u16) -> Vec<u8> {
        [from.to_be_bytes(), to.to_be_bytes(), [0, 0], [0, 0]].concat()
    }

    type Pair = (u32, Vec<u8>, Vec<u8>);

    /// One connection's two directions, plain and behind what the program walks.
    fn connection(number: u16) -> Vec<(&'static str, Pair)> {
        let (c, s) = ([10, 0, (number >> 8) as u8, number as u8], [192, 0, 2, 1]);
        let (there, back) = (ports(20_000 + number, 443), ports(443, 20_000 + number));
        let plain =
            |options| (0x0800, v4(6, c, s, options, 0x4000, &there), v4(6, s, c, options, 0x4000, &back));
        let six = (0x86dd, v6(6, number as u8, 1, &there), v6(6, 1, number as u8, &back));
        let before = |ethertype: u32, bytes: &[u8], (_, there, back): &Pair| -> Pair {
            (ethertype, [bytes, there].concat(), [bytes, back].concat())
        };
        vec![
            ("IPv4", plain(0)),
            ("IPv4 with options", plain(12)),
            ("IPv6", six.clone()),
            ("a tag", before(0x8100, &[0, 7, 8, 0], &plain(0))),
            ("two tags", before(0x88a8, &[0, 7, 0x81, 0, 0, 8, 0x86, 0xdd], &six)),
            ("PPPoE", before(0x8864, &[0x11, 0, 0, 9, 0, 99, 0, 0x21], &plain(0))),
            ("PPPoE, IPv6", before(0x8864, &[0x11, 0, 0, 9, 0, 99, 0, 0x57], &six)),
            ("MPLS", before(0x8847, &[0, 1, 0, 64, 0, 2, 1, 64], &plain(0))),
            ("MPLS, IPv6", before(0x8847, &[0, 2, 1, 64], &six)),
        ]
    }

    #[test]
    fn both_directions_go_to_one_socket_and_connections_to_all() {
        let program = program();
        for sockets in [2, 3, 4, 7] {
            let mut hit = std::collections::BTreeMap::<_, Vec<u32>>::new();
            for number in 0..400 {
                for (name, (protocol, there, back)) in connection(number) {
                    let to = run(&program, protocol, &there) % sockets;
                    assert_eq!(to, run(&program, protocol, &back) % sockets, "{name}");
                    let hits = hit.entry(name).or_insert_with(|| vec![0; sockets as usize]);
                    hits[to as usize] += 1;
                }
            }
            let fair = 400 / sockets;
            for (name, hits) in hit {
                assert!(hits.iter().all(|n| (fair / 2..fair * 2).contains(n)), "{name}: {hits:?}");
            }
        }
    }

    #[test]
    fn labels_of_each_direction_change_nothing() {
        let program = program();
        let (_, there, back) = connection(7).swap_remove(0).1;
        let [one, other] = [[0, 1, 1, 64], [0, 9, 1, 64]].map(|label: [u8; 4]| label);
        assert_eq!(
            run(&program, 0x8847, &[&one[..], &there].concat()),
            run(&program, 0x8847, &[&other[..], &back].concat())
        );
        assert_ne!(run(&program, 0x0800, &there), 0);
    }

    #[test]
    fn a_tunnel_goes_by_its_ends_and_a_fragment_by_its_addresses() {
        let program = program();
        let (a, b) = ([10, 0, 0, 1], [10, 0, 0, 2]);
        let of =
            |proto, more, from, to, data: &[u8]| run(&program, 0x0800, &v4(proto, from, to, 0, more, data));
        // VXLAN: the source port is made from the inner flow, another one in each direction.
        let vxlan = of(17, 0, a, b, &ports(51_234, 4_789));
        assert_eq!(vxlan, of(17, 0, b, a, &ports(60_001, 4_789)));
        assert_eq!(vxlan, of(47, 0, a, b, &[0; 8]));
        // The first fragment of a segment and the others, which have no ports.
        assert_eq!(of(6, 0x2000, a, b, &ports(1, 2)), of(6, 0x0003, a, b, &ports(3, 4)));
        assert_eq!(of(6, 0x2000, a, b, &ports(1, 2)), vxlan);
    }

    /// Tunnels are told apart by their ends alone.
    #[test]
    fn tunnels_of_a_mesh_go_to_all() {
        let program = program();
        for sockets in [2, 3, 4] {
            let mut hits = vec![0; sockets as usize];
            for pair in 0..256u32 {
                let (a, b) = (pair as u8 / 16, pair as u8 % 16);
                let frame = v4(17, [10, 0, 0, a], [10, 0, 1, b], 0, 0, &ports(1, 4_789));
                hits[(run(&program, 0x0800, &frame) % sockets) as usize] += 1;
            }
            let fair = 256 / sockets;
            assert!(hits.iter().all(|n| (fair / 2..fair * 2).contains(n)), "{hits:?}");
        }
    }

    #[test]
    fn what_ends_early_goes_to_the_first() {
        let program = program();
        // A jump that is too long for its field would be cut to this.
        assert!(program.iter().all(|i| i.jt < u8::MAX && i.jf < u8::MAX));
        for (name, (protocol, there, _)) in connection(9) {
            for cut in 0..there.len() - 4 {
                assert_eq!(run(&program, protocol, &there[..cut]), 0, "{name} {cut}");
            }
        }
        for protocol in [0x0806, 0x88cc, 0] {
            assert_eq!(run(&program, protocol, &[0; 64]), 0);
        }
    }
}

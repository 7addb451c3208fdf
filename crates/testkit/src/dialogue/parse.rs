use std::net::SocketAddr;

use sidetap_model::{Addr, Direction};

use super::{Dialogue, DialogueError, Step};
use crate::{Encapsulation, Framing, LinkKind};

/// How comment lines begin that say where an expectation comes from.
const SOURCES: &[&str] = &["RFC ", "Invariant ", "Contract: "];

/// Reads the text of a dialogue.
pub(super) fn read(text: &str) -> Result<Dialogue, DialogueError> {
    let mut reader = Reader {
        dialogue: Dialogue {
            title: String::new(),
            references: Vec::new(),
            framing: Framing::default(),
            client: Addr { ip: [192, 0, 2, 10].into(), port: 49_160 },
            server: Addr { ip: [198, 51, 100, 20].into(), port: 80 },
            mss: 1448,
            snap: None,
            steps: Vec::new(),
        },
        speaks: false,
    };
    for (n, line) in text.lines().enumerate() {
        reader.line(line).map_err(|reason| DialogueError { line: n + 1, reason })?;
    }
    Ok(reader.dialogue)
}

struct Reader {
    dialogue: Dialogue,
    speaks: bool,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if let Some(way) = speaker(line) {
            self.speaks = true;
            self.push(Step::Speak(way));
            return Ok(());
        }
        if let Some(directive) = line.strip_prefix("~ ") {
            return self.directive(directive);
        }
        if self.speaks {
            return self.say(line);
        }
        match line.strip_prefix('#').map(str::trim) {
            Some(text) if self.dialogue.title.is_empty() => text.clone_into(&mut self.dialogue.title),
            Some(text) if SOURCES.iter().any(|s| text.starts_with(s)) => {
                self.dialogue.references.push(text.to_owned());
            }
            Some(_) => {}
            None if line.trim().is_empty() => {}
            None => return Err("text before the first >>> or <<<".to_owned()),
        }
        Ok(())
    }

    /// A line of a block: its bytes and CRLF, or no line end where it ends with a backslash.
    fn say(&mut self, line: &str) -> Result<(), String> {
        let (line, ends) = match line.strip_suffix('\\') {
            Some(rest) if !rest.ends_with('\\') => (rest, false),
            _ => (line, true),
        };
        let mut said = Vec::new();
        let mut rest = line.chars();
        while let Some(c) = rest.next() {
            if c != '\\' {
                said.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            match rest.next() {
                Some('r') => said.push(b'\r'),
                Some('n') => said.push(b'\n'),
                Some('t') => said.push(b'\t'),
                Some('0') => said.push(0),
                Some(c @ ('\\' | '~' | '#' | '>' | '<')) => said.push(c as u8),
                Some('x') => said.push(hex_byte(rest.next(), rest.next())?),
                Some(mark @ ('|' | '[' | ']')) => {
                    self.push(Step::Say(std::mem::take(&mut said)));
                    self.push(match mark {
                        '|' => Step::Split,
                        _ => Step::Lost(mark == '['),
                    });
                }
                other => return Err(format!("\\{} is no escape", other.unwrap_or(' '))),
            }
        }
        if ends {
            said.extend_from_slice(b"\r\n");
        }
        self.push(Step::Say(said));
        Ok(())
    }

    fn directive(&mut self, text: &str) -> Result<(), String> {
        let (name, value) = text.split_once(' ').unwrap_or((text, ""));
        let step = match name {
            "#" => return Ok(()),
            "client" | "server" | "mss" | "snap" | "link" | "vlan" | "encap" => {
                return self.setting(name, value);
            }
            "split" => Step::Split,
            "every" => Step::Every(number(value)?),
            "lost" => Step::Lost(true),
            "found" => Step::Lost(false),
            "delay" => Step::Delay(duration(value)?),
            "close" => Step::Close(side(value)?),
            "finish" => Step::Finish(side(value)?),
            "reset" => Step::Reset(side(value)?),
            "acks" => Step::Acks(value == "on"),
            "see" => match value {
                "both" => Step::See(true, true),
                "client" => Step::See(true, false),
                "server" => Step::See(false, true),
                "nothing" => Step::See(false, false),
                other => return Err(format!("see what? not {other}")),
            },
            "repeat" => Step::Repeat,
            "swap" => Step::Swap,
            "overlap" => {
                let (back, bytes) = value.split_once(' ').ok_or("overlap N TEXT")?;
                Step::Overlap(number(back)?, unescape(bytes)?)
            }
            "fill" => {
                let (len, pattern) = value.split_once(' ').ok_or("fill N TEXT")?;
                Step::Say(pattern.bytes().cycle().take(number(len)?).collect())
            }
            "hex" => Step::Say(hex(value)?),
            "connect" => Step::Connect(value == "again"),
            other => return Err(format!("{other} is no directive")),
        };
        self.push(step);
        Ok(())
    }

    fn setting(&mut self, name: &str, value: &str) -> Result<(), String> {
        let dialogue = &mut self.dialogue;
        match name {
            "client" => dialogue.client = addr(value)?,
            "server" => dialogue.server = addr(value)?,
            "mss" => dialogue.mss = number(value)?,
            "snap" => dialogue.snap = Some(number(value)?),
            "link" => {
                dialogue.framing.link = match value {
                    "ethernet" => LinkKind::Ethernet,
                    "sll" => LinkKind::Sll,
                    "sll2" => LinkKind::Sll2,
                    "raw" => LinkKind::Raw,
                    "null" => LinkKind::Null,
                    other => return Err(format!("{other} is no link layer")),
                }
            }
            "vlan" => dialogue.framing.vlans = value.split(',').map(number).collect::<Result<_, _>>()?,
            _ => dialogue.framing.encapsulations.push(encapsulation(value)?),
        }
        Ok(())
    }

    fn push(&mut self, step: Step) {
        if step != Step::Say(Vec::new()) {
            self.dialogue.steps.push(step);
        }
    }
}

fn speaker(line: &str) -> Option<Direction> {
    match line.trim_end() {
        ">>>" => Some(Direction::Up),
        "<<<" => Some(Direction::Down),
        _ => None,
    }
}

fn side(text: &str) -> Result<Direction, String> {
    match text {
        "client" => Ok(Direction::Up),
        "server" => Ok(Direction::Down),
        other => Err(format!("{other:?} is neither client nor server")),
    }
}

fn encapsulation(text: &str) -> Result<Encapsulation, String> {
    let (name, value) = text.split_once(' ').unwrap_or((text, "1"));
    Ok(match name {
        "vxlan" => Encapsulation::Vxlan(number(value)?),
        "geneve" => Encapsulation::Geneve(number(value)?),
        "gre" => Encapsulation::Gre,
        "gre-ethernet" => Encapsulation::GreEthernet(number(value)?),
        "gre-full" => Encapsulation::GreFull(number(value)?),
        "erspan1" => Encapsulation::Erspan1,
        "erspan2" => Encapsulation::Erspan2(number(value)?),
        "erspan3" => Encapsulation::Erspan3(number(value)?),
        "vxlan-gpe" => Encapsulation::VxlanGpe(number(value)?),
        "gtp-u" => Encapsulation::GtpU(number(value)?),
        "tzsp" => Encapsulation::Tzsp,
        "teredo" => Encapsulation::Teredo,
        "ipip" => Encapsulation::IpIp,
        "ip-in-6" => Encapsulation::IpIn6,
        "mpls-ethernet" => Encapsulation::MplsEthernet(number(value)?),
        "pbb" => Encapsulation::Pbb(number(value)?),
        "vn-tag" => Encapsulation::VnTag,
        "nsh" => Encapsulation::Nsh,
        "mpls" => Encapsulation::Mpls(number(value)?),
        "pppoe" => Encapsulation::Pppoe(number(value)?),
        other => return Err(format!("{other} is no encapsulation")),
    })
}

fn addr(text: &str) -> Result<Addr, String> {
    let socket: SocketAddr = text.parse().map_err(|_| format!("{text} is no address with port"))?;
    Ok(Addr { ip: socket.ip(), port: socket.port() })
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.trim().parse().map_err(|_| format!("{text:?} is no number"))
}

fn duration(text: &str) -> Result<i64, String> {
    let (digits, unit) = match text.strip_suffix("ms") {
        Some(digits) => (digits, 1e6),
        None => (text.strip_suffix('s').ok_or("a delay ends with s or ms")?, 1e9),
    };
    number::<f64>(digits).map(|n| (n * unit) as i64)
}

fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (c, c == '\\') {
            (_, true) => match rest.next() {
                Some('r') => out.push(b'\r'),
                Some('n') => out.push(b'\n'),
                Some('x') => out.push(hex_byte(rest.next(), rest.next())?),
                _ => out.push(b'\\'),
            },
            (c, _) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Ok(out)
}

fn hex(text: &str) -> Result<Vec<u8>, String> {
    let mut digits = text.chars().filter(|c| !c.is_whitespace());
    let mut out = Vec::new();
    while let Some(high) = digits.next() {
        out.push(hex_byte(Some(high), digits.next())?);
    }
    Ok(out)
}

fn hex_byte(high: Option<char>, low: Option<char>) -> Result<u8, String> {
    let digit = |c: Option<char>| c.and_then(|c| c.to_digit(16)).ok_or("two hexadecimal digits wanted");
    Ok((digit(high)? << 4 | digit(low)?) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_marks_and_escapes_are_read() {
        let text = "# Title\n# RFC 9112 §2: why\n~ vlan 3\n\n>>>\nGET / H\\|TTP\\x2f1.1\nA: b\\n\\\n\\[lost\\]\n~ split\n<<<\n~ fill 5 ab\n";
        let dialogue = read(text).unwrap();
        assert_eq!((dialogue.title.as_str(), dialogue.references.len()), ("Title", 1));
        assert_eq!(dialogue.framing.vlans, [3]);
        let say = |text: &str| Step::Say(text.as_bytes().to_vec());
        let want = [
            Step::Speak(Direction::Up),
            say("GET / H"),
            Step::Split,
            say("TTP/1.1\r\n"),
            say("A: b\n"),
            Step::Lost(true),
            say("lost"),
            Step::Lost(false),
            say("\r\n"),
            Step::Split,
            Step::Speak(Direction::Down),
            say("ababa"),
        ];
        assert_eq!(dialogue.steps, want);
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        let told = |text: &str| read(text).unwrap_err().to_string();
        assert_eq!(told("# x\nGET /"), "line 2: text before the first >>> or <<<");
        assert_eq!(told(">>>\n~ jump"), "line 2: jump is no directive");
        assert_eq!(told(">>>\na\\q"), "line 2: \\q is no escape");
    }
}

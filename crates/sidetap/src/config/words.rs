//! What serde says of a value, in words of the file: which key, what is wrong with it, how to write it.

use super::error::nearest;
use super::told::is_secret;

/// What is wrong with the value at byte `start` of `text`, up to `end`; nothing where serde's own words must do.
pub(super) fn of_value(message: &str, text: &str, start: usize, end: usize) -> Option<String> {
    let key = key_at(text, start)?;
    let written = text.get(start..end).unwrap_or_default().trim();
    let secret = key != "tokens" && is_secret(&[key]);
    if secret && message.starts_with("string values must be quoted") {
        return Some(format!(
            "{key}: a credential is named, not written here: `{{ file = \"PATH\" }}` or `{{ env = \"NAME\" }}`"
        ));
    }
    let unshown = secret || written.is_empty() || written.contains('\n');
    let written: &str = if unshown { "this" } else { written };
    let why = reason(message, key, written)?;
    Some(format!("{key}: {why}"))
}

/// The reason, without the key.
fn reason(message: &str, key: &str, written: &str) -> Option<String> {
    if let Some(named) = message.strip_prefix("missing field `") {
        return Some(format!("`{}` is missing here", named.trim_end_matches('`')));
    }
    if let Some(rest) = message.strip_prefix("unknown variant `") {
        let mut names = rest.split('`').step_by(2);
        let given = names.next()?;
        let known: Vec<&str> = names.filter(|n| !n.is_empty()).collect();
        let near = nearest(given, known.iter().copied()).map(|n| format!("; did you mean \"{n}\"?"));
        return Some(format!("`{given}` is none of {}{}", known.join(", "), near.unwrap_or_default()));
    }
    match message {
        "duplicate key" => return Some("stands here twice: take one of the two out".to_owned()),
        "invalid socket address syntax" => return Some(address(written)),
        _ if message.starts_with("string values must be quoted") => return Some(quoted(key, written)),
        _ if message.starts_with("unexpected leading zero") => {
            return Some("a number is written without zeros before it".to_owned());
        }
        _ if message.starts_with("a size ") || message.starts_with("a text") => {
            return Some(format!("{written} is not {message}"));
        }
        _ => {}
    }
    if message.contains("`this` is no ") {
        return Some(message.replacen("this", written.trim_matches(['"', '[', ']']), 1));
    }
    let (found, expected) = message.strip_prefix("invalid ")?.split_once(", expected ")?;
    Some(match expected {
        "a boolean" => format!("{written} is neither true nor false; these are written without quotes"),
        "a sequence" if found == "type: map" => {
            format!("there may be several of them: begin each with [[{key}]], in double brackets")
        }
        "a sequence" => format!("a list is needed: write {key} = [{written}]"),
        "a string" => quoted(key, written),
        "socket address" => address(written),
        _ => {
            let most = most(expected)?;
            let number = if written.parse::<i128>().is_ok() { "is out of range" } else { "is no number" };
            format!("{written} {number}: write a whole number from 0 to {most}, without quotes")
        }
    })
}

fn quoted(key: &str, written: &str) -> String {
    format!("a text is needed, and stands in quotes: write {key} = \"{}\"", written.trim_matches('"'))
}

fn address(written: &str) -> String {
    format!("{written} is no address with a port: write it like \"127.0.0.1:8642\" or \"[::1]:8642\"")
}

/// The largest number of a type of serde's.
fn most(kind: &str) -> Option<u64> {
    Some(match kind {
        "u8" => u8::MAX.into(),
        "u16" => u16::MAX.into(),
        "u32" => u32::MAX.into(),
        "u64" | "usize" => u64::MAX,
        _ => return None,
    })
}

/// The key whose value holds byte `at`, or the table that begins there.
fn key_at(text: &str, at: usize) -> Option<&str> {
    let line_end = text.get(at..)?.find('\n').map_or(text.len(), |n| at + n);
    text.get(..line_end)?.lines().rev().find_map(|line| {
        let line = line.trim();
        if line.starts_with('[') && !line.contains('=') {
            let name = line.split('#').next().unwrap_or(line).trim();
            return Some(name.trim_matches(['[', ']', ' ']));
        }
        let (key, _) = line.split_once('=')?;
        let key = key.trim();
        let is_key = key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        (is_key && !key.is_empty()).then_some(key)
    })
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    fn refused(text: &str) -> String {
        let message = parse(std::path::Path::new("c"), text).unwrap_err().to_string();
        assert!(!message.contains("expected"), "words of serde's: {message}");
        message
    }

    #[test]
    fn a_credential_that_is_written_here_is_not_repeated() {
        for text in [
            "[sso]\nclient_secret = \"S3CRET-of-the-site\"\n",
            "[sso]\nclient_secret = S3CRET-of-the-site\n",
            "[sso]\nclient_secret = [\"S3CRET-of-the-site\"]\n",
            "[[mitigation.cloudflare]]\ntoken = \"S3CRET-of-the-site\"\n",
            "[[mitigation.crowdsec]]\npassword = S3CRET-of-the-site\n",
            "[[mitigation.webhook]]\nsecret = { S3CRET = 1 }\n",
            "[[mitigation.alerts.sink]]\nurl_secret = \"https://hooks.example/S3CRET\"\n",
        ] {
            let said = parse(std::path::Path::new("c"), text).unwrap_err().to_string();
            assert!(!said.contains("S3CRET"), "{said}");
            assert!(
                said.contains("a credential is named, not written here: `{ file = \"PATH\" }`"),
                "{said}"
            );
        }
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_named_with_how_to_write_it() {
        for (text, said) in [
            (
                "[capture]\nvxlan_ports = [99999]\n",
                "c:2:16: vxlan_ports: 99999 is out of range: write a whole number from 0 to 65535, without quotes",
            ),
            (
                "[capture]\nvxlan_ports = [\n  4789,\n  70000,\n]\n",
                "c:4:3: vxlan_ports: 70000 is out of range",
            ),
            (
                "[capture]\nvxlan_ports = 4789\n",
                "c:2:15: vxlan_ports: a list is needed: write vxlan_ports = [4789]",
            ),
            ("[capture]\nvxlan_ports = [\"x\"]\n", "c:2:16: vxlan_ports: \"x\" is no number"),
            ("[capture]\nsnaplen = -1\n", "c:2:11: snaplen: -1 is out of range"),
            ("[capture]\npromiscuous = \"yes\"\n", "c:2:15: promiscuous: \"yes\" is neither true nor false"),
            ("[capture]\nchecksums = \"ignored\"\n", "none of auto, ignore; did you mean \"ignore\"?"),
            ("[capture]\ninterfaces = \"eth0\"\n", "write interfaces = [\"eth0\"]"),
            ("[capture]\nfanout = 1\nfanout = 2\n", "c:3:1: fanout: stands here twice"),
            ("[analysis]\nmemory_limit = true\n", "memory_limit: true is not a size like \"512M\""),
            ("[analysis]\nworkers = 08\n", "workers: a number is written without zeros"),
            ("[output]\nflagged_recipient = 5\n", "flagged_recipient: 5 is not a text, or a list of texts"),
            (
                "[store]\npath = db.sqlite\n",
                "path: a text is needed, and stands in quotes: write path = \"db.sqlite\"",
            ),
            ("[console]\nlisten = \"8642\"\n", "listen: \"8642\" is no address with a port: write it like"),
            ("[console]\nlisten = 8642\n", "listen: 8642 is no address with a port"),
            (
                "[zones]\nname = \"a\"\n",
                "c:1:1: zones: there may be several of them: begin each with [[zones]]",
            ),
            (
                "[[zones]]\nname = 5\n",
                "c:2:8: name: a text is needed, and stands in quotes: write name = \"5\"",
            ),
            (
                "[[zones]]\nname = \"a\"\nvlans = [-1]\n",
                "vlans: `-1` is no number and no range like \"100-199\"",
            ),
            ("[[mitigation.feed]]\n", "mitigation.feed: `path` is missing here"),
        ] {
            assert!(refused(text).contains(said), "{text}\n{}\n{said}", refused(text));
        }
    }
}

//! Rules for crawlers (robots.txt, RFC 9309).

use crate::observation::{Robots, RobotsGroup};

/// Reads a robots.txt (RFC 9309), at most 64 groups of 200 rules.
pub(super) fn robots(body: &[u8]) -> Option<Box<Robots>> {
    let text = String::from_utf8_lossy(body.get(..body.len().min(65_536)).unwrap_or(body));
    let mut robots = Robots::default();
    let mut naming = false;
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let Some((name, value)) = line.split_once(':') else { continue };
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        if name == "user-agent" {
            if !naming {
                if robots.groups.len() == 64 {
                    break;
                }
                robots.groups.push(RobotsGroup::default());
            }
            naming = true;
            if let Some(group) = robots.groups.last_mut() {
                group.agents.push(value.to_ascii_lowercase());
            }
            continue;
        }
        let Some(group) = robots.groups.last_mut() else { continue };
        match name.as_str() {
            "disallow" if !value.is_empty() && group.disallow.len() < 200 => {
                group.disallow.push(value.into());
            }
            "allow" if !value.is_empty() && group.allow.len() < 200 => group.allow.push(value.into()),
            "disallow" | "allow" | "crawl-delay" => {}
            _ => continue,
        }
        naming = false;
    }
    (!robots.groups.is_empty()).then(|| Box::new(robots))
}

impl Robots {
    /// True where the rules for an agent forbid `path` (RFC 9309 §2.2: the longest rule that matches decides, and where two are as
    /// long, the one that allows).
    pub fn forbids(&self, agent: &str, path: &str) -> bool {
        let agent = agent.to_ascii_lowercase();
        let named = |g: &&RobotsGroup| {
            g.agents.iter().any(|a| a != "*" && !a.is_empty() && agent.contains(a.as_str()))
        };
        let mut groups: Vec<&RobotsGroup> = self.groups.iter().filter(named).collect();
        if groups.is_empty() {
            groups = self.groups.iter().filter(|g| g.agents.iter().any(|a| a == "*")).collect();
        }
        let longest = |rules: &dyn Fn(&RobotsGroup) -> &Vec<String>| {
            groups.iter().flat_map(|g| rules(g).iter()).filter_map(|r| matched(r, path)).max()
        };
        let deny = longest(&|g| &g.disallow);
        let allow = longest(&|g| &g.allow);
        deny.is_some() && deny > allow
    }
}

/// The length of a rule that matches `path` from its beginning on: `*` stands for any bytes, `$` at the end for the end (RFC 9309 §2.2.3).
fn matched(rule: &str, path: &str) -> Option<usize> {
    let (pattern, ends) = rule.strip_suffix('$').map_or((rule, false), |pattern| (pattern, true));
    let mut pieces = pattern.split('*');
    let mut rest = path.strip_prefix(pieces.next().unwrap_or_default())?;
    let mut pieces = pieces.peekable();
    if ends && pieces.peek().is_none() && !rest.is_empty() {
        return None;
    }
    while let Some(piece) = pieces.next() {
        if ends && pieces.peek().is_none() {
            return rest.ends_with(piece).then_some(rule.len());
        }
        rest = rest.get(rest.find(piece)? + piece.len()..)?;
    }
    Some(rule.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn robots_rules_are_read_by_agent() {
        let r =
            robots(b"User-agent: GPTBot\nDisallow: /\n\nUser-agent: *\nDisallow: /api/\nAllow: /api/open\n")
                .unwrap();
        assert!(r.forbids("gptbot", "/p/1"));
        assert!(!r.forbids("googlebot", "/p/1"));
        assert!(r.forbids("googlebot", "/api/x"));
        assert!(!r.forbids("googlebot", "/api/open/y"));
    }

    #[test]
    fn stars_and_dollars_stand_for_what_they_should() {
        for (rule, path, hit) in [
            ("/", "/a", true),
            ("/*?sort=", "/list?sort=up", true),
            ("/*?sort=", "/list", false),
            ("/*.pdf$", "/doc/a.pdf", true),
            ("/*.pdf$", "/doc/a.pdf?x", false),
            ("/*.pdf$", "/doc/a.pdf/b.pdf", true),
            ("/exact$", "/exact", true),
            ("/exact$", "/exactly", false),
            ("/a*b*c", "/a-b-c-d", true),
            ("/a*b*c", "/a-c-b", false),
            ("*/private", "/x/private/y", true),
            ("/*", "/x", true),
            ("/a*$", "/ab", true),
            ("/\u{e4}*", "/a", false),
        ] {
            assert_eq!(matched(rule, path).is_some(), hit, "{rule} {path}");
        }
        let r =
            robots(b"User-agent: *\nDisallow: /*?sort=\nDisallow: /*.pdf$\nAllow: /free*.pdf$\n").unwrap();
        assert!(!r.forbids("feedreader", "/articles/7") && r.forbids("feedreader", "/list?sort=up"));
        assert!(r.forbids("feedreader", "/a.pdf") && !r.forbids("feedreader", "/free/long/name.pdf"));
    }
}

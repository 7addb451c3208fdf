use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

use crate::observation::Traits;
use crate::{PackError, hash};

/// What an agent string says about its sender. A claim, never a proof.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Agent {
    /// What it claims to be.
    pub kind: AgentKind,
    /// Browser family or the token that was recognised.
    pub family: String,
    /// Major version of a browser, 0 where unknown.
    pub major: u16,
    /// Operating system.
    pub platform: Platform,
    /// Index of the entry of the pack that recognised it.
    pub entry: Option<u16>,
    /// The string itself, at most 120 characters.
    pub text: String,
    /// Hash of the whole string.
    pub hash: u64,
    /// What is odd about the string.
    pub traits: Traits,
}

/// What an agent claims to be.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentKind {
    /// It says nothing.
    #[default]
    Missing,
    /// A browser.
    Browser,
    /// An app that names itself, or the library that apps are written with.
    AppLibrary,
    /// An HTTP library or scripting client.
    Library,
    /// An API client for developers, a load generator.
    ApiClient,
    /// A security scanner or brute forcer.
    Scanner,
    /// A headless or driven browser.
    Headless,
    /// A search engine's crawler or another declared robot.
    Crawler,
    /// A crawler that feeds language models.
    AiCrawler,
    /// A fetcher that acts for a person's prompt.
    AiAgent,
    /// An uptime or synthetic monitor.
    Monitor,
    /// A link preview.
    Preview,
    /// Something else that names itself.
    Other,
}

impl AgentKind {
    /// All kinds.
    pub const ALL: [AgentKind; 13] = [
        AgentKind::Missing,
        AgentKind::Browser,
        AgentKind::AppLibrary,
        AgentKind::Library,
        AgentKind::ApiClient,
        AgentKind::Scanner,
        AgentKind::Headless,
        AgentKind::Crawler,
        AgentKind::AiCrawler,
        AgentKind::AiAgent,
        AgentKind::Monitor,
        AgentKind::Preview,
        AgentKind::Other,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            AgentKind::Missing => "missing",
            AgentKind::Browser => "browser",
            AgentKind::AppLibrary => "app-library",
            AgentKind::Library => "library",
            AgentKind::ApiClient => "api-client",
            AgentKind::Scanner => "scanner",
            AgentKind::Headless => "headless",
            AgentKind::Crawler => "crawler",
            AgentKind::AiCrawler => "ai-crawler",
            AgentKind::AiAgent => "ai-agent",
            AgentKind::Monitor => "monitor",
            AgentKind::Preview => "preview",
            AgentKind::Other => "other",
        }
    }
}

/// Operating system that an agent string names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Platform {
    /// None named.
    #[default]
    Unknown,
    /// Windows.
    Windows,
    /// macOS.
    Mac,
    /// Linux.
    Linux,
    /// Android.
    Android,
    /// iOS.
    Ios,
    /// ChromeOS.
    ChromeOs,
}

/// The pack of known agents.
#[derive(Clone, Debug)]
pub struct Agents {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    token: String,
    kind: AgentKind,
    #[serde(default)]
    operator: Option<String>,
    #[serde(default)]
    ranges: Vec<IpNet>,
    /// Lists of published addresses of network intelligence that verify it.
    #[serde(default)]
    lists: Vec<String>,
    /// What it is for, where its kind does not say.
    #[serde(default)]
    function: Option<String>,
    #[serde(default)]
    exact: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PackFile {
    version: u32,
    agents: Vec<Entry>,
}

impl Agents {
    /// The agents that Sidetap knows.
    pub fn builtin() -> Result<Self, PackError> {
        Self::parse_pack(include_str!("../packs/agents.yaml"))
    }

    /// Reads a pack.
    pub fn parse_pack(text: &str) -> Result<Self, PackError> {
        let file: PackFile = serde_yaml_ng::from_str(text).map_err(|e| PackError::Yaml(e.to_string()))?;
        if file.version != 1 {
            return Err(PackError::Version(file.version));
        }
        Ok(Agents { entries: file.agents })
    }

    /// Who operates the agent of this entry.
    pub fn operator(&self, agent: &Agent) -> Option<&str> {
        self.entry(agent)?.operator.as_deref()
    }

    /// True or false where the operator publishes address ranges; else nothing is known.
    pub fn verified(&self, agent: &Agent, ip: IpAddr) -> Option<bool> {
        let entry = self.entry(agent)?;
        if entry.ranges.is_empty() {
            return None;
        }
        Some(entry.ranges.iter().any(|r| r.contains(&ip)))
    }

    /// Names of the lists of published addresses that verify an agent.
    pub fn lists(&self, agent: &Agent) -> impl Iterator<Item = &str> {
        self.entry(agent).into_iter().flat_map(|e| e.lists.iter().map(String::as_str))
    }

    /// What a declared robot is for: `search`, `training`, `user` (for a person's prompt), `agent`, `seo`, `archive`,
    /// `monitoring`, `preview`.
    pub fn function(&self, agent: &Agent) -> Option<&str> {
        let own = self.entry(agent).and_then(|e| e.function.as_deref());
        own.or(match agent.kind {
            AgentKind::AiCrawler => Some("training"),
            AgentKind::AiAgent => Some("user"),
            AgentKind::Monitor => Some("monitoring"),
            AgentKind::Preview => Some("preview"),
            AgentKind::Crawler if agent.entry.is_some() => Some("search"),
            _ => None,
        })
    }

    fn entry(&self, agent: &Agent) -> Option<&Entry> {
        self.entries.get(usize::from(agent.entry?))
    }

    /// Reads an agent string.
    pub fn read(&self, text: &[u8]) -> Agent {
        let shown: String =
            String::from_utf8_lossy(text).chars().filter(|c| !c.is_control()).take(120).collect();
        let low: String =
            String::from_utf8_lossy(text.get(..text.len().min(512)).unwrap_or(text)).to_lowercase();
        let mut agent = Agent {
            kind: AgentKind::Missing,
            family: String::new(),
            major: 0,
            platform: platform(&low),
            entry: None,
            text: shown,
            hash: hash::of(text),
            traits: oddities(text, &low),
        };
        if low.trim().is_empty() || low == "-" {
            agent.traits.insert(Traits::AGENT_MISSING);
            return agent;
        }
        if let Some((i, entry)) = self.entries.iter().enumerate().find(|(_, e)| e.matches(&low)) {
            let browser_shell = entry.kind == AgentKind::Library
                && low.starts_with("mozilla/5.0 (")
                && browser(&low).is_some();
            if !browser_shell {
                agent.kind = entry.kind;
                agent.family = entry.token.clone();
                agent.entry = u16::try_from(i).ok();
                return agent;
            }
        }
        if let Some((family, major)) = browser(&low) {
            agent.kind = AgentKind::Browser;
            agent.family = family.into();
            agent.major = major;
        } else if generic_robot(&low) {
            // Who declares himself a robot says whose: a name alone is a program's like any other.
            let says_whose = low.contains("http") || low.contains("www.") || low.contains('@');
            agent.kind = if says_whose { AgentKind::Crawler } else { AgentKind::Library };
            agent.family = product(&low);
        } else if ["github.com/", "gitlab.com/", "npmjs.com/", "pypi.org/"].iter().any(|h| low.contains(h)) {
            // It names where its code is, and nobody whose it is.
            agent.kind = AgentKind::Library;
            agent.family = product(&low);
        } else {
            agent.kind = if looks_like_app(&low) { AgentKind::AppLibrary } else { AgentKind::Other };
            agent.family = product(&low);
        }
        agent
    }
}

impl Entry {
    fn matches(&self, low: &str) -> bool {
        if self.exact { low == self.token } else { low.contains(&self.token) }
    }
}

impl Agent {
    /// True where it claims a browser built on Chromium.
    pub fn is_chromium(&self) -> bool {
        matches!(self.family.as_str(), "chrome" | "edge" | "opera" | "samsung" | "brave" | "vivaldi")
    }

    /// True where it is declared automation: a crawler, monitor, preview or agent under its own name.
    pub fn is_declared(&self) -> bool {
        matches!(
            self.kind,
            AgentKind::Crawler
                | AgentKind::AiCrawler
                | AgentKind::AiAgent
                | AgentKind::Monitor
                | AgentKind::Preview
        )
    }
}

fn browser(low: &str) -> Option<(&'static str, u16)> {
    const MARKS: &[(&str, &str)] = &[
        ("edg/", "edge"),
        ("edga/", "edge"),
        ("edgios/", "edge"),
        ("edge/", "edge"),
        ("opr/", "opera"),
        ("samsungbrowser/", "samsung"),
        ("vivaldi/", "vivaldi"),
        ("fxios/", "firefox-ios"),
        ("crios/", "chrome-ios"),
        ("firefox/", "firefox"),
        ("chromium/", "chrome"),
        ("chrome/", "chrome"),
        ("msie ", "ie"),
        ("trident/", "ie"),
    ];
    if !low.starts_with("mozilla/") && !low.starts_with("opera/") {
        return None;
    }
    for (mark, family) in MARKS {
        if let Some(major) = number_after(low, mark) {
            return Some((family, major));
        }
    }
    if low.contains("safari/") {
        return Some(("safari", number_after(low, "version/").unwrap_or(0)));
    }
    let plain = low.contains("applewebkit/") || low.contains("gecko/");
    plain.then_some(("webview", 0))
}

fn number_after(low: &str, mark: &str) -> Option<u16> {
    let at = low.find(mark)? + mark.len();
    let digits: String = low.get(at..)?.chars().take_while(char::is_ascii_digit).take(4).collect();
    digits.parse().ok()
}

fn generic_robot(low: &str) -> bool {
    ["bot/", "bot;", "bot ", "bot)", "crawler", "spider", "crawl/", "slurp", "archiver", "fetcher", "+http"]
        .iter()
        .any(|t| low.contains(t))
        || low.ends_with("bot")
}

fn looks_like_app(low: &str) -> bool {
    ["android", "ios ", "iphone", "ipad", "build:", "build/", "darwin/", "com."]
        .iter()
        .any(|t| low.contains(t))
}

fn product(low: &str) -> String {
    low.split(['/', ' ', ';', '(']).find(|p| !p.is_empty()).unwrap_or_default().chars().take(32).collect()
}

fn platform(low: &str) -> Platform {
    const MARKS: &[(&str, Platform)] = &[
        ("android", Platform::Android),
        ("iphone", Platform::Ios),
        ("ipad", Platform::Ios),
        ("ios ", Platform::Ios),
        ("cros ", Platform::ChromeOs),
        ("windows", Platform::Windows),
        ("mac os x", Platform::Mac),
        ("macintosh", Platform::Mac),
        ("linux", Platform::Linux),
        ("x11", Platform::Linux),
    ];
    MARKS.iter().find(|(m, _)| low.contains(m)).map_or(Platform::Unknown, |(_, p)| *p)
}

fn oddities(text: &[u8], low: &str) -> Traits {
    let mut t = Traits::NONE;
    let open = text.iter().filter(|b| **b == b'(').count();
    let close = text.iter().filter(|b| **b == b')').count();
    let template = ["{{", "${", "%s", "user-agent:", "%{", "<ua>"].iter().any(|m| low.contains(m));
    t.set(
        Traits::AGENT_MALFORMED,
        open != close || template || text.iter().any(|b| *b < 0x20) || quoted(low),
    );
    let exploit = ["${jndi", "() {", "union select", "<script", "../..", "sleep(", "' or "];
    t.set(Traits::AGENT_EXPLOIT, exploit.iter().any(|m| low.contains(m)));
    let iphone_windows = low.contains("iphone") && low.contains("windows nt");
    let trident_chrome = low.contains("trident/") && low.contains("chrome/");
    let safari_windows = low.contains("windows nt")
        && number_after(low, "version/").is_some_and(|v| v > 5)
        && !low.contains("chrome/");
    t.set(Traits::AGENT_IMPOSSIBLE, iphone_windows || trident_chrome || safari_windows);
    t.set(
        Traits::AGENT_BARE,
        matches!(
            low.trim(),
            "mozilla/5.0" | "mozilla" | "mozilla/4.0" | "chrome" | "safari" | "firefox" | "browser"
        ),
    );
    t.set(Traits::AGENT_UNREDUCED, is_unreduced(low));
    t
}

/// Desktop Chrome writes its version as N.0.0.0 since 101.
fn is_unreduced(low: &str) -> bool {
    let plain = low.contains("chrome/")
        && !["edg/", "opr/", "mobile", "android", "; wv", "electron"].iter().any(|t| low.contains(t));
    let version = low.split("chrome/").nth(1).and_then(|v| v.split(' ').next()).unwrap_or_default();
    let mut numbers = version.split('.');
    let major = numbers.next().and_then(|n| n.parse::<u32>().ok()).unwrap_or(0);
    plain && major >= 110 && version.contains('.') && numbers.any(|n| n != "0")
}

fn quoted(low: &str) -> bool {
    low.len() > 2 && (low.starts_with('"') || low.starts_with('\'')) && low.ends_with(['"', '\''])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_told_apart() {
        let agents = Agents::builtin().unwrap();
        let kind = |s: &str| agents.read(s.as_bytes()).kind;
        let chrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/154.0.0.0 Safari/537.36";
        assert_eq!(kind(chrome), AgentKind::Browser);
        assert_eq!(agents.read(chrome.as_bytes()).major, 154);
        assert_eq!(
            kind("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"),
            AgentKind::Crawler
        );
        assert_eq!(kind("python-requests/2.32"), AgentKind::Library);
        assert_eq!(kind("copier (https://github.com/someone/copier)"), AgentKind::Library);
        assert_eq!(kind("sqlmap/1.7"), AgentKind::Scanner);
        assert_eq!(
            kind("MyShop/7.4 (com.my.shop; build:22; iOS 18.7.0) Alamofire/5.9.1"),
            AgentKind::AppLibrary
        );
        assert_eq!(kind("acme-sync/2.1 (+https://acme.example)"), AgentKind::Crawler);
        assert_eq!(kind(""), AgentKind::Missing);
        assert_eq!(kind("Mozilla/5.0 AppleWebKit/537.36 (compatible; GPTBot/1.2)"), AgentKind::AiCrawler);
    }

    #[test]
    fn claims_are_checked_against_published_ranges() {
        let agents = Agents::builtin().unwrap();
        let bot = agents.read(b"Mozilla/5.0 (compatible; Googlebot/2.1)");
        assert_eq!(agents.verified(&bot, "66.249.66.1".parse().unwrap()), Some(true));
        assert_eq!(agents.verified(&bot, "203.0.113.1".parse().unwrap()), Some(false));
        let other = agents.read(b"curl/8.1");
        assert_eq!(agents.verified(&other, "203.0.113.1".parse().unwrap()), None);
    }

    #[test]
    fn robots_are_labelled_by_function() {
        let agents = Agents::builtin().unwrap();
        let of = |s: &str| {
            let agent = agents.read(s.as_bytes());
            let function = agents.function(&agent).unwrap_or_default().to_owned();
            (function, agents.operator(&agent).unwrap_or_default().to_owned())
        };
        let is = |f: &str, o: &str| (f.to_owned(), o.to_owned());
        assert_eq!(of("Mozilla/5.0 (compatible; GPTBot/1.2)"), is("training", "OpenAI"));
        assert_eq!(of("OAI-SearchBot/1.0"), is("search", "OpenAI"));
        assert_eq!(of("ChatGPT-User/1.0"), is("user", "OpenAI"));
        assert_eq!(of("AhrefsBot/7.0"), is("seo", "Ahrefs"));
        assert_eq!(of("archive.org_bot"), is("archive", "Internet Archive"));
        assert_eq!(of("UptimeRobot/2.0"), is("monitoring", "UptimeRobot"));
        assert_eq!(of("curl/8.1"), is("", ""));
    }

    #[test]
    fn odd_agents_are_marked() {
        let agents = Agents::builtin().unwrap();
        let odd = |s: &str| agents.read(s.as_bytes()).traits;
        assert!(odd("Mozilla/5.0 (X11").has(Traits::AGENT_MALFORMED));
        assert!(odd("Mozilla/5.0 (iPhone; Windows NT 10.0)").has(Traits::AGENT_IMPOSSIBLE));
        assert!(odd("${jndi:ldap://x}").has(Traits::AGENT_EXPLOIT));
        assert!(odd("Mozilla/5.0").has(Traits::AGENT_BARE));
        let chrome = |v: &str| {
            format!(
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{v} Safari/537.36"
            )
        };
        assert!(odd(&chrome("131.0.6778.86")).has(Traits::AGENT_UNREDUCED));
        assert!(!odd(&chrome("131.0.0.0")).has(Traits::AGENT_UNREDUCED));
    }
}

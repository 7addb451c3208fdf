use serde::Deserialize;

macro_rules! classes {
    ($($(#[doc = $doc:literal])+ $name:ident = $id:literal,)+) => {
        /// What an attempt is after.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Deserialize)]
        pub enum Class {
            $($(#[doc = $doc])+ #[serde(rename = $id)] $name,)+
        }

        impl Class {
            /// The id that outputs use.
            pub const fn id(self) -> &'static str {
                match self { $(Class::$name => $id,)+ }
            }
        }
    };
}

classes! {
    /// SQL injection.
    Sqli = "sqli",
    /// Cross-site scripting.
    Xss = "xss",
    /// Reading files outside what is served.
    PathTraversal = "path-traversal",
    /// Running commands of the system.
    CommandInjection = "command-injection",
    /// Making the server ask elsewhere.
    Ssrf = "ssrf",
    /// Code in templates and expression languages.
    TemplateInjection = "template-injection",
    /// Lookups of Log4j (CVE-2021-44228).
    Log4Shell = "log4shell",
    /// External entities in XML.
    Xxe = "xxe",
    /// Operators in queries of document stores.
    NosqlInjection = "nosql-injection",
    /// Serialised objects that run code.
    Deserialization = "deserialization",
    /// Properties that every object inherits.
    PrototypePollution = "prototype-pollution",
    /// Code put where the server runs it.
    WebShell = "web-shell",
    /// Files and consoles that nobody links to.
    SensitiveFile = "sensitive-file",
    /// Tools that look for holes.
    VulnScan = "vuln-scan",
    /// Headers that lead around access control.
    AccessBypass = "access-bypass",
}

impl Class {
    /// True where an answer that proves it hands out what is not the attacker's: what stands around the proof is the loot.
    pub(crate) const fn takes(self) -> bool {
        !matches!(self, Class::Sqli | Class::Xss | Class::TemplateInjection | Class::NosqlInjection)
    }
}

use crate::class::Class;
use crate::pack::RuleId;

/// An attempt of an exchange.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    pub(crate) class: Class,
    pub(crate) rule: RuleId,
    pub(crate) location: String,
    pub(crate) snippet: String,
    pub(crate) answered: bool,
    pub(crate) proof: Option<RuleId>,
}

impl Attempt {
    /// The class's id, `sqli`.
    pub const fn class(&self) -> &'static str {
        self.class.id()
    }

    /// The rule that fits.
    pub const fn rule(&self) -> RuleId {
        self.rule
    }

    /// `path`, `query:q`, `header:user-agent`, `cookie:c`, `$.a.b`.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// The part that fits, cut, with what could be a secret taken out.
    pub fn snippet(&self) -> &str {
        &self.snippet
    }

    /// Bytes that it holds besides its own size.
    pub fn heap_bytes(&self) -> usize {
        self.location.len() + self.snippet.len()
    }

    /// True where the answer shows that it worked.
    pub const fn is_observed(&self) -> bool {
        self.proof.is_some()
    }
}

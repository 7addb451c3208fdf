//! What of a decision a device can express.

use serde::Serialize;
use sidetap_model::rows::{Subject, SubjectPart, VerdictRow};
use sidetap_model::{Measures, Scope, SubjectKind};

use crate::Response;
use crate::net::parse_net;

/// What a device can compare of a request, and what it can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// Kinds that it can compare; [`SubjectKind::Compound`] where it can compare several at once.
    pub kinds: Vec<SubjectKind>,
    /// Kinds of fingerprints that it computes: `s2`, `a1`.
    pub prints: Vec<String>,
    /// Whether it knows IPv6 addresses.
    pub ipv6: bool,
    /// What it can do.
    pub responses: Vec<Response>,
    /// Whether it can hold a response to hosts and endpoints.
    pub scopes: bool,
}

impl Reach {
    /// A device that knows addresses and networks, and nothing else.
    pub fn addresses(responses: &[Response]) -> Self {
        Reach {
            kinds: vec![SubjectKind::Ip, SubjectKind::Cidr],
            prints: Vec::new(),
            ipv6: true,
            responses: responses.to_vec(),
            scopes: false,
        }
    }

    /// A device that knows all that a policy can say.
    pub fn everything() -> Self {
        let prints = ["d1", "s2", "a1", "h1", "n1"].map(str::to_owned).to_vec();
        let responses = Response::ALL.into_iter().filter(|r| r.acts()).collect();
        Reach { kinds: SubjectKind::ALL.to_vec(), prints, ipv6: true, responses, scopes: true }
    }

    /// Why a subject cannot be compared here.
    pub fn cannot(&self, subject: &Subject) -> Option<String> {
        let parts = subject.each_part();
        let (places, who): (Vec<&SubjectPart>, Vec<&SubjectPart>) =
            parts.iter().partition(|p| is_place(p.kind));
        if !self.scopes && !places.is_empty() {
            return Some("it cannot hold a response to hosts and endpoints".to_owned());
        }
        if who.len() > 1 && !self.kinds.contains(&SubjectKind::Compound) {
            let kinds: Vec<&str> = who.iter().map(|p| p.kind.name()).collect();
            return Some(format!("it cannot compare {} at once", kinds.join(" and ")));
        }
        who.iter().find_map(|p| self.cannot_part(p))
    }

    fn cannot_part(&self, part: &SubjectPart) -> Option<String> {
        if !self.kinds.contains(&part.kind) {
            return Some(format!("it cannot compare a subject of kind {}", part.kind));
        }
        let family = part.value.split_once('-').map_or("", |(family, _)| family);
        match part.kind {
            SubjectKind::Fingerprint if !self.prints.iter().any(|p| p == family) => {
                Some(format!("it does not compute fingerprints of kind {family}"))
            }
            SubjectKind::Ip | SubjectKind::Cidr if !self.ipv6 && part.value.contains(':') => {
                Some("it does not know IPv6".to_owned())
            }
            SubjectKind::Ip | SubjectKind::Cidr if parse_net(&part.value).is_none() => {
                Some("it is no address".to_owned())
            }
            _ => None,
        }
    }

    /// The strongest that this device can express of what policy asks for a verdict; or why it can do nothing.
    pub fn choose(&self, v: &VerdictRow) -> Result<Chosen, String> {
        let plain = Measures::default();
        let measures = v.measures.as_deref().unwrap_or(&plain);
        let asked = v.response.parse::<Response>().unwrap_or_default();
        let mut cannot = Vec::new();
        let mut wanted = std::iter::once(asked).chain(measures.instead.iter().copied());
        let response = wanted.find(|r| {
            let can = self.responses.contains(r);
            if !can {
                cannot.push(format!("it cannot {r}"));
            }
            can
        });
        let own = [v.subject.clone()];
        let subjects = if measures.subjects.is_empty() { &own[..] } else { &measures.subjects };
        let subject = subjects.iter().find(|s| match self.cannot(s) {
            Some(why) => {
                if !cannot.contains(&why) {
                    cannot.push(why);
                }
                false
            }
            None => true,
        });
        let scope = match measures.scope.is_everywhere() || self.scopes {
            true => {
                cannot.extend(measures.scope.left_out());
                Some(measures.scope.clone())
            }
            false => {
                cannot.push("it cannot hold a response to hosts and endpoints".to_owned());
                measures.scope.widen.then(Scope::default)
            }
        };
        match (response, subject, scope) {
            (Some(response), Some(subject), Some(scope)) => {
                Ok(Chosen { subject: subject.clone(), response, scope, cannot })
            }
            _ => Err(cannot.join("; ")),
        }
    }
}

/// Whether a part says where, not who.
fn is_place(kind: SubjectKind) -> bool {
    matches!(kind, SubjectKind::Host | SubjectKind::Method | SubjectKind::Path)
}

/// A subject apart: who, and where. A device that compares both by different means asks for it; without a who everybody is meant.
pub fn who_and_where(subject: &Subject) -> (Option<Subject>, Scope) {
    let (places, who): (Vec<SubjectPart>, Vec<SubjectPart>) =
        subject.each_part().into_iter().partition(|p| is_place(p.kind));
    let place = |kind| places.iter().find(|p| p.kind == kind).map(|p| p.value.as_str());
    let mut scope = Scope::default();
    if !places.is_empty() {
        let method = place(SubjectKind::Method).unwrap_or("*");
        let (host, path) =
            (place(SubjectKind::Host).unwrap_or(""), place(SubjectKind::Path).unwrap_or("/**"));
        scope.endpoints.push(format!("{method} {host}{path}"));
    }
    ((!who.is_empty()).then(|| Subject::of_parts(who)), scope)
}

/// What a device is told of a verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Chosen {
    /// Whom.
    pub subject: Subject,
    /// What.
    pub response: Response,
    /// Where.
    pub scope: Scope,
    /// What it could not be told of what was preferred.
    pub cannot: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::sample;

    #[test]
    fn the_strongest_that_a_device_can_say_is_chosen() {
        let part = |kind, value: &str| SubjectPart { kind, value: value.to_owned() };
        let ip = Subject::of_parts(vec![part(SubjectKind::Ip, "192.0.2.1")]);
        let both = vec![part(SubjectKind::Ip, "192.0.2.1"), part(SubjectKind::Fingerprint, "s2-1")];
        let both = Subject::of_parts(both);
        let mut v = VerdictRow { response: "deceive".into(), ..sample() };
        let instead = vec![Response::Block, Response::RateLimit];
        let mut measures =
            Measures { instead, subjects: vec![both.clone(), ip.clone()], ..Measures::default() };
        v.measures = Some(Box::new(measures.clone()));
        let full = Reach::everything().choose(&v).unwrap();
        assert_eq!((full.response, &full.subject, full.cannot.len()), (Response::Deceive, &both, 0));
        let plain = Reach::addresses(&[Response::RateLimit, Response::Block]).choose(&v).unwrap();
        assert_eq!((plain.response, &plain.subject), (Response::Block, &ip));
        assert_eq!(plain.cannot, ["it cannot deceive", "it cannot compare ip and fingerprint at once"]);
        measures.scope.endpoints = vec!["POST shop.example/login".into()];
        v.measures = Some(Box::new(measures.clone()));
        let why = Reach::addresses(&[Response::Block]).choose(&v).unwrap_err();
        assert!(why.contains("hosts and endpoints"), "{why}");
        measures.scope.widen = true;
        v.measures = Some(Box::new(measures));
        let wide = Reach::addresses(&[Response::Block]).choose(&v).unwrap();
        assert!(wide.scope.is_everywhere() && wide.cannot.len() == 3, "{wide:?}");
        let endpoint = vec![
            part(SubjectKind::Fingerprint, "s2-1"),
            part(SubjectKind::Method, "POST"),
            part(SubjectKind::Path, "/login"),
        ];
        let (who, scope) = who_and_where(&Subject::of_parts(endpoint));
        assert_eq!(who.map(|w| w.value).as_deref(), Some("s2-1"));
        assert_eq!(scope.endpoints, ["POST /login"]);
        v.measures = None;
        assert_eq!(Reach::addresses(&[Response::Block]).choose(&v).unwrap_err(), "it cannot deceive");
    }
}

//! People who are to be forgotten by who acts on verdicts: no verdict on them is left, and what came of it leaves devices.

use sidetap_model::rows::VerdictRow;
use sidetap_model::{SubjectKind, Ts};
use sidetap_store::ToForget;

use super::Acting;

/// Those that were forgotten last: verdicts of before may still be on their way.
const LATELY: usize = 1_000;

/// Who was forgotten.
#[derive(Default)]
pub(super) struct Forgotten {
    /// The number of the last one.
    last: i64,
    lately: Vec<ToForget>,
}

impl Forgotten {
    /// Whether a verdict is left: on others than those who were forgotten since it was made. Their names are taken out of it.
    pub(super) fn leaves(&self, v: &mut VerdictRow) -> bool {
        self.lately.iter().all(|who| leaves(v, who.kind, &who.value, who.at))
    }
}

/// The same of one.
fn leaves(v: &mut VerdictRow, kind: SubjectKind, name: &str, at: Ts) -> bool {
    if v.first_seen > at {
        return true;
    }
    let subject = &v.subject;
    if subject.kind == kind && subject.value == name
        || subject.parts.iter().any(|p| p.kind == kind && p.value == name)
    {
        return false;
    }
    if kind == SubjectKind::Ip {
        let is = |ip: &std::net::IpAddr| ip.to_string() == name;
        v.client_ips.retain(|ip| !is(ip));
        v.client_ip = v.client_ip.filter(|ip| !is(ip));
    }
    true
}

impl Acting {
    /// Forgets whom the store was asked to forget; says whether there was anybody.
    pub(super) fn forget_people(&mut self) -> bool {
        let Some((store, _, run)) = &self.store else { return false };
        let asked = match store.to_forget(run, self.people.last) {
            Ok(asked) if !asked.is_empty() => asked,
            Ok(_) => return false,
            Err(e) => {
                self.lost.say(format!("whom to forget cannot be read from {}: {e}", store.path().display()));
                return false;
            }
        };
        // Of entries that a watch found on devices nothing but the verdict may be known.
        if let Ok(gone) = store.forgotten_verdicts() {
            self.before.retain(|id| !gone.contains(id));
        }
        for who in asked {
            self.verdicts.retain(|_, v| leaves(v, who.kind, &who.value, who.at));
            self.known.history.forget(who.kind, &who.value);
            self.people.last = who.seq;
            if let Err(e) = store.acted_on_forget(who.seq) {
                self.lost.say(format!("the store cannot be written: {}: {e}", store.path().display()));
            }
            self.people.lately.push(who);
        }
        let over = self.people.lately.len().saturating_sub(LATELY);
        self.people.lately.drain(..over);
        let verdicts = &self.verdicts;
        self.news.retain(|id| verdicts.contains_key(id));
        self.awaited.retain(|id| verdicts.contains_key(id));
        true
    }
}

#[cfg(test)]
mod tests {
    use sidetap_model::rows::Subject;

    use super::*;

    #[test]
    fn verdicts_on_somebody_go_and_others_lose_the_name() {
        let mut v = crate::report::fixture::run().verdicts.remove(0);
        v.subject = Subject { kind: SubjectKind::Ip, value: "203.0.113.7".to_owned(), parts: Vec::new() };
        v.client_ips = vec!["203.0.113.7".parse().unwrap(), "203.0.113.8".parse().unwrap()];
        v.client_ip = None;
        let (at, ip) = (v.first_seen, SubjectKind::Ip);
        assert!(!leaves(&mut v.clone(), ip, "203.0.113.7", at));
        assert!(leaves(&mut v.clone(), ip, "203.0.113.7", at.plus(-1)), "somebody new since");
        assert!(leaves(&mut v.clone(), SubjectKind::Session, "203.0.113.7", at));
        let mut other = v.clone();
        assert!(leaves(&mut other, ip, "203.0.113.8", at));
        assert_eq!(other.client_ips, v.client_ips[..1]);
    }
}

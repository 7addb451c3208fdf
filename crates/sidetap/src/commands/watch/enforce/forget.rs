//! People who are to be forgotten by who acts on verdicts: no verdict on them is left, and what came of it leaves devices.

use sidetap_model::SubjectKind;
use sidetap_model::rows::VerdictRow;
use sidetap_store::ToForget;

use super::super::batch::Batch;
use super::Acting;
use crate::clock;

/// Who was forgotten.
#[derive(Default)]
pub(super) struct Forgotten {
    /// The number of the last one.
    last: i64,
    /// Those whom the run has not said that it forgot: verdicts of before are still on their way.
    open: Vec<ToForget>,
    /// Those whose verdicts the store did not let go yet.
    late: Vec<ToForget>,
}

impl Forgotten {
    /// Whether a verdict that was made before is left: on others. The names of those who were forgotten are taken out of it.
    pub(super) fn leaves(&self, v: &mut VerdictRow) -> bool {
        self.open.iter().all(|who| leaves(v, who.kind, &who.value))
    }
}

/// The same of one.
fn leaves(v: &mut VerdictRow, kind: SubjectKind, name: &str) -> bool {
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
    /// Takes a batch in, in its turn; says whether it asks for a look at the policy.
    pub(super) fn take_in(&mut self, batch: Batch, changed: &mut Vec<VerdictRow>) -> bool {
        match batch {
            Batch::Said { mut verdicts, campaigns } => {
                let asks = verdicts.is_empty();
                self.hear(campaigns);
                verdicts.retain_mut(|v| self.people.leaves(v));
                changed.append(&mut verdicts);
                asks
            }
            Batch::Forgot { forgot } => {
                // Whoever has not been heard of is: all that was said of them came before this.
                self.forget_people();
                changed.retain_mut(|v| self.people.leaves(v));
                self.people.open.retain(|who| who.seq > forgot);
                false
            }
        }
    }

    /// Forgets whom the store was asked to forget; says whether there was anybody.
    pub(super) fn forget_people(&mut self) -> bool {
        let Some((store, _, run)) = &mut self.store else { return false };
        let asked = match store.to_forget(run, self.people.last) {
            Ok(asked) if !asked.is_empty() => asked,
            Ok(_) => {
                self.forget_stored();
                return self.let_forgotten_go();
            }
            Err(e) => {
                let path = store.path().display();
                self.lost.say(format!("whom to forget cannot be read from {path}: {e}"));
                return false;
            }
        };
        let known: Vec<String> = self.verdicts.ids().cloned().collect();
        for who in asked {
            self.verdicts.retain(|v| leaves(v, who.kind, &who.value));
            self.known.history.forget(who.kind, &who.value);
            self.people.last = who.seq;
            self.people.late.push(who.clone());
            self.people.open.push(who);
        }
        self.forget_stored();
        self.let_forgotten_go();
        let verdicts = &self.verdicts;
        let gone: Vec<String> = known.into_iter().filter(|id| !verdicts.contains_key(id)).collect();
        self.news.retain(|id| verdicts.contains_key(id));
        self.awaited.retain(|id| verdicts.contains_key(id));
        self.forget_times(|id| gone.iter().any(|g| g == id));
        true
    }

    /// Of entries that a watch found on devices nothing but the verdict may be known: those of verdicts that were forgotten, before it began
    /// too, are let go. Says whether there were any.
    pub(super) fn let_forgotten_go(&mut self) -> bool {
        let Some((store, ..)) = self.store.as_ref().filter(|_| !self.before.is_empty()) else { return false };
        let known = self.before.len();
        if let Ok(gone) = store.forgotten_verdicts() {
            self.before.retain(|id| !gone.contains(id));
        }
        self.before.len() < known
    }

    /// Has the store forget verdicts on them: at once, or as soon as it can be written. What was said of them since stays.
    fn forget_stored(&mut self) {
        let Some((store, ..)) = &mut self.store else { return };
        let (mut done, mut late) = (Vec::new(), Vec::new());
        for who in std::mem::take(&mut self.people.late) {
            match store.forget_verdicts(&who, clock::now()) {
                Ok(()) => done.push(who),
                Err(e) => {
                    tracing::info!(error = %e, "verdicts on somebody who is to be forgotten wait for the store");
                    late.push(who);
                }
            }
        }
        self.people.late = late;
        let names = |v: &VerdictRow| {
            let mut v = v.clone();
            done.iter().any(|who| !leaves(&mut v, who.kind, &who.value))
        };
        let since: Vec<VerdictRow> = self.verdicts.values().filter(|v| names(v)).cloned().collect();
        self.keep(&since);
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
        let ip = SubjectKind::Ip;
        assert!(!leaves(&mut v.clone(), ip, "203.0.113.7"));
        assert!(leaves(&mut v.clone(), SubjectKind::Session, "203.0.113.7"));
        let mut other = v.clone();
        assert!(leaves(&mut other, ip, "203.0.113.8"));
        assert_eq!(other.client_ips, v.client_ips[..1]);
    }
}

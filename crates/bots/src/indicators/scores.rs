//! What indicators come to without an engine: for who asks what a verdict would be if some of them were off.

use super::pack::Pack;

/// What some indicators come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores {
    /// Log-odds of harm.
    pub harm: f64,
    /// Log-odds of automation.
    pub automation: f64,
    /// Whether they are of two pillars, or one of them alone is proof.
    pub convicts: bool,
}

impl Pack {
    /// What these indicators come to where they fire, families capped; as they hold where nothing is said of the place.
    pub fn scores(&self, fired: &[&str]) -> Scores {
        let of = |(n, i): (usize, &super::Indicator)| fired.contains(&i.id.as_str()).then_some(n);
        let fired: Vec<usize> = self.indicators().iter().enumerate().filter_map(of).collect();
        let view = self.everywhere();
        Scores {
            harm: view.harm(&fired),
            automation: view.automation(&fired, |_| true),
            convicts: view.pillars(&fired) >= 2 || view.has_proof(&fired),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_indicators_come_to_no_more() {
        let pack = Pack::builtin().unwrap();
        let all: Vec<&str> = pack.indicators().iter().map(|i| i.id.as_str()).take(20).collect();
        let (whole, part) = (pack.scores(&all), pack.scores(all.get(..5).unwrap()));
        assert!(whole.automation >= part.automation && whole.harm >= part.harm);
        assert_eq!(
            pack.scores(&["no such indicator"]),
            Scores { harm: 0.0, automation: 0.0, convicts: false }
        );
    }
}

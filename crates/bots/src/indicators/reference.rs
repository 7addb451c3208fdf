//! The reference of all indicators and facts, as `docs/indicators.md` has it.

use std::fmt::Write;

use super::{Indicator, Pack, Pillar, Scope};
use crate::Fact;

const HEAD: &str = "\
# Indicators

<!-- Made by `sidetap indicators reference`; a test holds that it is up to date. -->

An indicator looks at named facts and answers **fire**, **clear** or **not observable**. One that fires adds log-odds of
automation (A) and of harm (H): of a family the strongest counts whole, the others three tenths, so that ten ways of saying
the same thing do not add up. Weak ones convict nobody: a verdict needs a class, and a class needs several indicators of two
pillars, or one that is proof. [detection.md](detection.md) says how scores become verdicts; `sidetap indicators show ID`
shows one whole, with the examples that are its tests.

## Of your own

`indicators = \"DIR\"` in the table `[analysis]` of the configuration names a directory. Every `*.yaml` in it is read, in the
order of names, over the built-in pack. What is wrong is refused with file, line, column and a hint.

```yaml
version: 1

# Weights, thresholds, on or off: everywhere, or where host, endpoint and role fit (`*` stands for any characters).
overrides:
  - indicator: rate-client-outlier        # or family, pillar, kind: all of these that are given must fit
    host: 'export.shop.example'
    thresholds: {client.peak-per-minute: 1200}
  - {indicator: cluster-narrow, endpoint: 'POST /hooks/*', enabled: false}
  - {family: signup-mail, role: sign-up, harm: 0.2}

# New ones (or the same id: in place of the built-in one). `when` lists comparisons that must all hold; `expression` is a
# condition in CEL: facts with `_` for `-`, numbers, == != < <= > >=, + - * /, && || !, has(fact). At most 64 parts, no calls
# and no loops; it is read once. Examples are its tests and are run when it is read.
indicators:
  - id: kiosk-agent-elsewhere
    pillar: behaviour
    kind: user-behaviour
    scope: client
    family: own-kiosk
    description: 'Calls like a kiosk, but as fast as a script.'
    automation: 1.5
    harm: 0.5
    expression: 'agent.browser && client.requests > 50 && (client.gap_ms < 300 || client.pages == 0)'
    examples:
      fire: [{agent.browser: 1, client.requests: 51, client.gap-ms: 299, client.pages: 1}]
      clear: [{agent.browser: 0, client.requests: 51, client.gap-ms: 299, client.pages: 1}]

# Classes of your own stand before the built-in ones; a file `classes.yaml` replaces those.
classes:
  - {id: api-scraping, oat: [OAT-011], scope: client, all: [kiosk-agent-elsewhere], any: [crawl-coverage], suspicious: true}
```

Changes for an endpoint or a role are for indicators that judge a part of an endpoint's traffic (scope `part`); those of a
client as a whole (scope `client`) differ by host at most.
";

impl Pack {
    /// The reference of all indicators and of all facts, in Markdown.
    pub fn reference(&self) -> String {
        let mut out = String::from(HEAD);
        self.counts(&mut out);
        for pillar in Pillar::ALL {
            for scope in [Scope::Client, Scope::Part] {
                let of = |i: &&Indicator| i.pillar == pillar && i.scope == scope;
                let mut all: Vec<&Indicator> = self.indicators().iter().filter(of).collect();
                all.sort_by(|a, b| a.id.cmp(&b.id));
                let whom = match scope {
                    Scope::Client => "of a client as a whole",
                    Scope::Part => "of a part of an endpoint's traffic",
                };
                let _ = write!(
                    out,
                    "\n## {}: {whom}\n\n| indicator | kind | family | A | H | fires where | caution | references |\n|---|---|---|---|---|---|---|---|\n",
                    pillar.name(),
                );
                all.iter().for_each(|i| row(&mut out, i));
            }
        }
        facts(&mut out);
        out
    }

    fn counts(&self, out: &mut String) {
        let all = self.indicators();
        let weighing = all.iter().filter(|i| i.automation != 0.0 || i.harm != 0.0).count();
        let _ = writeln!(
            out,
            "\n{} indicators: {weighing} that weigh something, {} that only tell classes what an endpoint is for.",
            all.len(),
            all.len() - weighing
        );
    }
}

fn row(out: &mut String, i: &Indicator) {
    let proof = if i.proof { "; proof" } else { "" };
    let _ = writeln!(
        out,
        "| `{}` | {} | {} | {} | {}{proof} | {} `{}` | {} | {} |",
        i.id,
        i.kind.name(),
        i.family,
        i.automation,
        i.harm,
        cell(&i.description),
        cell(&i.condition()),
        cell(&i.caution),
        cell(&i.references.join("; ")),
    );
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn facts(out: &mut String) {
    out.push_str(
        "\n## Facts\n\nWhat indicators may look at. A fact that cannot be known makes an indicator not observable. In \
         expressions `-` is written `_`.\n\n| fact | what it is |\n|---|---|\n",
    );
    for (_, name, meaning) in Fact::ALL {
        let _ = writeln!(out, "| `{name}` | {} |", cell(meaning));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_in_the_manual_is_up_to_date() {
        let manual = include_str!("../../../../docs/indicators.md");
        let made = Pack::builtin().unwrap().reference();
        if std::env::var_os("SIDETAP_BLESS").is_some() {
            std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/indicators.md"), &made).unwrap();
            return;
        }
        assert!(manual == made, "write it anew: sidetap indicators reference > docs/indicators.md");
    }
}

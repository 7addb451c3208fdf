//! `sidetap policy suggest`: conditions that tell campaigns from the honest traffic that was stored.

use anyhow::Result;
use sidetap_model::Mode;
use sidetap_policy::{PolicySet, Reach, Response, SuggestOptions, Suggestion, suggested_pack};

use super::known::Asked;
use super::policies;
use crate::cli::{SourceArgs, SuggestArgs};
use crate::config::Config;
use crate::exit::{Lost, Status, Usage};
use crate::output::{Terminal, print, warn, write_lasting};
use crate::report::{Column, Table, count};

/// Suggests.
pub(super) fn run(
    source: &SourceArgs,
    args: &SuggestArgs,
    config: &mut Config,
    terminal: &Terminal,
) -> Result<Status> {
    let asked = Asked::of(source, &args.traffic, config)?;
    let sieve = asked.sieve()?;
    let Some(traffic) = asked.known(sieve.as_deref())?.traffic else {
        return Err(Lost("no requests are stored here: replay with --exchanges".to_owned()).into());
    };
    let policies = policies(config)?;
    let mut options = SuggestOptions { honest_ppm: args.honest_ppm, ..SuggestOptions::default() };
    if args.addresses_only {
        options.reach = Reach::addresses(&[Response::Block]);
    }
    let wanted = |id: &str| args.campaign.as_deref().is_none_or(|c| c == id);
    let all = asked.campaigns()?;
    let campaigns: Vec<_> = all.iter().filter(|c| wanted(&c.id)).collect();
    if let (Some(id), []) = (&args.campaign, campaigns.as_slice()) {
        return Err(Usage(format!("there is no campaign {id}")).into());
    }
    let found: Vec<(&str, Vec<Suggestion>)> =
        campaigns.iter().map(|c| (c.class.as_str(), policies.set().suggest(&traffic, c, &options))).collect();
    let gaps = traffic.gaps();
    gaps.iter().for_each(|gap| warn(gap));
    let all: Vec<Suggestion> = found.iter().flat_map(|(_, s)| s.iter().cloned()).collect();
    if args.json {
        print(&(serde_json::to_string_pretty(&all)? + "\n"))?;
    } else {
        let nothing = found.iter().filter(|(_, s)| s.is_empty()).map(|(class, _)| *class);
        print(&table(&all, nothing.collect(), terminal))?;
    }
    if let Some(file) = &args.out {
        let text = suggested_pack(&all, mode(args.adopt, &gaps));
        let check = PolicySet::parse(&text, "suggested");
        if let Err(errors) = check {
            let why = errors.first().map(ToString::to_string).unwrap_or_default();
            return Err(Lost(format!("the pack is not written: {why}")).into());
        }
        write_lasting(file, |w| w.write_all(text.as_bytes()))?;
    }
    Ok(Status::Done)
}

/// What was measured on a part of the traffic alone acts after somebody's yes.
fn mode(adopt: bool, gaps: &[String]) -> Mode {
    if adopt && gaps.is_empty() { Mode::Enforce } else { Mode::Approve }
}

fn table(all: &[Suggestion], nothing: Vec<&str>, terminal: &Terminal) -> String {
    let mut table = Table::new(&[
        Column::text("CLASS"),
        Column::flexible("CONDITION"),
        Column::number("FIT"),
        Column::number("OF"),
        Column::number("RECALL"),
        Column::number("PRECISION"),
        Column::number("HONEST"),
        Column::number("HONEST THERE"),
    ]);
    for s in all {
        let m = &s.measured;
        let parts: Vec<String> =
            s.subject.each_part().iter().map(|p| format!("{} {}", p.kind, p.value)).collect();
        table.row([
            &s.class,
            &parts.join(" + "),
            &count(m.campaign_requests),
            &count(m.campaign_total),
            &format!("{:.3}", m.recall()),
            &format!("{:.4}", m.precision()),
            &count(m.honest_requests),
            &count(s.honest_there),
        ]);
    }
    let mut text = table.render(terminal);
    for class in nothing {
        text.push_str(&format!("  nothing tells a campaign of {class} from the honest traffic\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_on_a_part_waits_for_a_yes_though_it_is_adopted() {
        let gap = ["7 requests had no room".to_owned()];
        assert_eq!(mode(true, &[]), Mode::Enforce);
        assert_eq!([mode(true, &gap), mode(false, &gap), mode(false, &[])], [Mode::Approve; 3]);
    }
}

//! What a campaign tells of itself once members of it were forgotten.

use serde_json::Value;

/// Stands in the story while others are left.
const SOME: &str = " Some who took part were forgotten since; the numbers are of before.";
/// Stands in the story in the place of how many they were, once nobody is left.
const NOBODY: &str = "clients forgotten since";
/// What follows in it says where they came from.
const PLACES: &str = " Most addresses by ";

/// A row from which members were taken. How many they were, at how many addresses and from where goes with the last of them; while others
/// are left the story says that its numbers are of before.
pub(super) fn retold(before: &str, left: String) -> String {
    let (Ok(was), Ok(mut row)) =
        (serde_json::from_str::<Value>(before), serde_json::from_str::<Value>(&left))
    else {
        return left;
    };
    let members = |row: &Value| row.get("members").and_then(Value::as_array).map_or(0, Vec::len);
    let (all, some) = (members(&was), members(&row));
    if some == all {
        return left;
    }
    if let Some(signature) = row.get_mut("signature").and_then(Value::as_object_mut) {
        if let Some(Value::String(story)) = signature.get_mut("story") {
            *story = if some == 0 { without_clients(story) } else { with_some_forgotten(story) };
        }
        if some == 0 {
            ["addresses", "networks", "countries"].into_iter().for_each(|part| drop(signature.remove(part)));
        }
    }
    if let Some(row) = row.as_object_mut().filter(|_| some == 0) {
        ["networks", "countries"].into_iter().for_each(|part| drop(row.remove(part)));
    }
    row.to_string()
}

fn with_some_forgotten(story: &str) -> String {
    if story.contains(SOME) { story.to_owned() } else { format!("{story}{SOME}") }
}

/// `…, 3 clients at 2 addresses sent …` without the numbers, and without where they came from.
fn without_clients(story: &str) -> String {
    let told = story.replace(SOME, "");
    let told = told.split(PLACES).next().unwrap_or_default();
    let counted = told.split_once(" sent ").and_then(|(who, what)| {
        let (when, who) = who.rsplit_once(", ")?;
        (who.contains(" client") && who.contains(" at ")).then_some((when, what))
    });
    match counted {
        Some((when, what)) => format!("{when}, {NOBODY} sent {what}"),
        None => format!("{told} Who took part was forgotten since."),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const STORY: &str = "From 2026-10-13T09:00:00Z, for 3 minutes, 2 clients at 1 address sent 210 requests to POST a.test/login. It was recognised \
after 2 seconds. Most addresses by countries: DE 1.";

    fn row(members: &[&str], story: &str) -> String {
        let members: Vec<_> = members.iter().map(|ip| json!({"kind": "ip", "value": ip})).collect();
        json!({"members": members, "countries": {"DE": 1}, "signature": {"story": story, "addresses": "1", "countries": "DE 1", "agent": "curl"}})
            .to_string()
    }

    fn told(before: &str, left: String) -> Value {
        serde_json::from_str(&retold(before, left)).unwrap()
    }

    #[test]
    fn while_others_are_left_its_numbers_are_of_before() {
        let (three, two, one) =
            (row(&["a", "b", "c"], STORY), row(&["a", "b"], STORY), |story: &str| row(&["a"], story));
        let once = told(&three, two.clone());
        let story = once["signature"]["story"].as_str().unwrap();
        assert_eq!(story, format!("{STORY}{SOME}"));
        assert_eq!((&once["countries"], &once["signature"]["addresses"]), (&json!({"DE": 1}), &json!("1")));
        let again = told(&once.to_string(), one(story));
        assert_eq!(again["signature"]["story"].as_str().unwrap().matches(SOME).count(), 1);
        assert_eq!(retold(&two, two.clone()), two, "somebody else was forgotten");
    }

    #[test]
    fn with_the_last_one_goes_how_many_they_were_and_from_where() {
        for story in [STORY.to_owned(), format!("{STORY}{SOME}")] {
            let row = told(&row(&["a"], &story), row(&[], &story));
            assert_eq!(
                row["signature"],
                json!({"agent": "curl", "story": "From 2026-10-13T09:00:00Z, for 3 minutes, clients forgotten since sent 210 requests to \
POST a.test/login. It was recognised after 2 seconds."})
            );
            assert!(row.get("countries").is_none());
        }
        let other = told(&row(&["a"], "Somebody tried."), row(&[], "Somebody tried."));
        assert_eq!(other["signature"]["story"], "Somebody tried. Who took part was forgotten since.");
    }
}

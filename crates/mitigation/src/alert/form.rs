//! Alerts in the forms that services take.

use serde_json::{Value, json};

use super::gather::Alert;

/// Four grades of harm, the worst first.
pub(super) fn grade(score: u8) -> usize {
    match score {
        90.. => 0,
        70..=89 => 1,
        40..=69 => 2,
        _ => 3,
    }
}

/// A message of Slack's incoming webhooks.
pub(super) fn slack(alert: &Alert) -> Value {
    let safe = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let cut = |text: &str| safe(text).chars().take(2_900).collect::<String>();
    json!({
        "text": cut(&alert.title),
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": format!("*{}*", cut(&alert.title))}},
            {"type": "section", "text": {"type": "plain_text", "text": cut(&alert.text)}},
        ],
    })
}

/// What services put alerts together by. A digest joins no earlier one, which nobody may have closed and where nobody would hear of it; that the
/// budget is spent is said of a day.
fn key(alert: &Alert) -> String {
    let group = &alert.group;
    let length = match group.as_str() {
        "digest" => "2026-11-27T12:00:00".len(),
        "budget" => "2026-11-27".len(),
        _ => return format!("sidetap-{group}"),
    };
    let at = sidetap_model::Ts::from_parts(alert.at, 0).to_string();
    format!("sidetap-{group}-{}", at.get(..length).unwrap_or_default())
}

/// An event of PagerDuty's Events API v2; what goes on is one incident.
pub(super) fn pagerduty(alert: &Alert, routing_key: &str) -> Value {
    let severity =
        ["critical", "error", "warning", "info"].get(grade(alert.score)).copied().unwrap_or("info");
    json!({
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": key(alert),
        "payload": {
            "summary": alert.title.chars().take(1_024).collect::<String>(),
            "source": "sidetap",
            "severity": severity,
            "class": alert.class,
            "group": alert.group,
            "custom_details": {"text": alert.text, "subjects": alert.subjects, "members": alert.members, "response": alert.response},
        },
    })
}

/// An issue of Jira's REST API v2. Its text stands as it is: no brace in it ends that, in whatever letter case or put together by others.
pub(super) fn jira(alert: &Alert, project: &str, issue_type: &str) -> Value {
    let label: String = alert.group.chars().map(|c| if c.is_whitespace() { '-' } else { c }).collect();
    let summary: String = alert.title.replace('\n', " ").chars().take(255).collect();
    json!({"fields": {
        "project": {"key": project},
        "issuetype": {"name": issue_type},
        "summary": summary,
        "description": format!("{{noformat}}\n{}{{noformat}}", alert.text.replace('{', "{ ")),
        "labels": ["sidetap", label],
    }})
}

/// A record of ServiceNow's table API, of table `incident`.
pub(super) fn servicenow(alert: &Alert) -> Value {
    let urgency = ["1", "1", "2", "3"].get(grade(alert.score)).copied().unwrap_or("3");
    json!({
        "short_description": alert.title.chars().take(160).collect::<String>(),
        "description": alert.text,
        "urgency": urgency,
        "impact": "2",
        "category": "security",
        "correlation_id": key(alert),
        "correlation_display": "Sidetap",
    })
}

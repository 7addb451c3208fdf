use base64::Engine;
use serde::Deserialize;

use super::form;
use super::gather::Alert;
use super::syslog;
use crate::config::{ConfigError, check_name};
use crate::connector::ConnectorError;
use crate::http::{Ask, Http, HttpOptions, check_url};
use crate::secret::{Secret, SecretRef};
use crate::webhook::sign;

/// In which form somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SinkKind {
    /// RFC 5424 over UDP or TCP.
    Syslog,
    /// A signed request.
    Webhook,
    /// Slack's incoming webhooks.
    Slack,
    /// PagerDuty's Events API v2.
    PagerDuty,
    /// Issues of Jira.
    Jira,
    /// Incidents of ServiceNow.
    ServiceNow,
}

/// Who is told: `[[mitigation.alerts.sink]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SinkConfig {
    /// Its name.
    pub name: String,
    /// In which form.
    pub kind: SinkKind,
    /// Where: an address of the web, or `udp://` and `tcp://` for syslog. Slack's own is a secret: see `url_secret`.
    #[serde(default)]
    pub url: Option<String>,
    /// A secret that is the whole address.
    #[serde(default)]
    pub url_secret: Option<SecretRef>,
    /// With what a webhook is signed, PagerDuty's routing key, or the password or token of `user`.
    #[serde(default)]
    pub secret: Option<SecretRef>,
    /// The user of Jira or ServiceNow.
    #[serde(default)]
    pub user: String,
    /// Jira's project.
    #[serde(default)]
    pub project: String,
    /// Jira's kind of issue.
    #[serde(default = "default_issue_type")]
    pub issue_type: String,
    /// How this machine is called in syslog.
    #[serde(default = "default_host")]
    pub host: String,
    /// How it is reached.
    #[serde(default)]
    pub http: HttpOptions,
}

fn default_issue_type() -> String {
    "Task".to_owned()
}

fn default_host() -> String {
    "-".to_owned()
}

/// Somebody who is told.
#[derive(Debug)]
pub struct Sink {
    config: SinkConfig,
    http: Http,
}

impl Sink {
    /// The sink of this configuration.
    pub fn new(config: SinkConfig) -> Result<Self, ConfigError> {
        check_name(&config.name)?;
        let refuse = |why: &str| Err(ConfigError::Value(format!("alerts to {}: {why}", config.name)));
        if config.url.is_some() == config.url_secret.is_some() {
            return refuse("either url or url_secret");
        }
        match (&config.url, config.kind) {
            (Some(url), SinkKind::Syslog) if !url.starts_with("udp://") && !url.starts_with("tcp://") => {
                return refuse("udp://HOST:PORT or tcp://HOST:PORT");
            }
            (Some(url), kind) if kind != SinkKind::Syslog => check_url(&config.name, url)?,
            _ => {}
        }
        let needs = matches!(
            config.kind,
            SinkKind::Webhook | SinkKind::PagerDuty | SinkKind::Jira | SinkKind::ServiceNow
        );
        if needs && config.secret.is_none() {
            return refuse("secret is needed");
        }
        if config.kind == SinkKind::Jira && config.project.is_empty() {
            return refuse("project is needed");
        }
        let fits = |b: u8| b.is_ascii_graphic();
        if config.host.is_empty() || !config.host.bytes().all(fits) {
            return refuse("host is one word");
        }
        Ok(Sink { http: Http::new(&config.http)?, config })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Tells it; `now` is the wall clock in seconds since 1970.
    pub fn send(&self, alert: &Alert, now: i64) -> Result<(), ConnectorError> {
        let c = &self.config;
        let resolve = |s: &SecretRef| s.resolve().map_err(|e| ConnectorError::Missing(e.to_string()));
        let place = c.url_secret.as_ref().map(resolve).transpose()?;
        let base = place.as_ref().map(Secret::expose).or(c.url.as_deref()).unwrap_or_default();
        if c.kind == SinkKind::Syslog {
            return syslog::send(base, &syslog::message(alert, &c.host, syslog::most(base)));
        }
        let secret = c.secret.as_ref().map(resolve).transpose()?;
        let secret = secret.as_ref();
        let key = secret.map(Secret::expose).unwrap_or_default();
        let (path, body) = match c.kind {
            SinkKind::Slack => ("", form::slack(alert)),
            SinkKind::PagerDuty => ("/v2/enqueue", form::pagerduty(alert, key)),
            SinkKind::Jira => ("/rest/api/2/issue", form::jira(alert, &c.project, &c.issue_type)),
            SinkKind::ServiceNow => ("/api/now/table/incident", form::servicenow(alert)),
            SinkKind::Webhook | SinkKind::Syslog => ("", serde_json::to_value(alert).unwrap_or_default()),
        };
        let (url, body) = (format!("{}{path}", base.trim_end_matches('/')), body.to_string());
        let mut headers =
            vec![("Content-Type", "application/json".to_owned()), ("Accept", "application/json".to_owned())];
        match (c.kind, secret) {
            (SinkKind::Webhook, Some(secret)) => {
                let stamp = now.to_string();
                headers.push(("Sidetap-Signature", format!("v1={}", sign(secret, &stamp, body.as_bytes()))));
                headers.push(("Sidetap-Timestamp", stamp));
            }
            (SinkKind::Jira | SinkKind::ServiceNow, _) => {
                let pair = base64::engine::general_purpose::STANDARD.encode(format!("{}:{key}", c.user));
                headers.push(("Authorization", format!("Basic {pair}")));
            }
            _ => {}
        }
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        self.http
            .ok(&Ask { method: "POST", url: &url, headers: &headers, body: Some(body.as_bytes()) })
            .map(drop)
            .map_err(|e| match e {
                // The path of an address that is a secret is one too.
                ConnectorError::Refused { answer, .. } if c.url_secret.is_some() => {
                    ConnectorError::Refused { command: "POST".to_owned(), answer }
                }
                e => e,
            })
    }
}

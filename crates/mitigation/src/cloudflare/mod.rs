//! Cloudflare: a list of an account, whose items carry Sidetap's mark as comment.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};
use sidetap_policy::Response;

use crate::config::{ConfigError, check_name};
use crate::connector::{Answer, Connector, ConnectorError, Observed, basics};
use crate::entry::{Entry, Sees};
use crate::full::{gives_way, left_out, ranked, stays, unless_refused};
use crate::hosted;
use crate::http::{Ask, Http, HttpOptions, Reply, check_url};
use crate::key::Key;
use crate::plan::Plan;
use crate::secret::SecretRef;

/// A list: `[[mitigation.cloudflare]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloudflareConfig {
    /// Its name.
    #[serde(default = "default_name")]
    pub name: String,
    /// The account's id.
    pub account: String,
    /// The list's id (of kind `ip`).
    pub list: String,
    /// An API token with the right to edit account filter lists.
    pub token: SecretRef,
    /// The API.
    #[serde(default = "default_url")]
    pub url: String,
    /// Most entries: 10,000 in all lists of an account on most plans.
    #[serde(default = "default_capacity")]
    pub capacity: usize,
    /// Seconds between two changes at least.
    #[serde(default = "default_interval")]
    pub min_interval_s: u64,
    /// How it is reached.
    #[serde(default)]
    pub http: HttpOptions,
    /// Zones whose clients reach it; empty means all.
    #[serde(default)]
    pub zones: Vec<String>,
}

fn default_name() -> String {
    "cloudflare".to_owned()
}

fn default_url() -> String {
    "https://api.cloudflare.com/client/v4".to_owned()
}

fn default_capacity() -> usize {
    10_000
}

fn default_interval() -> u64 {
    10
}

/// Items of one page and of one request.
const PAGE: usize = 500;
/// Single items refused in a row, after which the list is taken for full.
const IN_A_ROW: usize = 3;
/// Pages that are read at most.
const PAGES: usize = 2_000;
/// Seconds that an operation of Cloudflare's own queue may take.
const OPERATION_S: u64 = 60;

/// The connector to a list.
#[derive(Debug)]
pub struct CloudflareConnector {
    config: CloudflareConfig,
    http: Http,
    sees: Sees,
}

/// An item of the list.
#[derive(Clone, Debug, Deserialize)]
struct Item {
    id: String,
    ip: String,
    #[serde(default)]
    comment: Option<String>,
}

impl Item {
    fn entry(&self) -> Option<Entry> {
        let (_, expires_at, verdict) =
            hosted::cut(self.comment.as_deref()?).filter(|(b, ..)| b.is_empty())?;
        Some(Entry {
            key: self.ip.parse().ok()?,
            response: Response::Block,
            expires_at,
            verdict,
            priority: (0, 0),
            way: None,
        })
    }
}

impl CloudflareConnector {
    /// The connector of this configuration.
    pub fn new(config: CloudflareConfig) -> Result<Self, ConfigError> {
        check_name(&config.name)?;
        check_url(&config.name, &config.url)?;
        let id = |t: &str| t.len() == 32 && t.bytes().all(|b| b.is_ascii_hexdigit());
        if !id(&config.account) || !id(&config.list) {
            return Err(ConfigError::Value(format!(
                "{}: account and list are ids of 32 hexadecimal digits",
                config.name
            )));
        }
        let sees = Sees {
            open_connections: "the next request on it is refused",
            delay: "seconds to a minute: Cloudflare spreads a change",
            cannot: "a list of kind `ip` holds addresses",
            ..Sees::addresses(vec![Response::Block], config.capacity)
        };
        Ok(CloudflareConnector { http: Http::new(&config.http)?, sees, config })
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, ConnectorError> {
        let token = self.config.token.resolve().map_err(|e| ConnectorError::Missing(e.to_string()))?;
        let bearer = format!("Bearer {}", token.expose());
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        let url = format!("{}/accounts/{}/rules/lists/{path}", self.config.url, self.config.account);
        let body = body.map(Value::to_string);
        let ask = Ask { method, url: &url, headers: &headers, body: body.as_deref().map(str::as_bytes) };
        let reply = self.http.ask(&ask)?;
        let is_ok = (200..300).contains(&reply.status);
        let why = reply.said("/errors/0/message");
        // A 403 is not about the credential alone: a list that takes no more is told with it too.
        if !is_ok && (why.is_none() || reply.status != 403 || is_about_the_token(&reply)) {
            return Err(reply.refusal(&ask));
        }
        match reply.json()? {
            said if is_ok && said.get("success").and_then(Value::as_bool) == Some(true) => Ok(said),
            _ => Err(ConnectorError::Refused {
                command: format!("{method} {path}"),
                answer: why.unwrap_or_else(|| "no reason given".to_owned()),
            }),
        }
    }

    fn items(&self) -> Result<Vec<Item>, ConnectorError> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        for _ in 0..PAGES {
            let path = format!("{}/items?per_page={PAGE}{cursor}", self.config.list);
            let said = self.call("GET", &path, None)?;
            let page = said.get("result").cloned().unwrap_or_default();
            let page: Vec<Item> =
                serde_json::from_value(page).map_err(|e| ConnectorError::Answer(format!("items: {e}")))?;
            items.extend(page);
            match said.pointer("/result_info/cursors/after").and_then(Value::as_str) {
                Some(after) if !after.is_empty() => cursor = format!("&cursor={after}"),
                _ => return Ok(items),
            }
        }
        Err(ConnectorError::Answer("a list without end".to_owned()))
    }

    /// Deletes those of the items that are these entries.
    fn delete(&self, items: &[Item], gone: &[&Entry]) -> Result<(), ConnectorError> {
        let gone: BTreeSet<&Key> = gone.iter().map(|e| &e.key).collect();
        let goes = |i: &&Item| i.entry().is_some_and(|e| gone.contains(&e.key));
        let ids: Vec<Value> = items.iter().filter(goes).map(|i| json!({"id": i.id})).collect();
        ids.chunks(PAGE).try_for_each(|batch| self.change("DELETE", &json!({"items": batch})))
    }

    /// Adds items, or writes them anew where they are there.
    fn add(&self, new: &[&Entry]) -> Result<(), ConnectorError> {
        let mut batches = new.chunks(PAGE);
        batches.try_for_each(|batch| {
            self.change("POST", &json!(batch.iter().map(|e| item(e)).collect::<Vec<_>>()))
        })
    }

    /// Adds as many as the list takes, the first first; gives those that it did not take. Single ones are stepped over, as it may be for
    /// their own sake that they are refused.
    fn add_what_fits<'a>(&self, new: &[&'a Entry]) -> Result<Vec<&'a Entry>, ConnectorError> {
        let (mut rest, mut size, mut left, mut in_a_row) = (new, PAGE, Vec::new(), 0);
        while let Some((batch, after)) = rest.split_at_checked(size.min(rest.len()))
            && !batch.is_empty()
            && in_a_row < IN_A_ROW
        {
            match unless_refused(self.add(batch))? {
                None => (rest, size, in_a_row) = (after, (size * 2).min(PAGE), 0),
                Some(_) if batch.len() == 1 => {
                    left.extend_from_slice(batch);
                    (rest, in_a_row) = (after, in_a_row + 1);
                }
                Some(_) => size = batch.len() / 2,
            }
        }
        left.extend_from_slice(rest);
        Ok(left)
    }

    /// The same change step by step, after it was refused as a whole: all lists of an account share its limit, so that this one may take
    /// fewer than its capacity.
    fn change_what_fits(&self, plan: &Plan, now: i64, refused: ConnectorError) -> Result<(), ConnectorError> {
        let items = self.items()?;
        let target: BTreeSet<&Key> = plan.target.iter().map(|e| &e.key).collect();
        let gone: Vec<&Entry> = plan.remove.iter().filter(|e| !target.contains(&e.key)).collect();
        self.delete(&items, &gone)?;
        let as_told: BTreeSet<(Key, i64)> =
            items.iter().filter_map(Item::entry).map(|e| (e.key, e.expires_at)).collect();
        let is_new = |e: &&Entry| !as_told.contains(&(e.key.clone(), e.expires_at)) && e.expires_at > now;
        let renewed = ranked(plan.refresh.iter().filter(is_new));
        let unrenewed = self.add_what_fits(&renewed)?.len();
        let new = ranked(plan.add.iter().filter(is_new));
        let left = self.add_what_fits(&new)?;
        // What is left matters less than what was taken; some of it may matter more than what was there before.
        let mut stays = stays(plan);
        let out: Vec<&Entry> = left.iter().map_while(|e| gives_way(&mut stays, e)).collect();
        let (mut came, mut gone) = (0, 0);
        if let Some(come) = left.get(..out.len()).filter(|come| !come.is_empty()) {
            // What was renewed has another id by now.
            self.delete(&self.items()?, &out)?;
            let in_vain = self.add_what_fits(come)?.len();
            // Those that gave way in vain come back, the most harmful first.
            let back: Vec<&Entry> = out.iter().rev().take(in_vain).copied().collect();
            came = out.len() - back.len();
            gone = came + self.add_what_fits(&back)?.len();
        }
        left_out(refused, unrenewed + left.len() - came + gone)
    }

    /// Changes items and waits until Cloudflare has done it: while one change is on its way it takes no other.
    fn change(&self, method: &str, body: &Value) -> Result<(), ConnectorError> {
        let said = self.call(method, &format!("{}/items", self.config.list), Some(body))?;
        let id = said.pointer("/result/operation_id").and_then(Value::as_str);
        let Some(id) = id else { return Err(ConnectorError::Answer("no operation_id".to_owned())) };
        let (start, mut pause_ms) = (Instant::now(), 50);
        while start.elapsed() < Duration::from_secs(OPERATION_S) {
            let said = self.call("GET", &format!("bulk_operations/{id}"), None)?;
            match said.pointer("/result/status").and_then(Value::as_str) {
                Some("completed") => return Ok(()),
                Some("failed") => {
                    let why = said.pointer("/result/error").and_then(Value::as_str).unwrap_or("failed");
                    return Err(ConnectorError::Refused {
                        command: format!("{method} items"),
                        answer: why.to_owned(),
                    });
                }
                _ => {
                    std::thread::sleep(Duration::from_millis(pause_ms));
                    pause_ms = (pause_ms * 2).min(1_000);
                }
            }
        }
        Err(ConnectorError::Timeout(OPERATION_S))
    }
}

/// Whether an error is one of Cloudflare's for a token that is wrong or has too few rights.
fn is_about_the_token(reply: &Reply) -> bool {
    let code = reply.json().ok().and_then(|said| said.pointer("/errors/0/code")?.as_u64());
    code.is_none_or(|code| matches!(code, 1_000 | 6_003 | 6_111 | 9_100..=9_199 | 10_000))
}

fn item(entry: &Entry) -> Value {
    json!({"ip": entry.key.to_string(), "comment": hosted::mark_of(entry)})
}

impl Connector for CloudflareConnector {
    basics!("cloudflare");

    fn targets(&self) -> Vec<String> {
        vec![format!("list {} of account {}", self.config.list, self.config.account)]
    }

    fn min_interval_s(&self) -> u64 {
        self.config.min_interval_s
    }

    fn observe(&mut self, _now: i64) -> Result<Observed, ConnectorError> {
        let mut observed = Observed::default();
        for item in self.items()? {
            match item.entry() {
                Some(entry) => observed.entries.push(entry),
                None => {
                    observed.foreign += 1;
                    observed.by_others.extend(item.ip.parse::<Key>());
                }
            }
        }
        Ok(observed)
    }

    /// Items are added and deleted; where a comment changes the list is replaced, items of others as they are. Where the account has no room
    /// for all, what goes is deleted all the same, and the most harmful of what comes are added.
    fn apply(&mut self, plan: &Plan, now: i64) -> Result<Answer, ConnectorError> {
        let live: Vec<&Entry> = plan.target.iter().filter(|e| e.expires_at > now).collect();
        let items = self.items()?;
        plan.check_unseen(&items.iter().filter_map(Item::entry).collect::<Vec<_>>(), "the list")?;
        let refused = if plan.refresh.is_empty() {
            let (first, last) = plan.in_turn(self.config.capacity.saturating_sub(items.len()));
            self.delete(&items, &first)?;
            let new: Vec<&Entry> = plan.add.iter().filter(|e| e.expires_at > now).collect();
            match unless_refused(self.add(&new))? {
                None => self.delete(&items, &last).map(|()| None)?,
                refused => refused,
            }
        } else {
            let others = items.iter().filter(|i| i.entry().is_none());
            let others =
                others.map(|i| json!({"ip": i.ip, "comment": i.comment.clone().unwrap_or_default()}));
            let all: Vec<Value> = others.chain(live.iter().map(|e| item(e))).collect();
            unless_refused(self.change("PUT", &json!(all)))?
        };
        if let Some(refused) = refused {
            self.change_what_fits(plan, now, refused)?;
        }
        Ok(Answer::of(format!("{} items", live.len())))
    }
}

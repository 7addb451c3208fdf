use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::problem::Problem;

/// How long a body may take, whatever time its request has: who only says what is to be done is done soon.
const BODY: Duration = Duration::from_secs(60);

/// A body of JSON; what is wrong with it is a problem.
pub(crate) struct Input<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Input<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let read = tokio::time::timeout(BODY, Json::<Object<T>>::from_request(request, state));
        match read.await {
            Ok(Ok(Json(Object(value)))) => Ok(Input(value)),
            Ok(Err(rejection)) => Err(refused(&rejection)),
            Err(_) => Err(Problem::too_slow("the body took too long")),
        }
    }
}

/// What is an object: a list of a type's values in order, which serde takes for one as well, is none.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(Fields(PhantomData))
    }
}

fn refused(rejection: &JsonRejection) -> Problem {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "too large", "the body is too large")
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            let detail = "send the body as application/json";
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad-body", "bad body", detail)
        }
        _ => Problem::bad_body(told(&rejection.body_text())),
    }
}

/// What is wrong with a body, where, and what goes there, out of the words of the parser.
fn told(said: &str) -> String {
    if let Some(why) = said.strip_prefix("Failed to parse the request body as JSON: ") {
        return format!("the body is no JSON: {}; send one object", why.trim_start_matches(".: "));
    }
    let why = said.strip_prefix("Failed to deserialize the JSON body into the target type: ").unwrap_or(said);
    let why = why.rsplit_once(" at line ").map_or(why, |(why, _)| why);
    let begins = ["unknown field ", "missing field ", "duplicate field ", "unknown variant ", "invalid "];
    let starts = begins.iter().filter_map(|b| why.find(b)).min().unwrap_or(0);
    let (place, why) = why.split_at_checked(starts).unwrap_or(("", why));
    let place = place.trim_end_matches(": ").trim_matches('.');
    let quoted = || why.split('`').nth(1).unwrap_or_default();
    // The place of a field that is not known ends with it.
    let field = || if place.ends_with(quoted()) { place.to_owned() } else { quoted().to_owned() };
    let within = if place.is_empty() { String::new() } else { format!("{place}: ") };
    let at = if place.is_empty() { "the body" } else { place };
    let others = || -> Vec<&str> { why.split('`').skip(3).step_by(2).collect() };
    match why {
        _ if why.starts_with("unknown field ") && others().is_empty() => {
            format!("{}: no such field; it takes none", field())
        }
        _ if why.starts_with("unknown field ") => {
            format!("{}: no such field; it takes {}", field(), others().join(", "))
        }
        _ if why.starts_with("missing field ") => format!("{within}{}: it is missing", quoted()),
        _ if why.starts_with("duplicate field ") => format!("{}: given twice", field()),
        _ if why.starts_with("unknown variant ") => {
            format!("{at}: {} is not one of {}", quoted(), others().join(", "))
        }
        _ => match why.split_once(": ").and_then(|(_, what)| what.split_once(", expected ")) {
            Some((given, wanted)) if why.starts_with("invalid ") => {
                format!("{at}: {given} is given, and {} goes there", kind_of(wanted))
            }
            _ => format!("{at}: {why}"),
        },
    }
}

/// What goes into a field, in words.
fn kind_of(wanted: &str) -> &str {
    match wanted {
        "a string" | "a borrowed string" => "a text",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "an object",
        "u64" | "u32" | "u16" | "u8" | "usize" => "a whole number from 0",
        "i64" | "i32" => "a whole number",
        other => other,
    }
}

/// Tells a field that was null from one that was left out.
pub(crate) fn given<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    <Option<T> as Deserialize>::deserialize(deserializer).map(Some)
}

/// The part of a path that varies; bytes that are no text are a problem.
pub(crate) struct Segment(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(text)) => Ok(Segment(text)),
            Err(_) => Err(Problem::bad_query("the path: its escaped bytes are no text (UTF-8)")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Body {
        rows: Option<u64>,
        inner: Option<Inner>,
        kind: Option<Kind>,
        all: bool,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Inner {
        list: Vec<String>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Kind {
        ApiKey,
        Ip,
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_body_is_said_in_words() {
        for (body, says) in [
            ("{", "the body is no JSON: EOF while parsing an object at line 1 column 1; send one object"),
            ("[true]", "the body: sequence is given, and an object goes there"),
            (r#"{"all": true, "x": 1}"#, "x: no such field; it takes rows, inner, kind, all"),
            (r#"{"rows": 1}"#, "all: it is missing"),
            (r#"{"all": true, "all": false}"#, "all: given twice"),
            (r#"{"all": "yes"}"#, "all: string \"yes\" is given, and true or false goes there"),
            (
                r#"{"all": true, "rows": -5}"#,
                "rows: integer `-5` is given, and a whole number from 0 goes there",
            ),
            (r#"{"all": true, "kind": "host"}"#, "kind: host is not one of api-key, ip"),
            (r#"{"all": true, "inner": {}}"#, "inner: list: it is missing"),
            (
                r#"{"all": true, "inner": {"list": [1]}}"#,
                "inner.list[0]: integer `1` is given, and a text goes there",
            ),
            (r#"{"all": true, "inner": {"more": 1}}"#, "inner.more: no such field; it takes list"),
        ] {
            let request = Request::builder()
                .header("content-type", "application/json")
                .body(axum::body::Body::from(body))
                .unwrap();
            let problem = Input::<Body>::from_request(request, &()).await.err().unwrap();
            assert_eq!(problem.body()["detail"], says, "{body}");
        }
    }
}

//! Calls to a forge: bounded in time and size, at the pace that the forge asks for.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Client, Method, StatusCode, header::HeaderMap};
use serde_json::Value;

use super::{
    ForgeConfig, ForgeKind, Outcome,
    shape::{Call, PAGE, Shape},
};
use crate::{SecretText, SourceError, error::chain};

/// Longest time of one call.
const CALL: Duration = Duration::from_secs(30);
/// A page of a hundred long comments is less.
const ANSWER_AT_MOST: usize = 16 << 20;
/// Pages of comments that are looked through.
const PAGES: usize = 10;
/// A pause that no forge says how long it should be.
const PAUSE: Duration = Duration::from_secs(60);
/// No forge makes anybody wait longer.
const PAUSE_AT_MOST: Duration = Duration::from_secs(2 * 60 * 60);
const VERSION: &str = "2022-11-28";

/// Why a forge was not told.
#[derive(Debug, thiserror::Error)]
pub enum ForgeError {
    /// The token lacks a right, or the project is not there for it: only a person can help.
    #[error("{what} at {api}: HTTP {status}{words}; {fix}")]
    Refused {
        /// What was tried.
        what: &'static str,
        /// Where.
        api: String,
        /// The status.
        status: u16,
        /// The forge's own words, if it had some.
        words: String,
        /// What to do.
        fix: String,
    },
    /// Too many calls; the forge says when to come again.
    #[error("{what} at {api}: too many calls; again in {} s", again.as_secs())]
    Busy {
        /// What was tried.
        what: &'static str,
        /// Where.
        api: String,
        /// How long to wait.
        again: Duration,
    },
    /// It may work later.
    #[error("{what} at {api}: {why}")]
    Failed {
        /// What was tried.
        what: &'static str,
        /// Where.
        api: String,
        /// What went wrong.
        why: String,
    },
    /// The token cannot be read.
    #[error(transparent)]
    Token(#[from] SourceError),
}

/// A forge that can be called.
#[derive(Debug, Clone)]
pub(super) struct Forge {
    config: ForgeConfig,
    http: Client,
}

impl Forge {
    pub(super) fn new(config: ForgeConfig) -> Result<Self, SourceError> {
        let http = crate::bridge::client(config.ca_file.as_deref())?;
        Ok(Self { config, http })
    }

    pub(super) fn config(&self) -> &ForgeConfig {
        &self.config
    }

    /// Sets the status of the commit.
    pub(super) async fn status(&self, outcome: &Outcome, token: &SecretText) -> Result<(), ForgeError> {
        let call = Shape(&self.config).status(outcome);
        match self.call("setting a commit status", &call, token).await {
            // GitLab knows no step from a state to itself and says so.
            Err(ForgeError::Refused { status: 400, words, .. }) if words.contains("Cannot transition") => {
                Ok(())
            }
            other => other.map(drop),
        }
    }

    /// Writes the one comment on the pull request that brought the commit, if there is one.
    pub(super) async fn comment(&self, outcome: &Outcome, token: &SecretText) -> Result<(), ForgeError> {
        let shape = Shape(&self.config);
        let asked = shape.pulls_of(outcome.revision.as_str());
        let number = match self.call("asking for pull requests", &asked, token).await {
            Ok(answer) => shape.number(&answer),
            // Gitea's way of saying that there is none.
            Err(ForgeError::Refused { status: 404, .. }) if self.config.kind == ForgeKind::Gitea => None,
            Err(error) => return Err(error),
        };
        let Some(number) = number else { return Ok(()) };
        let there = self.ours(number, token).await?;
        if there.as_ref().is_some_and(|(_, body)| *body == shape.text(outcome)) {
            return Ok(());
        }
        let call = shape.comment(number, there.map(|(id, _)| id), outcome);
        self.call("writing a comment", &call, token).await.map(drop)
    }

    /// Our comment: its marker comes first, so that quoting it does not make another one ours.
    async fn ours(&self, number: u64, token: &SecretText) -> Result<Option<(u64, String)>, ForgeError> {
        let shape = Shape(&self.config);
        let marker = shape.marker();
        for page in 1..=PAGES {
            let answer = self.call("reading comments", &shape.comments(number, page), token).await?;
            let comments = Shape::listed(&answer);
            let count = comments.len();
            if let Some(ours) = comments.into_iter().find(|comment| comment.body.starts_with(&marker)) {
                return Ok(Some((ours.id, ours.body)));
            }
            if count < PAGE {
                break;
            }
        }
        Ok(None)
    }

    /// Opens a pull request, or finds the one that is open; its address.
    pub(super) async fn pull(
        &self,
        branch: &str,
        base: &str,
        (title, text): (&str, &str),
        token: &SecretText,
    ) -> Result<String, ForgeError> {
        let shape = Shape(&self.config);
        let open = self.call("asking for pull requests", &shape.open_pulls(branch), token).await?;
        if let Some(address) = shape.address(&open, branch) {
            return Ok(address);
        }
        let opened =
            self.call("opening a pull request", &shape.pull(branch, base, title, text), token).await?;
        Ok(shape.address(&opened, branch).unwrap_or_default())
    }

    async fn call(&self, what: &'static str, call: &Call, token: &SecretText) -> Result<Value, ForgeError> {
        let api = self.config.api.trim_end_matches('/').to_owned();
        let failed = |why: String| ForgeError::Failed { what, api: api.clone(), why };
        let method = Method::from_bytes(call.method.as_bytes()).map_err(|error| failed(error.to_string()))?;
        let (header, before) = Shape(&self.config).token();
        let shown = format!("{before}{}", token.read()?.expose());
        let mut shown = reqwest::header::HeaderValue::from_str(&shown)
            .map_err(|_| failed("the token is not a token".to_owned()))?;
        shown.set_sensitive(true);
        let mut request = self
            .http
            .request(method, format!("{api}/{}", call.path))
            .timeout(CALL)
            .header("user-agent", concat!("hemline/", env!("CARGO_PKG_VERSION")))
            .header(header, shown);
        request = match self.config.kind {
            ForgeKind::GitHub => request
                .header("accept", "application/vnd.github+json")
                .header("x-github-api-version", VERSION),
            ForgeKind::GitLab | ForgeKind::Gitea => request.header("accept", "application/json"),
        };
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let mut answer = request.send().await.map_err(|error| failed(chain(&error)))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(|error| failed(chain(&error)))? {
            body.extend_from_slice(&part);
            if body.len() > ANSWER_AT_MOST {
                return Err(failed(format!("an answer of more than {ANSWER_AT_MOST} bytes")));
            }
        }
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| failed(format!("no JSON: {error}")));
        }
        if let Some(again) = busy(status, &headers, Timestamp::now()) {
            return Err(ForgeError::Busy { what, api, again });
        }
        let words = words(&body);
        Err(match status.as_u16() {
            code @ (400..=404 | 409..=422) => {
                ForgeError::Refused { what, api, status: code, words, fix: fix(code).to_owned() }
            }
            code => failed(format!("HTTP {code}{words}")),
        })
    }
}

/// How long to wait, if that is what the forge wants: `Retry-After` in seconds or as a date, or a limit that is used up.
fn busy(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let number = |name: &str| text(name).and_then(|value| value.parse::<u64>().ok());
    let used_up = number("x-ratelimit-remaining").or_else(|| number("ratelimit-remaining")) == Some(0);
    let after = number("retry-after").map(Duration::from_secs).or_else(|| {
        let date = jiff::fmt::rfc2822::parse(text("retry-after")?).ok()?.timestamp();
        Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
    });
    // GitHub says 403 for its limits too; what tells it from a missing right is one of these headers.
    let limited = status == StatusCode::TOO_MANY_REQUESTS
        || (status == StatusCode::FORBIDDEN && (used_up || after.is_some()))
        || (status == StatusCode::SERVICE_UNAVAILABLE && after.is_some());
    let reset = || {
        let at = number("x-ratelimit-reset").or_else(|| number("ratelimit-reset"))?;
        let at = Timestamp::from_second(i64::try_from(at).ok()?).ok()?;
        Duration::try_from(at.duration_since(now)).ok()
    };
    limited.then(|| after.or_else(reset).unwrap_or(PAUSE).clamp(Duration::from_secs(1), PAUSE_AT_MOST))
}

fn fix(status: u16) -> &'static str {
    match status {
        401 => "the token is not accepted: make a new one",
        403 => "the token lacks the right for this: see the rights in `hem up --help`",
        404 => "the project is not there, or the token may not see it",
        _ => "the forge does not take this; what it said may tell why",
    }
}

/// The forge's own words in one line.
fn words(body: &[u8]) -> String {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = match value.get("message").or_else(|| value.get("error")) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => return String::new(),
    };
    let text: String = text.chars().take(300).map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!(" ({text})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_that_forges_ask_for() {
        let now: Timestamp = "2024-01-02T03:04:05Z".parse().unwrap();
        let soon = (now.as_second() + 90).to_string();
        for (status, headers, wait) in [
            (429, vec![("retry-after", "7")], Some(7)),
            (429, vec![], Some(60)),
            (429, vec![("ratelimit-reset", soon.as_str())], Some(90)),
            (429, vec![("retry-after", "Tue, 02 Jan 2024 03:05:05 GMT")], Some(60)),
            (403, vec![("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", soon.as_str())], Some(90)),
            (403, vec![("retry-after", "999999")], Some(7200)),
            (403, vec![("x-ratelimit-remaining", "12")], None),
            (403, vec![], None),
            (503, vec![("retry-after", "5")], Some(5)),
            (503, vec![], None),
            (401, vec![("retry-after", "5")], None),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in &headers {
                map.insert(*name, value.parse().unwrap());
            }
            let found = busy(StatusCode::from_u16(status).unwrap(), &map, now);
            assert_eq!(found.map(|wait| wait.as_secs()), wait, "{status} {headers:?}");
        }
    }

    #[test]
    fn words_stay_on_a_line() {
        assert_eq!(words(br#"{"message": "Not\nFound"}"#), " (Not Found)");
        assert_eq!(words(br#"{"message": {"base": ["x"]}}"#), r#" ({"base":["x"]})"#);
        assert_eq!(words(b"<html>"), "");
    }
}

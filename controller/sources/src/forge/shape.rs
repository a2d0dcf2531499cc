//! Which call says it: method, path and body for each forge, as their public documentation has them. Pure.

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{ForgeConfig, ForgeKind, Outcome, Phase};

/// GitHub cuts nothing, it refuses: 140 characters is what it shows.
const DESCRIPTION: usize = 140;
/// Comments of all forges take this much.
pub(super) const BODY: usize = 60_000;
/// Comments looked through for ours, a page at a time.
pub(super) const PAGE: usize = 100;

/// What a part of a path may not hold.
const PART: &AsciiSet = &CONTROLS.add(b' ').add(b'#').add(b'?').add(b'%').add(b'"').add(b'<').add(b'>');

/// A call to the API.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) method: &'static str,
    /// Below the root of the API, with the query.
    pub(super) path: String,
    pub(super) body: Option<Value>,
}

/// A comment that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Comment {
    pub(super) id: u64,
    pub(super) body: String,
}

/// The calls of one project.
pub(super) struct Shape<'a>(pub(super) &'a ForgeConfig);

impl Shape<'_> {
    fn project(&self) -> String {
        let project = &self.0.project;
        match self.0.kind {
            ForgeKind::GitHub | ForgeKind::Gitea => format!("repos/{}", utf8_percent_encode(project, PART)),
            // GitLab takes the whole path as one encoded part.
            ForgeKind::GitLab => format!("projects/{}", encoded(project)),
        }
    }

    /// The header that carries a token, and what stands before it.
    pub(super) fn token(&self) -> (&'static str, &'static str) {
        match self.0.kind {
            ForgeKind::GitHub => ("authorization", "Bearer "),
            ForgeKind::GitLab => ("private-token", ""),
            ForgeKind::Gitea => ("authorization", "token "),
        }
    }

    /// Sets the status of a commit.
    ///
    /// Superseded is neither good nor bad. GitLab documents `canceled` for that. The states that GitHub documents, and those
    /// that every Gitea and Forgejo knows, have no such word: `success` would let a gate pass what nobody found good, and
    /// `error` and `failure` both count as failed in the combined state. `pending`, with a description that says that it
    /// ended, claims neither.
    pub(super) fn status(&self, outcome: &Outcome) -> Call {
        let state = match (self.0.kind, outcome.phase) {
            (ForgeKind::GitLab, Phase::Rolling { .. }) => "running",
            (ForgeKind::GitLab, Phase::Superseded) => "canceled",
            (_, Phase::Pending | Phase::Rolling { .. } | Phase::Superseded) => "pending",
            (_, Phase::Healthy) => "success",
            (ForgeKind::GitLab, Phase::Degraded | Phase::Halted | Phase::Reverted) => "failed",
            (ForgeKind::GitHub | ForgeKind::Gitea, Phase::Degraded | Phase::Halted | Phase::Reverted) => {
                "failure"
            }
        };
        let commit = outcome.revision.as_str();
        let description = cut(&described(outcome), DESCRIPTION);
        let mut body = json!({ "state": state, "context": self.0.context, "description": description });
        if let (Some(url), Some(fields)) = (&self.0.target_url, body.as_object_mut()) {
            fields.insert("target_url".to_owned(), json!(url));
        }
        Call { method: "POST", path: format!("{}/statuses/{commit}", self.project()), body: Some(body) }
    }

    /// Asks which pull requests brought a commit.
    pub(super) fn pulls_of(&self, commit: &str) -> Call {
        let project = self.project();
        let path = match self.0.kind {
            ForgeKind::GitHub => format!("{project}/commits/{commit}/pulls"),
            ForgeKind::GitLab => format!("{project}/repository/commits/{commit}/merge_requests"),
            ForgeKind::Gitea => format!("{project}/commits/{commit}/pull"),
        };
        Call { method: "GET", path, body: None }
    }

    /// The number of the pull request in the answer to `pulls_of`; of several the last opened.
    pub(super) fn number(&self, answer: &Value) -> Option<u64> {
        let of = |pull: &Value| match self.0.kind {
            ForgeKind::GitHub | ForgeKind::Gitea => pull.get("number")?.as_u64(),
            ForgeKind::GitLab => pull.get("iid")?.as_u64(),
        };
        match answer {
            Value::Array(pulls) => pulls.iter().filter_map(of).max(),
            pull => of(pull),
        }
    }

    fn comments_of(&self, number: u64) -> String {
        match self.0.kind {
            ForgeKind::GitHub | ForgeKind::Gitea => format!("{}/issues/{number}/comments", self.project()),
            ForgeKind::GitLab => format!("{}/merge_requests/{number}/notes", self.project()),
        }
    }

    /// Asks for a page of comments; the first is 1.
    pub(super) fn comments(&self, number: u64, page: usize) -> Call {
        let size = match self.0.kind {
            ForgeKind::GitHub => "per_page=100",
            ForgeKind::GitLab => "sort=asc&order_by=created_at&per_page=100",
            ForgeKind::Gitea => "limit=100",
        };
        let path = format!("{}?{size}&page={page}", self.comments_of(number));
        Call { method: "GET", path, body: None }
    }

    /// The comments of an answer to `comments`.
    pub(super) fn listed(answer: &Value) -> Vec<Comment> {
        let comment = |value: &Value| {
            let body = value.get("body")?.as_str()?.to_owned();
            Some(Comment { id: value.get("id")?.as_u64()?, body })
        };
        answer.as_array().map(|comments| comments.iter().filter_map(comment).collect()).unwrap_or_default()
    }

    /// Writes our comment, over the old one if there is one.
    pub(super) fn comment(&self, number: u64, there: Option<u64>, outcome: &Outcome) -> Call {
        let body = Some(json!({ "body": self.text(outcome) }));
        match (there, self.0.kind) {
            (None, _) => Call { method: "POST", path: self.comments_of(number), body },
            (Some(id), ForgeKind::GitHub | ForgeKind::Gitea) => {
                Call { method: "PATCH", path: format!("{}/issues/comments/{id}", self.project()), body }
            }
            (Some(id), ForgeKind::GitLab) => {
                Call { method: "PUT", path: format!("{}/{id}", self.comments_of(number)), body }
            }
        }
    }

    /// What our comment begins with, and no other.
    pub(super) fn marker(&self) -> String {
        // A `-->` in the name would end the comment early.
        format!("<!-- hemline:outcome:{} -->", self.0.context.replace("--", "-\u{2010}"))
    }

    /// The text of our comment.
    pub(super) fn text(&self, outcome: &Outcome) -> String {
        let text = format!("{}\n**{}**\n\n{}", self.marker(), described(outcome), outcome.details);
        cut(&text, BODY)
    }

    /// Asks for an open pull request from a branch.
    pub(super) fn open_pulls(&self, branch: &str) -> Call {
        let owner = self.0.project.split('/').next().unwrap_or_default();
        let path = match self.0.kind {
            ForgeKind::GitHub => {
                format!("{}/pulls?state=open&head={}", self.project(), encoded(&format!("{owner}:{branch}")))
            }
            ForgeKind::GitLab => {
                format!("{}/merge_requests?state=opened&source_branch={}", self.project(), encoded(branch))
            }
            ForgeKind::Gitea => format!("{}/pulls?state=open&limit=50", self.project()),
        };
        Call { method: "GET", path, body: None }
    }

    /// The address of the pull request from a branch, among the answers to `open_pulls`.
    pub(super) fn address(&self, answer: &Value, branch: &str) -> Option<String> {
        let pulls = answer.as_array().map_or(std::slice::from_ref(answer), Vec::as_slice);
        let from = |pull: &Value| match self.0.kind {
            ForgeKind::GitHub | ForgeKind::Gitea => pull.pointer("/head/ref")?.as_str().map(str::to_owned),
            ForgeKind::GitLab => pull.get("source_branch")?.as_str().map(str::to_owned),
        };
        let page = match self.0.kind {
            ForgeKind::GitHub | ForgeKind::Gitea => "html_url",
            ForgeKind::GitLab => "web_url",
        };
        let pull = pulls.iter().find(|pull| from(pull).as_deref() == Some(branch))?;
        pull.get(page)?.as_str().map(str::to_owned)
    }

    /// Opens a pull request.
    pub(super) fn pull(&self, branch: &str, base: &str, title: &str, text: &str) -> Call {
        let (title, text) = (cut(title, 250), cut(text, BODY));
        let project = self.project();
        let (path, body) = match self.0.kind {
            ForgeKind::GitHub | ForgeKind::Gitea => (
                format!("{project}/pulls"),
                json!({ "title": title, "head": branch, "base": base, "body": text }),
            ),
            ForgeKind::GitLab => (
                format!("{project}/merge_requests"),
                json!({ "title": title, "source_branch": branch, "target_branch": base, "description": text }),
            ),
        };
        Call { method: "POST", path, body: Some(body) }
    }
}

fn described(outcome: &Outcome) -> String {
    let phase = outcome.phase.to_string();
    match outcome.line.as_str() {
        "" => phase,
        // `halted at canary: …` says it already.
        line if line.starts_with(&phase) => line.to_owned(),
        line => format!("{phase}: {line}"),
    }
}

/// At most so many characters, with a sign where some are missing.
fn cut(text: &str, at_most: usize) -> String {
    if text.chars().count() <= at_most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(at_most - 1).collect();
    short.push('…');
    short
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

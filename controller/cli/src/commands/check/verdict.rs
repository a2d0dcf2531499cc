//! What came of a check, for people and for programs.

use serde_json::{Value, json};

use crate::args::CheckId;

/// What came of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is as it must be, and how.
    Ok(String),
    /// It works, and will not for ever or not for everybody.
    Warning {
        /// What was found.
        what: String,
        /// What to do.
        mend: String,
    },
    /// It does not work.
    Error {
        /// What was found.
        what: String,
        /// What to do.
        mend: String,
    },
    /// There was nothing to look at, and why.
    Skipped(String),
    /// The user left it out.
    Ignored,
}

impl Verdict {
    pub(super) fn warning(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::Warning { what: what.into(), mend: mend.into() }
    }

    pub(super) fn error(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::Error { what: what.into(), mend: mend.into() }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Ok(_) => "ok",
            Self::Warning { .. } => "warning",
            Self::Error { .. } => "error",
            Self::Skipped(_) => "skipped",
            Self::Ignored => "ignored",
        }
    }

    fn says(&self) -> &str {
        match self {
            Self::Ok(what) | Self::Skipped(what) | Self::Warning { what, .. } | Self::Error { what, .. } => {
                what
            }
            Self::Ignored => "left out with --dont-run",
        }
    }

    fn mend(&self) -> Option<&str> {
        match self {
            Self::Warning { mend, .. } | Self::Error { mend, .. } => Some(mend),
            Self::Ok(_) | Self::Skipped(_) | Self::Ignored => None,
        }
    }

    /// `{"result": "ok" | "warning" | "error" | "skipped" | "ignored", "details": […]}`
    pub(super) fn as_json(&self) -> Value {
        let details: Vec<&str> = std::iter::once(self.says()).chain(self.mend()).collect();
        json!({ "result": self.word(), "details": details })
    }
}

/// A line per check, what to do below those that need it, and a count.
pub(super) fn as_text(found: &[(CheckId, Verdict)]) -> String {
    let width = found.iter().map(|(id, _)| id.name().len()).max().unwrap_or_default();
    let mut text = String::new();
    for (id, verdict) in found {
        text.push_str(&format!("{:<8} {:<width$}  {}\n", verdict.word(), id.name(), verdict.says()));
        if let Some(mend) = verdict.mend() {
            text.push_str(&format!("{:<8} {:<width$}  → {mend}\n", "", ""));
        }
    }
    let mut counts: Vec<(usize, &str)> = Vec::new();
    for (_, verdict) in found {
        match counts.iter_mut().find(|(_, word)| *word == verdict.word()) {
            Some((count, _)) => *count += 1,
            None => counts.push((1, verdict.word())),
        }
    }
    let counts: Vec<String> = counts.iter().map(|(count, word)| format!("{count} {word}")).collect();
    text.push_str(&format!("\n{} checks: {}\n", found.len(), counts.join(", ")));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_what_to_do_and_programs_see_the_same() {
        let found = [
            (CheckId::DiskSpace, Verdict::Ok("9 GiB free".into())),
            (CheckId::OpenFiles, Verdict::warning("1024 files", "raise it")),
            (CheckId::HubRunning, Verdict::error("no hub", "start one")),
            (CheckId::Source, Verdict::Skipped("no hub runs".into())),
            (CheckId::HubVersion, Verdict::Ignored),
        ];
        let json: Vec<String> = found.iter().map(|(_, verdict)| verdict.as_json().to_string()).collect();
        insta::assert_snapshot!(format!("{}\n{}", as_text(&found), json.join("\n")));
    }
}

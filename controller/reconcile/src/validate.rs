//! Stage 2, pure: what was loaded → a revision that may be used, or the reasons why not.

use std::sync::OnceLock;

use hemline_model::{Finding, Fleet, SourceFile, id::Revision};
use hemline_plan::{Facts, Judged, judge};
use hemline_sources::{Note, Snapshot, SourceError, chain};

/// What came of one look at the source.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// The source could not be read.
    Unreadable {
        /// The whole chain of causes.
        error: String,
    },
    /// It was read and must not be used.
    Broken {
        /// Of what was read.
        revision: Revision,
        /// At least one error.
        findings: Vec<Finding>,
    },
    /// It may be used.
    Good {
        /// The revision with its documents.
        good: Box<Good>,
        /// Warnings and notes.
        findings: Vec<Finding>,
    },
}

/// A revision that may be used. Made here and by `last_good` only.
#[derive(Debug)]
pub(crate) struct Good {
    pub(crate) revision: Revision,
    pub(crate) message: Option<String>,
    pub(crate) fleet: Fleet,
    pub(crate) files: Vec<SourceFile>,
    /// Digest of the documents, when somebody asked for it.
    digest: OnceLock<String>,
}

impl Good {
    pub(crate) fn new(
        revision: Revision,
        message: Option<String>,
        fleet: Fleet,
        files: Vec<SourceFile>,
    ) -> Self {
        Self { revision, message, fleet, files, digest: OnceLock::new() }
    }

    /// Digest of the documents: the same whatever the revision is called.
    pub(crate) fn documents(&self) -> &str {
        self.digest.get_or_init(|| hemline_sources::contents(&self.files))
    }

    /// Does it depend on what devices report which of them it means?
    pub(crate) fn reads_reported(&self) -> bool {
        reads_reported(&self.fleet)
    }
}

fn reads_reported(fleet: &Fleet) -> bool {
    let deployments = fleet.deployments.values().map(|doc| &doc.spec.condition);
    let configurations = fleet.configurations.values().map(|doc| &doc.spec.condition);
    deployments.chain(configurations).any(|condition| condition.reads_reported())
}

/// Judges what was loaded. `running` is the number of devices of the revision in force; what devices report is only asked
/// where a condition does.
pub(crate) fn validate(
    loaded: Result<Snapshot, SourceError>,
    facts: impl FnOnce() -> Facts,
    running: usize,
) -> Attempt {
    let Snapshot { revision, files, message, notes } = match loaded {
        Ok(snapshot) => snapshot,
        Err(error) => return Attempt::Unreadable { error: chain(&error) },
    };
    if notes.iter().any(|note| note.refuses) {
        // Nothing of it was read, so there is nothing else to say of it.
        return Attempt::Broken { revision, findings: notes.iter().map(Note::finding).collect() };
    }
    let loaded = hemline_model::load(&files);
    let asks = loaded.fleet.iter().chain(&loaded.remnant).any(reads_reported);
    let facts = if asks { facts() } else { Facts::default() };
    let Judged { usable, mut findings } = judge(loaded, &facts);
    findings.extend(notes.iter().map(Note::finding));
    let Some((fleet, _)) = usable else { return Attempt::Broken { revision, findings } };
    // An empty folder is a volume that is not mounted, or a wrong path, far more often than the wish to delete every device
    // with its keys.
    if fleet.devices.is_empty() && running > 0 {
        let message =
            format!("the source holds no device any more; the {running} there are stay as they are");
        findings.push(
            Finding::error("source-empty", message).with_hint("to remove them, leave one Device document"),
        );
    }
    if findings.iter().any(Finding::is_error) {
        return Attempt::Broken { revision, findings };
    }
    Attempt::Good { good: Box::new(Good::new(revision, message, fleet, files)), findings }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(files: Vec<SourceFile>, notes: Vec<Note>) -> Vec<&'static str> {
        let revision = Revision::new("abc1234").unwrap();
        let snapshot = Snapshot { revision, files, message: None, notes };
        match validate(Ok(snapshot), Facts::default, 12) {
            Attempt::Broken { findings, .. } => findings.iter().map(|finding| finding.rule).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_refused_unread_is_not_called_empty() {
        assert_eq!(rules(Vec::new(), Vec::new()), ["source-empty"]);
        let refused =
            || Note::refusing("source-signature", "commit abc1234 by A is refused: it is not signed");
        assert_eq!(rules(Vec::new(), vec![refused()]), ["source-signature"]);
        // Nor is anything else said of what must not be used.
        let broken = SourceFile { path: "a.yaml".into(), bytes: b"kind: Nonsense".to_vec() };
        assert_eq!(rules(vec![broken], vec![refused()]), ["source-signature"]);
    }
}

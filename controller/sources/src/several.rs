//! Several sources as one: each owns the documents that it brings.
//!
//! A document belongs to the source that had it first; another source that brings the same name is held back. A source
//! that cannot be read, or whose new revision does not fit, stays at its last good revision, which is kept on disk: so
//! nothing of it is pruned, and nothing of the others waits. Files appear below the name of their source.

mod memory;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use futures_util::future::{join_all, select_all};
use hemline_model::{Finding, SourceFile, id::Revision};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

use self::memory::Memory;
use crate::{
    News, Note, Nudge, OneSource, Outcome, Phase, Proposer, Reason, Revert, Snapshot, Source, SourceError,
    StatusFile, Trouble,
};

/// Findings that are quoted of a revision that is held back.
const QUOTED: usize = 3;

/// Several sources.
#[derive(Debug)]
pub struct Several {
    parts: Vec<Part>,
    nudge: Nudge,
    memory: Memory,
}

#[derive(Debug)]
struct Part {
    name: String,
    source: OneSource,
    /// The revision whose documents were used last.
    good: Option<Good>,
    kept: PathBuf,
    /// The newest revision that was read, and why it is not used, if it is not.
    newest: Option<(Revision, Option<String>)>,
}

/// What a part contributes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Good {
    revision: Revision,
    message: Option<String>,
    files: Vec<SourceFile>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    revision: Revision,
    message: Option<String>,
    files: Vec<(String, String)>,
}

impl Several {
    /// Puts sources together. Names are those of files: letters, digits, `-` and `_`. `folder` keeps what was good.
    ///
    /// # Errors
    /// When a name is empty, no name, or used twice.
    pub fn new(sources: Vec<(String, OneSource)>, folder: impl Into<PathBuf>) -> Result<Self, SourceError> {
        let folder = folder.into();
        let mut parts: Vec<Part> = Vec::new();
        for (name, source) in sources {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if name.is_empty() || !name.chars().all(plain) || parts.iter().any(|part| part.name == name) {
                return Err(SourceError::Unsupported {
                    url: name,
                    why: "sources have names of letters, digits, - and _, each its own",
                });
            }
            let kept = folder.join(format!("{name}.json"));
            let good = read::<Kept>(&kept).map(Good::from);
            parts.push(Part { name, source, good, kept, newest: None });
        }
        // No source can be named so.
        let memory = Memory::open(folder.join("made.of.json"), parts.len());
        Ok(Self { parts, nudge: Nudge::default(), memory })
    }

    /// The names, in the order given.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.parts.iter().map(|part| part.name.as_str()).collect()
    }

    pub(crate) fn takes_status(&self) -> bool {
        self.parts.iter().any(|part| part.source.takes_status())
    }

    pub(crate) fn tells(&self) -> bool {
        self.parts.iter().any(|part| part.source.tells())
    }

    /// Each forge hears of the commit of its own repository, if the outcome concerns it: a repository whose commit was found
    /// healthy together with the others' hears nothing while another one's new commit is rolled out, halted or taken back, and
    /// keeps what it was told. When all is healthy, all hear it. A commit that is held back hears why.
    ///
    /// Where a commit is part of the revision in force and of the newest, it hears what became of the one in force.
    pub(crate) fn tell(&mut self, outcomes: &[Outcome]) {
        for healthy in outcomes.iter().filter(|outcome| outcome.phase == Phase::Healthy) {
            self.memory.found_healthy(&healthy.revision);
        }
        for (index, part) in self.parts.iter_mut().enumerate() {
            let Some((newest, held)) = &part.newest else { continue };
            let mut own: Vec<Outcome> = Vec::new();
            let told = outcomes.iter().filter(|outcome| {
                outcome.phase == Phase::Healthy || self.memory.concerns(&outcome.revision, index)
            });
            for outcome in told {
                // It may have been read again since.
                let made_of = self.memory.made_of(&outcome.revision);
                let then = made_of.and_then(|of| of.get(index)?.as_ref()).unwrap_or(newest);
                if own.iter().all(|before| before.revision != *then) {
                    own.push(Outcome { revision: then.clone(), ..outcome.clone() });
                }
            }
            if let (Some(why), Some(outcome)) = (held, outcomes.last()) {
                own.retain(|other| other.revision != *newest);
                let (revision, line) = (newest.clone(), why.clone());
                own.push(Outcome { revision, phase: Phase::Halted, line, ..outcome.clone() });
            }
            part.source.tell(&own);
        }
    }

    /// Who has to go back: the repositories whose revision differs between the two.
    pub(crate) fn proposals(&self, revert: &Revert) -> Vec<(Proposer, Revert)> {
        let memory = &self.memory;
        let (Some(good), Some(bad)) = (memory.made_of(&revert.good), memory.made_of(&revert.bad)) else {
            return Vec::new();
        };
        let own = |(part, pair): (&Part, (&Option<Revision>, &Option<Revision>))| {
            let (Some(good), Some(bad)) = pair else { return None };
            let own = Revert { good: good.clone(), bad: bad.clone(), evidence: revert.evidence.clone() };
            (good != bad).then_some((part.source.proposer()?, own))
        };
        self.parts.iter().zip(good.iter().zip(bad)).filter_map(own).collect()
    }

    /// What cannot be read, used, written or told now, and why.
    pub(crate) fn trouble(&self) -> Vec<Trouble> {
        let of = |part: &Part| {
            let held = part.newest.as_ref().and_then(|(_, held)| held.as_ref());
            let held = held.map(|why| Trouble::new(Reason::HeldBack, why.as_str()));
            let all = part.source.trouble().into_iter().chain(held);
            all.map(|trouble| trouble.of(&part.name)).collect::<Vec<_>>()
        };
        self.parts.iter().flat_map(of).collect()
    }
}

impl Source for Several {
    fn describe(&self) -> String {
        let each = self.parts.iter().map(|part| format!("{} {}", part.name, part.source.describe()));
        each.collect::<Vec<_>>().join(", ")
    }

    async fn snapshot(&mut self) -> Result<Snapshot, SourceError> {
        let read = self.parts.iter_mut().map(|part| part.source.snapshot());
        let read = join_all(read).await;
        let mut notes = Vec::new();
        let mut new = Vec::new();
        for (part, read) in self.parts.iter_mut().zip(read) {
            new.push(part.take(read, &mut notes));
        }
        let good: Vec<Option<Good>> = self.parts.iter().map(|part| part.good.clone()).collect();
        let names: Vec<String> = self.parts.iter().map(|part| part.name.clone()).collect();
        // Judging is work for a thread that may block.
        let chosen = tokio::task::spawn_blocking(move || choose(&names, new, &good)).await;
        let (chosen, held) = chosen.map_err(|_| SourceError::Interrupted)?;
        for (index, why) in held {
            if let Some(part) = self.parts.get_mut(index) {
                let (at, stays) = (part.newest.as_ref(), part.good.as_ref());
                let at = at.map_or("", |(revision, _)| revision.short());
                let stays = stays.map_or("nothing of it is used", |good| good.revision.short()).to_owned();
                let message = format!("source {} at {at} is held back: {why}; {stays} stays", part.name);
                notes.push(Note::new("source-held-back", None, message));
                if let Some((_, held)) = &mut part.newest {
                    *held = Some(why);
                }
            }
        }
        for (part, chosen) in self.parts.iter_mut().zip(&chosen) {
            part.keep(chosen.as_ref());
        }
        let snapshot = combined(&self.parts, &chosen, notes)?;
        let of = chosen.iter().map(|chosen| chosen.as_ref().map(|good| good.revision.clone())).collect();
        self.memory.remember(&snapshot.revision, of);
        Ok(snapshot)
    }

    async fn changed(&mut self) -> News {
        let Self { parts, nudge, .. } = self;
        // Cancel-safe, as each of them is.
        let any = select_all(parts.iter_mut().map(|part| Box::pin(part.source.changed())));
        tokio::select! {
            () = nudge.nudged() => News::Documents,
            (news, _, _) = any => news,
        }
    }

    /// Every source that takes status gets that of the whole fleet. The first failure is told after all had their turn.
    async fn write_status(&mut self, files: &[StatusFile]) -> Result<(), SourceError> {
        let mut outcome = Ok(());
        for part in &mut self.parts {
            if part.source.takes_status() {
                outcome = outcome.and(part.source.write_status(files).await);
            }
        }
        outcome
    }

    fn nudge(&self) -> Nudge {
        self.nudge.clone()
    }
}

impl Part {
    /// What was read, if it may be used; else it is told and the last good one stays.
    fn take(&mut self, read: Result<Snapshot, SourceError>, notes: &mut Vec<Note>) -> Option<Good> {
        let snapshot = match read {
            Ok(snapshot) => snapshot,
            Err(error) => {
                let stays = match &self.good {
                    Some(good) => format!("{} stays", good.revision.short()),
                    None => "it was never read, so nothing of it is used".to_owned(),
                };
                let message = format!("source {}: {}; {stays}", self.name, crate::error::chain(&error));
                notes.push(Note::new("source-unreachable", None, message));
                return self.good.clone();
            }
        };
        let mut refused = None;
        for note in snapshot.notes {
            let path = note.path.as_deref().map(|path| format!("{}/{path}", self.name));
            if note.refuses {
                refused = Some(note.message.clone());
            }
            let message =
                if path.is_some() { note.message } else { format!("source {}: {}", self.name, note.message) };
            notes.push(Note { path, message, refuses: false, ..note });
        }
        self.newest = Some((snapshot.revision.clone(), refused.clone()));
        if refused.is_some() {
            return self.good.clone();
        }
        let below =
            |file: SourceFile| SourceFile { path: format!("{}/{}", self.name, file.path).into(), ..file };
        let files = snapshot.files.into_iter().map(below).collect();
        Some(Good { revision: snapshot.revision, message: snapshot.message, files })
    }

    /// What is used now is good, also after a restart.
    fn keep(&mut self, chosen: Option<&Good>) {
        let Some(chosen) = chosen.filter(|chosen| self.good.as_ref() != Some(*chosen)) else { return };
        self.good = Some(chosen.clone());
        if let Err(error) = write(&self.kept, &Kept::from(chosen)) {
            tracing::warn!(path = %self.kept.display(), %error, "cannot keep this for the next start");
        }
    }
}

/// Which revision of each source is used, and which are held back and why.
fn choose(
    names: &[String],
    new: Vec<Option<Good>>,
    good: &[Option<Good>],
) -> (Vec<Option<Good>>, Vec<(usize, String)>) {
    let mut chosen = new;
    let mut held: Vec<(usize, String)> = Vec::new();
    loop {
        let files: Vec<SourceFile> = chosen.iter().flatten().flat_map(|good| good.files.clone()).collect();
        let errors: Vec<Finding> = hemline_model::load(&files).findings;
        let errors: Vec<Finding> = errors.into_iter().filter(Finding::is_error).collect();
        if errors.is_empty() {
            return (chosen, held);
        }
        let moved = |index: &usize| chosen.get(*index) != good.get(*index);
        let named = |index: &usize| {
            let below = format!("{}/", names.get(*index).map_or("", String::as_str));
            errors.iter().any(|error| says(error, &below))
        };
        let all = || (0..chosen.len()).filter(moved);
        // Of several that moved at once the last one in the order given has to wait: the first comers own their names.
        let Some(blamed) = all().rfind(named).or_else(|| all().next_back()) else {
            // It was good before, by other rules than today's: the controller says what is wrong with it.
            return (chosen, held);
        };
        let below = format!("{}/", names.get(blamed).map_or("", String::as_str));
        let (own, others): (Vec<&Finding>, Vec<&Finding>) =
            errors.iter().partition(|error| says(error, &below));
        let quoted = if own.is_empty() { others } else { own };
        held.push((blamed, quote(&quoted)));
        if let (Some(slot), Some(good)) = (chosen.get_mut(blamed), good.get(blamed)) {
            slot.clone_from(good);
        }
    }
}

/// Is a finding about a file below this folder?
fn says(finding: &Finding, below: &str) -> bool {
    let there = finding.position.as_ref().is_some_and(|position| position.file.starts_with(below));
    there || finding.message.contains(below) || finding.notes.iter().any(|note| note.contains(below))
}

fn quote(errors: &[&Finding]) -> String {
    let each = errors.iter().take(QUOTED).map(|error| match &error.position {
        Some(at) => {
            let notes: String = error.notes.iter().map(|note| format!(" ({note})")).collect();
            format!("{}:{}:{} {}{notes}", at.file, at.line, at.column, error.message)
        }
        None => error.message.clone(),
    });
    let mut text = each.collect::<Vec<_>>().join("; ");
    if errors.len() > QUOTED {
        text.push_str(&format!("; and {} more", errors.len() - QUOTED));
    }
    text
}

fn combined(parts: &[Part], chosen: &[Option<Good>], mut notes: Vec<Note>) -> Result<Snapshot, SourceError> {
    let mut hash = Sha256::new();
    let (mut files, mut messages) = (Vec::new(), Vec::new());
    for (part, chosen) in parts.iter().zip(chosen) {
        let revision = chosen.as_ref().map_or("", |good| good.revision.as_str());
        hash.update(format!("{}={revision}\n", part.name));
        let Some(good) = chosen else { continue };
        files.extend(good.files.iter().cloned());
        messages.extend(good.message.iter().map(|message| format!("{}: {message}", part.name)));
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    notes.sort_by(|a, b| a.path.cmp(&b.path));
    let revision = format!("sources:{:x}", hash.finalize());
    Ok(Snapshot {
        revision: Revision::new(revision).map_err(|_| SourceError::Interrupted)?,
        files,
        message: (!messages.is_empty()).then(|| messages.join("; ")),
        notes,
    })
}

impl From<Kept> for Good {
    fn from(kept: Kept) -> Self {
        let files = kept.files.into_iter();
        let files = files.map(|(path, text)| SourceFile { path: path.into(), bytes: text.into_bytes() });
        Self { revision: kept.revision, message: kept.message, files: files.collect() }
    }
}

impl From<&Good> for Kept {
    fn from(good: &Good) -> Self {
        let files = good.files.iter();
        // Documents that were read without an error are UTF-8.
        let files =
            files.map(|file| (file.path.to_string(), String::from_utf8_lossy(&file.bytes).into_owned()));
        Self { revision: good.revision.clone(), message: good.message.clone(), files: files.collect() }
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "cannot read what was kept from before");
            return None;
        }
    };
    serde_json::from_slice(&bytes)
        .inspect_err(|error| {
            tracing::warn!(path = %path.display(), %error, "what was kept from before is damaged and not used");
        })
        .ok()
}

fn write<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let bytes = serde_json::to_vec(value).map_err(io::Error::from)?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let temporary = path.with_extension("tmp");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    // Documents may hold values that only their readers should see.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&temporary)?;
    io::Write::write_all(&mut file, &bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

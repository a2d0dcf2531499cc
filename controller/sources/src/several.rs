//! Several sources as one: each owns the documents that it brings.
//!
//! A document belongs to the source that had it first; another source that brings the same name is held back. A source
//! that cannot be read, or whose new revision does not fit, stays at its last good revision, which is kept on disk: so
//! nothing of it is pruned, and nothing of the others waits. Files appear below the name of their source.
//!
//! Each source is looked at by itself (`several/part.rs`): what one look finds is put together with what was read of the others
//! before, so one whose remote says nothing holds up nobody.

mod choose;
mod memory;
mod part;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::future::{join_all, select_all};
use hemline_model::id::Revision;
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use self::{
    choose::choose,
    memory::Memory,
    part::{Good, Part},
};
use crate::{
    News, Note, Nudge, OneSource, Outcome, Phase, Proposer, Revert, Snapshot, Source, SourceError,
    StatusFile, Trouble,
};

/// Who asks for a snapshot out of turn waits so long for sources of which something is known.
const PATIENCE: Duration = Duration::from_secs(5);

/// Several sources.
#[derive(Debug)]
pub struct Several {
    parts: Vec<Part>,
    nudge: Nudge,
    memory: Memory,
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
            parts.push(Part::new(name, source, kept));
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
            let Some(newest) = &part.newest else { continue };
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
            if let (Some(why), Some(outcome)) = (part.held(), outcomes.last()) {
                own.retain(|other| other.revision != *newest);
                let (revision, line) = (newest.clone(), why.to_owned());
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
        self.parts.iter().flat_map(Part::trouble).collect()
    }
}

impl Source for Several {
    fn describe(&self) -> String {
        let each = self.parts.iter().map(|part| format!("{} {}", part.name, part.source.describe()));
        each.collect::<Vec<_>>().join(", ")
    }

    /// After news: what was found, together with what was read of the others before. Without any: after a look at all of
    /// them, of which those that say nothing stand in as they were. One that was never heard and of which nothing was kept
    /// is waited for, up to its own time-out: what it owns is not gone because it is slow.
    async fn snapshot(&mut self) -> Result<Snapshot, SourceError> {
        let asked = !self.parts.iter().any(Part::has_news);
        let until = Instant::now() + PATIENCE;
        let looks = self.parts.iter_mut().filter(|part| asked || !part.is_known());
        join_all(looks.map(|part| part.look(until))).await;
        join_all(self.parts.iter_mut().map(Part::read)).await;

        let mut notes: Vec<Note> = self.parts.iter().flat_map(Part::notes).collect();
        let (new, good): (Vec<_>, Vec<_>) = self.parts.iter().map(Part::choices).unzip();
        let names: Vec<String> = self.parts.iter().map(|part| part.name.clone()).collect();
        // Judging is work for a thread that may block.
        let chosen = tokio::task::spawn_blocking(move || choose(&names, new, &good)).await;
        let (chosen, mut held) = chosen.map_err(|_| SourceError::Interrupted)?;
        for (index, part) in self.parts.iter_mut().enumerate() {
            let why = held.iter_mut().find(|(of, _)| *of == index).map(|(_, why)| std::mem::take(why));
            notes.extend(part.judged(why));
        }
        for (part, chosen) in self.parts.iter_mut().zip(&chosen) {
            part.keep(chosen.as_ref());
        }
        let snapshot = combined(&self.parts, &chosen, notes)?;
        let of = chosen.iter().map(|chosen| chosen.as_ref().map(|good| good.revision.clone())).collect();
        self.memory.remember(&snapshot.revision, of);
        Ok(snapshot)
    }

    /// The oldest of them all.
    fn looked(&self) -> Option<Timestamp> {
        self.parts.iter().map(|part| part.source.looked()).min().flatten()
    }

    async fn changed(&mut self) -> News {
        loop {
            if self.parts.iter().any(Part::has_news) && self.parts.iter().all(Part::is_known) {
                return News::Documents;
            }
            let Self { parts, nudge, .. } = self;
            let any = select_all(parts.iter_mut().map(|part| Box::pin(part.source.changed())));
            let woken = tokio::select! {
                // Cancel-safe: a nudge keeps its permit, and so is each of the sources.
                () = nudge.nudged() => None,
                (news, index, _) = any => Some((news, index)),
            };
            match woken {
                None => self.parts.iter().for_each(|part| part.source.nudge().nudge()),
                Some((News::Trouble, _)) => return News::Trouble,
                Some((News::Documents, index)) => {
                    if let Some(part) = self.parts.get_mut(index) {
                        part.answered();
                    }
                }
            }
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

fn combined(
    parts: &[Part],
    chosen: &[Option<Arc<Good>>],
    mut notes: Vec<Note>,
) -> Result<Snapshot, SourceError> {
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

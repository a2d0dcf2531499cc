//! One of several sources: what it has to offer, what of it is used, and whether it has been heard.
//!
//! It is looked at beside the others. Until it answers, what was read of it last stands in for it.

use std::{path::PathBuf, sync::Arc};

use hemline_model::{SourceFile, id::Revision};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use super::{read, write};
use crate::{News, Note, OneSource, Reason, Snapshot, Source as _, SourceError, Trouble};

/// What a part contributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Good {
    pub(super) revision: Revision,
    pub(super) message: Option<String>,
    pub(super) files: Vec<SourceFile>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    revision: Revision,
    message: Option<String>,
    files: Vec<(String, String)>,
}

#[derive(Debug)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) source: OneSource,
    /// The revision whose documents were used last.
    good: Option<Arc<Good>>,
    /// What may be used of it, as it was read last; without that what was used before the start.
    offers: Option<Arc<Good>>,
    kept: PathBuf,
    /// The newest revision that was read.
    pub(super) newest: Option<Revision>,
    /// Why it must not be used whatever the others hold.
    refused: Option<String>,
    /// Why it does not fit with the others.
    held: Option<String>,
    /// What there is to say of what was read last.
    notes: Vec<Note>,
    /// What a look found waits to be read.
    news: bool,
    /// It was asked at least once, and answered or failed.
    heard: bool,
    /// It was waited for, and has said nothing since.
    silent: bool,
}

impl Part {
    pub(super) fn new(name: String, source: OneSource, kept: PathBuf) -> Self {
        let good = read::<Kept>(&kept).map(|kept| Arc::new(Good::from(kept)));
        Self {
            name,
            source,
            offers: good.clone(),
            good,
            kept,
            newest: None,
            refused: None,
            held: None,
            notes: Vec::new(),
            news: false,
            heard: false,
            silent: false,
        }
    }

    /// Is there something that stands in for it? What was never asked, and never used, may own anything: nobody can say what
    /// the fleet is without it.
    pub(super) fn is_known(&self) -> bool {
        self.good.is_some() || self.heard || self.news
    }

    pub(super) fn has_news(&self) -> bool {
        self.news
    }

    /// A look at it has ended.
    pub(super) fn answered(&mut self) {
        self.news = true;
        self.silent = false;
    }

    /// Looks now, and waits: for one that is known at most until then, and not once more before it has answered. The look
    /// goes on all the same.
    pub(super) async fn look(&mut self, until: Instant) {
        self.source.nudge().nudge();
        let known = self.is_known();
        if known && self.silent {
            return;
        }
        let source = &mut self.source;
        // Cancel-safe, as it says. Other trouble is asked for after each pass.
        let answer = async { while source.changed().await != News::Documents {} };
        if known {
            self.silent = timeout_at(until, answer).await.is_err();
        } else {
            answer.await;
        }
        self.news = !self.silent;
    }

    /// Reads what a look found.
    pub(super) async fn read(&mut self) {
        if !self.news {
            return;
        }
        let read = self.source.snapshot().await;
        self.news = false;
        self.heard = true;
        self.take(read);
    }

    /// What was read, if it may be used; else it is told, and what there was stays.
    fn take(&mut self, read: Result<Snapshot, SourceError>) {
        let snapshot = match read {
            Ok(snapshot) => snapshot,
            Err(error) => {
                let stays = match &self.good {
                    Some(good) => format!("{} stays", good.revision.short()),
                    None => "it was never read, so nothing of it is used".to_owned(),
                };
                let message = format!("source {}: {}; {stays}", self.name, crate::error::chain(&error));
                self.notes = vec![Note::new("source-unreachable", None, message)];
                return;
            }
        };
        self.notes.clear();
        self.refused = None;
        for note in snapshot.notes {
            let path = note.path.as_deref().map(|path| format!("{}/{path}", self.name));
            if note.refuses {
                self.refused = Some(note.message.clone());
            }
            let message =
                if path.is_some() { note.message } else { format!("source {}: {}", self.name, note.message) };
            self.notes.push(Note { path, message, refuses: false, ..note });
        }
        self.newest = Some(snapshot.revision.clone());
        if self.refused.is_some() {
            self.offers.clone_from(&self.good);
            return;
        }
        let below =
            |file: SourceFile| SourceFile { path: format!("{}/{}", self.name, file.path).into(), ..file };
        let files = snapshot.files.into_iter().map(below).collect();
        let (revision, message) = (snapshot.revision, snapshot.message);
        self.offers = Some(Arc::new(Good { revision, message, files }));
    }

    /// What it has to offer, and what of it was used last.
    pub(super) fn choices(&self) -> (Option<Arc<Good>>, Option<Arc<Good>>) {
        (self.offers.clone(), self.good.clone())
    }

    pub(super) fn notes(&self) -> impl Iterator<Item = Note> {
        self.notes.iter().cloned()
    }

    /// It fits with the others; or why not, which gives a note.
    pub(super) fn judged(&mut self, held: Option<String>) -> Option<Note> {
        let note = held.as_ref().map(|why| {
            let at = self.offers.as_ref().map_or("", |offers| offers.revision.short());
            let stays =
                self.good.as_ref().map_or("nothing of it is used", |good| good.revision.short()).to_owned();
            let message = format!("source {} at {at} is held back: {why}; {stays} stays", self.name);
            Note::new("source-held-back", None, message)
        });
        self.held = held;
        note
    }

    /// Why its newest revision is not used.
    pub(super) fn held(&self) -> Option<&str> {
        self.refused.as_deref().or(self.held.as_deref())
    }

    /// What cannot be read, used, written or told of it.
    pub(super) fn trouble(&self) -> impl Iterator<Item = Trouble> {
        let held = self.held().map(|why| Trouble::new(Reason::HeldBack, why));
        self.source.trouble().into_iter().chain(held).map(move |trouble| trouble.of(&self.name))
    }

    /// What is used now is good, also after a restart.
    pub(super) fn keep(&mut self, chosen: Option<&Arc<Good>>) {
        let Some(chosen) = chosen.filter(|chosen| self.good.as_ref() != Some(*chosen)) else { return };
        self.good = Some(Arc::clone(chosen));
        if let Err(error) = write(&self.kept, &Kept::from(chosen.as_ref())) {
            tracing::warn!(path = %self.kept.display(), %error, "cannot keep this for the next start");
        }
    }
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

//! Telling what became of a pass where people look: status files, the outcome for forges, and the statuses that the next start
//! begins with. Only when there is something new, and at most a twentieth of the time: over a large fleet it costs far more
//! than the pass, and whoever reads it is served as well a little later.
//!
//! What is told is put together beside the controller, so that no device waits for it; the files of a folder are written between
//! two passes.

use std::{future::pending, sync::Arc, time::Duration};

use hemline_hub_core::changes::ChangeCursor;
use hemline_sources::{AnySource, Outcome, Source as _, StatusFile};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use crate::{
    facsimile::Facsimile,
    pass::State,
    report::{PassReport, Statuses, outcomes, status_files},
};

/// Time that passes between two tellings, in times of what the first took.
const REST: u32 = 20;

/// Whatever takes less is told again at once.
const QUICK: Duration = Duration::from_millis(100);

/// What could not be handed over is tried again after this, if nothing else happens.
const AGAIN: Duration = Duration::from_secs(5);

/// What was handed over is handed over again after this, for somebody may have removed it.
const STALE: Duration = Duration::from_secs(3600);

/// Fleets up to this size are told before the report of the pass is out.
const SMALL: usize = 200;

/// What was told, and what not yet.
#[derive(Debug, Default)]
pub(crate) struct Teller {
    /// What the status files of the source say already.
    told: Option<Vec<StatusFile>>,
    told_at: Option<Instant>,
    /// Which change of the hub they know of.
    upto: Option<ChangeCursor>,
    /// What the next start begins with.
    kept: Statuses,
    /// There is something to tell.
    owes: bool,
    /// What is being put together.
    work: Option<Work>,
    not_before: Option<Instant>,
    /// It is to be told then, even if nothing more happens.
    wakes: Option<Instant>,
    /// All of it, since the start.
    took: Duration,
}

#[derive(Debug)]
struct Work {
    begin: Instant,
    task: JoinHandle<Parts>,
}

/// What there is to hand over.
#[derive(Debug)]
pub(crate) struct Told {
    begin: Instant,
    files: Option<Vec<StatusFile>>,
    outcomes: Vec<Outcome>,
}

impl Teller {
    /// How long telling took since the start.
    pub(crate) fn took(&self) -> Duration {
        self.took
    }

    /// Begins to tell what there is to tell, now or when it is time. `news`: the report says something else than the one
    /// before. `files`: status files are wanted, where the source takes them.
    pub(crate) async fn tell(
        &mut self,
        source: &mut AnySource,
        state: &State,
        report: &Arc<PassReport>,
        news: bool,
        files: bool,
    ) {
        self.owes |= news || self.upto != state.picture.upto();
        if self.told_at.is_some_and(|at| at.elapsed() > STALE) {
            (self.told, self.told_at, self.owes) = (None, None, true);
        }
        self.wakes = None;
        if !self.owes || self.work.is_some() {
            return;
        }
        let begin = Instant::now();
        if let Some(at) = self.not_before.filter(|at| *at > begin) {
            self.wakes = Some(at);
            return;
        }
        self.keep(state);
        self.owes = false;
        self.upto = state.picture.upto();
        let (files, tells) = (files && source.takes_status(), source.tells());
        if files || tells {
            let known = (files && self.upto.is_some()).then(|| state.facsimile());
            let report = Arc::clone(report);
            let task =
                tokio::task::spawn_blocking(move || put_together(&report, known.as_ref(), files, tells));
            self.work = Some(Work { begin, task });
            if state.statuses.devices.len() <= SMALL
                && let Some(told) = self.ready().await
            {
                self.hand_over(source, told).await;
            }
        }
    }

    /// Waits until there is something to hand over, or until it is time to tell once more. Cancel-safe.
    pub(crate) async fn ready(&mut self) -> Option<Told> {
        let Some(work) = &mut self.work else {
            match self.wakes {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
            return None;
        };
        let done = (&mut work.task).await;
        let begin = work.begin;
        self.work = None;
        match done {
            Ok((files, outcomes)) => Some(Told { begin, files, outcomes }),
            Err(error) => {
                tracing::error!(%error, "what became of the fleet cannot be put together, which is a bug; it is tried again");
                self.try_again();
                None
            }
        }
    }

    /// Hands over. What is not taken is trouble of the source, which a pass tells; then it is tried again.
    pub(crate) async fn hand_over(&mut self, source: &mut AnySource, told: Told) {
        let Told { begin, files, outcomes } = told;
        source.tell(&outcomes);
        let mut failed = false;
        if let Some(files) = files.filter(|files| self.told.as_ref() != Some(files)) {
            failed = source.write_status(&files).await.is_err();
            self.told = (!failed).then_some(files);
            self.told_at = (!failed).then(Instant::now);
        }
        let (took, now) = (begin.elapsed(), Instant::now());
        self.took += took;
        self.not_before = (took > QUICK).then(|| now + took * REST);
        if failed {
            self.try_again();
        }
    }

    /// After a pause, also when nothing happens.
    fn try_again(&mut self) {
        self.owes = true;
        self.not_before = self.not_before.max(Some(Instant::now() + AGAIN));
        self.wakes = self.not_before;
    }

    /// The end: nothing is left running.
    pub(crate) async fn stop(&mut self, state: &State) {
        self.keep(state);
        if let Some(Work { task, .. }) = self.work.take() {
            drop(task.await);
        }
    }

    /// Keeps the statuses for the next start.
    fn keep(&mut self, state: &State) {
        if self.kept != state.statuses {
            // What is not kept is tried again with the next telling.
            let kept = state.kept.write_statuses(&state.statuses);
            self.kept = if kept { state.statuses.clone() } else { Statuses::default() };
        }
    }
}

type Parts = (Option<Vec<StatusFile>>, Vec<Outcome>);

fn put_together(report: &PassReport, known: Option<&Facsimile>, files: bool, tells: bool) -> Parts {
    let mut all = status_files(report);
    let outcomes = if tells { outcomes(report, &all) } else { Vec::new() };
    if let Some(known) = known {
        all.push(StatusFile { path: "state.json".to_owned(), text: known.write().text() });
    }
    (files.then_some(all), outcomes)
}

#[cfg(test)]
mod tests {
    use hemline_sources::Directory;

    use super::*;

    #[tokio::test]
    async fn what_is_not_taken_is_owed_and_rests_before_it_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let status = folder.path().join("status");
        let mut source = AnySource::from(Directory::open(folder.path()).unwrap());
        let mut teller = Teller::default();
        let told = || Told {
            begin: Instant::now(),
            files: Some(vec![StatusFile { path: "README.md".to_owned(), text: "well\n".to_owned() }]),
            outcomes: Vec::new(),
        };
        // A file stands where the folder should be.
        std::fs::write(&status, "").unwrap();
        let before = Instant::now();
        teller.hand_over(&mut source, told()).await;
        assert!(teller.owes && teller.told.is_none());
        assert!(teller.wakes.is_some_and(|at| at >= before + AGAIN), "{:?}", teller.wakes);
        assert_eq!(teller.not_before, teller.wakes);
        std::fs::remove_file(&status).unwrap();
        teller.owes = false;
        teller.hand_over(&mut source, told()).await;
        assert!(!teller.owes && teller.told.is_some() && teller.told_at.is_some());
        assert_eq!(std::fs::read_to_string(status.join("README.md")).unwrap(), "well\n");
    }
}

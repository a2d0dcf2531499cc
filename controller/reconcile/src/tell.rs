//! Telling what became of a pass where people look: status files, the outcome for forges, and the statuses that the next start
//! begins with. Only when there is something new, and at most a twentieth of the time: over a large fleet it costs far more
//! than the pass, and whoever reads it is served as well a little later.

use std::time::Duration;

use hemline_hub::HubHandle;
use hemline_sources::{AnySource, Source as _, StatusFile};
use tokio::time::Instant;

use crate::{
    approve::{dated, written_down},
    pass::State,
    report::{PassReport, Statuses, outcome, status_files},
};

/// Time that passes between two tellings, in times of what the first took.
const REST: u32 = 20;

/// Whatever takes less is told at once.
const QUICK: Duration = Duration::from_millis(100);

/// What was told, and what not yet.
#[derive(Debug, Default)]
pub(crate) struct Teller {
    /// What the status files of the source say already.
    told: Option<Vec<StatusFile>>,
    /// Which change of the hub they know of.
    upto: Option<u64>,
    /// What the next start begins with.
    kept: Statuses,
    /// There is something to tell.
    owes: bool,
    not_before: Option<Instant>,
    /// It is to be told then, even if nothing more happens.
    wakes: Option<Instant>,
}

impl Teller {
    /// When something is to be told that waits for its time only.
    pub(crate) fn wakes(&self) -> Option<Instant> {
        self.wakes
    }

    /// Tells what there is to tell, now or when it is time. `news`: the report says something else than the one before.
    pub(crate) async fn tell(
        &mut self,
        source: &mut AnySource,
        hub: &HubHandle,
        state: &State,
        report: &PassReport,
        Told { news, files }: Told,
    ) {
        self.owes |= news || self.upto != state.picture.upto();
        self.wakes = None;
        if !self.owes {
            return;
        }
        let begin = Instant::now();
        if let Some(at) = self.not_before.filter(|at| *at > begin) {
            self.wakes = Some(at);
            return;
        }
        self.owes = !self.write(source, hub, state, report, files).await;
        self.upto = state.picture.upto();
        let took = begin.elapsed();
        self.not_before = (took > QUICK).then(|| Instant::now() + took * REST);
    }

    /// Keeps the statuses for the next start.
    pub(crate) fn keep(&mut self, state: &State) {
        if self.kept != state.statuses {
            state.kept.write_statuses(&state.statuses);
            self.kept = state.statuses.clone();
        }
    }

    /// Was all of it told?
    async fn write(
        &mut self,
        source: &mut AnySource,
        hub: &HubHandle,
        state: &State,
        report: &PassReport,
        files: bool,
    ) -> bool {
        self.keep(state);
        let (written, told) = (files && source.takes_status(), source.tells());
        let mut files = if written || told { status_files(report) } else { Vec::new() };
        if let Some(outcome) = told.then(|| outcome(report, &files)).flatten() {
            source.tell(&outcome);
        }
        if !written {
            return true;
        }
        if state.picture.upto().is_some() {
            let text = dated(hub, written_down(state)).await.text();
            files.push(StatusFile { path: "state.json".to_owned(), text });
        }
        if self.told.as_ref() == Some(&files) {
            return true;
        }
        // A failure is trouble of the source: the next pass tells it, and tries again.
        let done = source.write_status(&files).await.is_ok();
        if done {
            self.told = Some(files);
        }
        done
    }
}

/// How a report is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    /// It says something else than the one before.
    pub(crate) news: bool,
    /// In status files, where the source takes them.
    pub(crate) files: bool,
}

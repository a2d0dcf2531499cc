//! What a person sees while a fleet comes up: one line that moves on a terminal, a few plain lines elsewhere.

use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use hemline_api::DeviceRow;
use hemline_hub::HubHandle;
use hemline_reconcile::ControllerView;
use indicatif::{ProgressBar, ProgressStyle};

/// How often the fleet is looked at while it settles.
const LOOK: Duration = Duration::from_millis(50);

/// Does it run, or is it known that it does not?
fn is_decided(state: &str) -> bool {
    !matches!(state, "" | "unknown" | "stopped")
}

/// The moving line.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    started: Instant,
}

impl Progress {
    /// Shows nothing yet.
    pub(super) fn start() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("  {spinner} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { bar, started: Instant::now() }
    }

    /// What is being waited for.
    pub(super) fn step(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("starting {what} … {:.0} s", self.started.elapsed().as_secs_f32()));
        }
    }

    /// Waits until the first pass is done and every wanted module runs or has failed to, or until the limit. Returns what
    /// was seen last.
    pub(super) async fn until_settled(
        &self,
        hub: &HubHandle,
        view: &ControllerView,
        limit: Duration,
    ) -> Vec<DeviceRow> {
        let deadline = self.started + limit;
        let mut look = tokio::time::interval(LOOK);
        loop {
            look.tick().await;
            let rows = hemline_api::device_rows(hub).await.unwrap_or_default();
            let modules = hemline_api::module_rows(hub).await.unwrap_or_default();
            let wanted = modules.iter().filter(|module| module.desired == "running");
            let (total, open) = wanted.fold((0, 0), |(total, open), module| {
                (total + 1, open + usize::from(!is_decided(&module.state)))
            });
            let passed = view.latest().is_some();
            if (passed && open == 0) || Instant::now() >= deadline {
                return rows;
            }
            let modules = || format!("modules ({} of {total})", total - open);
            self.step(&if passed { modules() } else { "the controller".to_owned() });
        }
    }

    /// Clears the line.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

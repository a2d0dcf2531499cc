//! The live view of a terminal: for each rollout its sentence, and a bar for each wave that has devices.
//!
//! What it draws is a function of the rollouts; only [`View`] knows of a terminal.

use std::time::Duration;

use hemline_plan::rollout::{RolloutStatus, WaveStatus};
use indicatif::{ProgressBar, ProgressStyle};

use super::super::{documents::plural, review::short};

/// Characters of a full bar.
const BAR: usize = 24;
/// Characters of the longest name of a wave that is shown whole.
const NAME: usize = 16;

/// What stands on the terminal until the next look.
pub(super) struct View {
    drawn: Option<ProgressBar>,
}

impl View {
    /// Draws nothing when it is not `live`.
    pub(super) fn new(live: bool) -> Self {
        let drawn = live.then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { drawn }
    }

    /// Shows this in place of what was there.
    pub(super) fn show(&self, text: String) {
        if let Some(bar) = &self.drawn {
            bar.set_message(text);
        }
    }

    pub(super) fn clear(&self) {
        if let Some(bar) = &self.drawn {
            bar.finish_and_clear();
        }
    }
}

/// The rollouts as lines of text.
pub(super) fn draw(rollouts: &[RolloutStatus]) -> String {
    let mut lines = Vec::new();
    for rollout in rollouts {
        lines.push(format!("{} {} {}", rollout.deployment, short(&rollout.revision), rollout.says));
        lines.extend(rollout.waves.iter().filter(|wave| wave.devices > 0).map(line));
    }
    lines.join("\n")
}

fn line(wave: &WaveStatus) -> String {
    let full = (wave.done.min(wave.devices) * BAR).checked_div(wave.devices).unwrap_or_default();
    let head = if full < BAR { ">" } else { "" };
    let bar = format!("{}{head}", "=".repeat(full));
    let text =
        format!("    {:<NAME$} [{bar:<BAR$}] {}/{} {}", wave.name, wave.done, wave.devices, beside(wave));
    text.trim_end().to_owned()
}

fn beside(wave: &WaveStatus) -> String {
    let mut parts = Vec::new();
    for (count, what) in [(wave.given, "on the way"), (wave.failed, "failed"), (wave.skipped, "away")] {
        if count > 0 {
            parts.push(format!("{} {what}", plural(count, "device")));
        }
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rollout(deployment: &str, phase: &str, says: &str, waves: &[Value]) -> RolloutStatus {
        let rollout = json!({
            "deployment": deployment, "revision": "8d90bc4f00", "base": "3f2c1a9e00", "phase": phase, "says": says,
            "started": "2026-11-21T12:00:00Z", "devices": 12, "took": 0, "waves": waves, "story": [],
        });
        serde_json::from_value(rollout).unwrap()
    }

    fn wave(name: &str, [devices, done, given, failed, skipped]: [usize; 5]) -> Value {
        json!({"name": name, "devices": devices, "done": done, "given": given, "failed": failed, "skipped": skipped,
               "current": false})
    }

    #[test]
    fn a_rollout_is_drawn_from_its_first_moment_to_its_last() {
        let none = [0; 5];
        let moments = [
            vec![],
            vec![rollout("vision", "pending", "has not begun", &[wave("canary", none), wave("100 %", none)])],
            vec![rollout(
                "vision",
                "waiting",
                "waits for the approval of canary",
                &[wave("canary", [1, 0, 0, 0, 0]), wave("100 %", [11, 0, 0, 0, 0])],
            )],
            vec![
                rollout(
                    "vision",
                    "rolling",
                    "rolls out to 100 %: 5 of 11 devices done",
                    &[
                        wave("canary", [1, 1, 0, 0, 0]),
                        wave("tags.ring = 'first'", none),
                        wave("100 %", [11, 5, 2, 1, 3]),
                    ],
                ),
                rollout("meter", "verifying", "watches all", &[wave("all", [2, 0, 1, 0, 0])]),
            ],
            vec![rollout(
                "vision",
                "halted",
                "halted at canary: 1 of 1 device failed",
                &[wave("canary", [1, 0, 0, 1, 0]), wave("100 %", [11, 0, 0, 0, 0])],
            )],
            vec![rollout(
                "vision",
                "complete",
                "complete on 11 devices",
                &[wave("canary", [1, 1, 0, 0, 0]), wave("a name that is too long for it", [11, 10, 0, 0, 1])],
            )],
        ];
        let drawn: Vec<String> = moments.iter().map(|rollouts| draw(rollouts)).collect();
        insta::assert_snapshot!(drawn.join("\n----\n"));
    }

    #[test]
    fn a_bar_is_never_longer_than_its_place() {
        for done in 0..=40 {
            let wave: WaveStatus = serde_json::from_value(wave("all", [30, done, 0, 0, 0])).unwrap();
            let text = line(&wave);
            assert_eq!(text.find(']'), Some(4 + NAME + 2 + BAR), "{text}");
        }
    }
}

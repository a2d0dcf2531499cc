//! The plan as a comment of a pull request: the verdict first, what goes and what was changed by hand above the fold,
//! the single values folded below.
//!
//! A forge cuts a comment that is too long, or refuses it. So the text never has more than [`AT_MOST`] characters, and
//! says itself what it left out; the same plan always gives the same text. What users wrote only ever stands in code,
//! where it mentions nobody and cannot end the table, the fence or the fold that it stands in (`escape.rs`).

mod escape;
mod parts;

use std::collections::BTreeSet;

use hemline_model::{Finding, Severity, id::DeviceId};

use self::escape::{cell, code, html_code, label};
use crate::{
    Action, Change, Danger, Drift, Effect, Forecast, On, Plan, Planned, Reason, Refusal, Restart, Review,
    RolloutForecast, Summary,
    drift::Stays,
    names::some_names,
    plan::group_by,
    print::{self, consequence, consequence_on, count, headline},
};

/// Most characters of the text; GitHub takes 65 536.
pub const AT_MOST: usize = 60_000;
/// By this comment a script finds the text again, to replace it.
pub const MARKER: &str = "<!-- hemline-plan -->";

/// What the footer may take.
const FOOTER: usize = 1_000;
/// What the table may take, its last line included.
const TABLE: usize = 20_000;
/// What each list above the fold may take.
const LIST: usize = 8_000;
/// What all of them may take together.
const LISTS: usize = 30_000;
/// Lines of each list above the fold.
const LISTED_AT_MOST: usize = 20;
/// Values of one group in the table.
const VALUES_AT_MOST: usize = 2;
/// Paths that are named as the cause of a restart.
const PATHS_AT_MOST: usize = 6;
/// Characters of a finding's message.
const MESSAGE_AT_MOST: usize = 300;

/// One action and the devices it happens on.
type Group<'a> = (&'a Planned, Vec<&'a DeviceId>);

impl Plan {
    /// The plan in Markdown, with the warnings that its documents gave and nothing else.
    #[must_use]
    pub fn markdown(&self, findings: &[Finding]) -> String {
        Review { findings: findings.to_vec(), ..Review::of(self.clone()) }.markdown()
    }
}

impl Review {
    /// The comment of a pull request.
    #[must_use]
    pub fn markdown(&self) -> String {
        let groups = self.plan.groups();
        let mut lists = Lists { text: self.verdict(&groups), left: LISTS };
        self.lists(&mut lists, &groups);
        let mut text = lists.text;
        let unlisted = table(&mut text, &groups, &self.forecast);
        let (folded, left_out) = details(&mut text, &groups);
        self.footer(&mut text, [unlisted, folded, left_out]);
        text
    }

    fn verdict(&self, groups: &[Group<'_>]) -> String {
        let revisions = match (&self.plan.base, &self.plan.head) {
            (Some(base), Some(head)) => format!("{} → {} · ", label(base), label(head)),
            (None, Some(head)) => format!("{} · ", label(head)),
            (Some(_) | None, None) => String::new(),
        };
        if self.plan.is_empty() {
            return format!("### {revisions}{}\n\n", print::nothing(&self.plan));
        }
        let verdict = headline(&self.forecast, &self.plan).join(" · ");
        format!("### {revisions}{verdict}\n\n**Blast radius:** {}\n\n", parts::blast(self, groups))
    }

    /// What must be seen without a click, in the order in which it must be seen.
    fn lists(&self, lists: &mut Lists, groups: &[Group<'_>]) {
        let forecast = &self.forecast;
        lists.add("Refused by policy", &all(&self.verdict.refused), |refusal: &Refusal| {
            format!(
                "{}: {}",
                code(&refusal.rule, escape::NAME_AT_MOST),
                code(&refusal.message, MESSAGE_AT_MOST)
            )
        });
        let gone: Vec<&Group<'_>> =
            groups.iter().filter(|(planned, _)| planned.action.effect() == Effect::Remove).collect();
        lists.add("Removed", &gone, |(planned, devices)| {
            format!("{}: {}", place(planned, devices), removal(&planned.action))
        });
        let dangers = forecast.dangers.iter();
        let dangers: Vec<&Danger> = dangers.filter(|danger| !danger.kind.shows_itself()).collect();
        lists.add("Look twice at these", &dangers, danger_line);
        lists.add("Changed outside the documents; this overwrites it", &all(&forecast.drift), drift_line);
        lists.add("Restarts", &all(&forecast.restarts), restart_line);
        lists.add("Warnings", &self.warnings(), finding_line);
        let late: Vec<&Group<'_>> =
            groups.iter().filter(|(planned, _)| planned.reason == Reason::Pending).collect();
        lists.add("Merged before, and not on the devices yet", &late, |(planned, devices)| {
            place(planned, devices)
        });
        lists.add("Images to fetch", &all(&forecast.images), |image: &On| {
            format!("{} on {}", code(&image.name, MESSAGE_AT_MOST), places(&image.devices))
        });
        lists.add("Waves", &all(&forecast.rollouts), |rollout: &RolloutForecast| {
            let name = code(&rollout.deployment, escape::NAME_AT_MOST);
            format!("{name}: {}", code(&print::waves(rollout).replace(print::GAP, " · "), MESSAGE_AT_MOST))
        });
        let already = group_by(&self.plan.already);
        lists.add("There already; nothing to do", &all(&already), |(planned, devices)| {
            let value = planned.action.changes().first().map(|change| {
                let text = format!("{}  {}", change.path, print::values(change));
                format!(": {}", code(&text, print::VALUE_AT_MOST * 3))
            });
            format!("{}{}", place(planned, devices), value.unwrap_or_default())
        });
        let stays = format!("Changed outside the documents; {}", print::STAYS);
        lists.add(&stays, &all(&self.plan.stays), |one: &Stays| {
            format!("{} on {}", code(&one.value(), print::VALUE_AT_MOST * 3), places(&one.devices))
        });
        lists.add("Notes", &all(&self.notes), |note: &String| code(note, MESSAGE_AT_MOST));
    }

    fn footer(&self, text: &mut String, [unlisted, folded, left_out]: [usize; 3]) {
        let mut lost = Vec::new();
        if unlisted > 0 {
            lost.push(format!("{} not in the table", count(unlisted, "group")));
        }
        if folded > 0 {
            lost.push(format!("{} shortened", count(folded, "group")));
        }
        if left_out > 0 {
            lost.push(format!("{} without their values", count(left_out, "group")));
        }
        if !lost.is_empty() {
            line(
                text,
                format_args!(
                    "To keep this below {AT_MOST} characters: {}. `hem plan --format json` has everything.\n",
                    lost.join(", ")
                ),
            );
        }
        let Summary { add, change, remove, devices, restart: _, unchanged: _ } = self.plan.summary;
        line(
            text,
            format_args!(
                "Plan: {add} to add, {change} to change, {remove} to remove on {}. `{}`\n\n{MARKER}",
                count(devices, "device"),
                self.plan.digest()
            ),
        );
    }
}

/// Documents that cannot be planned, in Markdown: the errors, then the warnings.
#[must_use]
pub fn findings_markdown(findings: &[Finding]) -> String {
    let of = |severity| -> Vec<&Finding> { findings.iter().filter(|one| one.severity == severity).collect() };
    let errors = of(Severity::Error);
    let text = format!("### No plan: {} in the documents\n\n", count(errors.len(), "error"));
    let mut lists = Lists { text, left: LISTS };
    lists.add("Errors", &errors, finding_line);
    lists.add("Warnings", &of(Severity::Warning), finding_line);
    let mut text = lists.text;
    line(&mut text, format_args!("`hem validate` shows each with its line.\n\n{MARKER}"));
    text
}

// ---------------------------------------------------------------------------------------------------------------

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.push_str(&what.to_string());
    text.push('\n');
}

/// Lists above the fold, which share one budget: the first ones get what they need.
struct Lists {
    text: String,
    left: usize,
}

impl Lists {
    /// A list with its heading; nothing for an empty one.
    fn add<T>(&mut self, heading: &str, items: &[&T], each: impl Fn(&T) -> String) {
        if items.is_empty() {
            return;
        }
        line(&mut self.text, format_args!("**{heading} ({})**\n", items.len()));
        let room = LIST.min(self.left);
        let (mut shown, mut used) = (0, 0);
        for item in items.iter().take(LISTED_AT_MOST) {
            let item = each(item);
            let length = item.chars().count();
            if used + length > room {
                break;
            }
            used += length;
            line(&mut self.text, format_args!("- {item}"));
            shown += 1;
        }
        self.left -= used;
        if items.len() > shown {
            line(&mut self.text, format_args!("- … and {} more", items.len() - shown));
        }
        self.text.push('\n');
    }
}

fn all<T>(items: &[T]) -> Vec<&T> {
    items.iter().collect()
}

/// `camera` on 12 devices (`press-01 … press-12`) because of `image`, `env.A`
fn restart_line(restart: &Restart) -> String {
    let paths = restart.because.iter();
    let mut because: Vec<String> =
        paths.take(PATHS_AT_MOST).map(|path| code(path, escape::NAME_AT_MOST)).collect();
    if restart.because.len() > because.len() {
        because.push(format!("{} more", restart.because.len() - because.len()));
    }
    let module = code(restart.module.as_str(), escape::NAME_AT_MOST);
    let because = if because.is_empty() { "a change of its type".to_owned() } else { because.join(", ") };
    format!("{module} on {} because of {because}", places(&restart.devices))
}

fn danger_line(danger: &Danger) -> String {
    let what: Vec<String> = [&danger.subject, &danger.detail]
        .into_iter()
        .filter(|text| !text.is_empty())
        .map(|text| code(text, escape::NAME_AT_MOST))
        .collect();
    let what = if what.is_empty() { String::new() } else { format!(": {}", what.join(" ")) };
    format!("{}{what} on {}", danger.kind.words(), places(&danger.devices))
}

/// `module camera` on `press-07`: `env.DEBUG` `1 → (unset)`, set 2026-01-02T03:04:05Z
fn drift_line(drift: &Drift) -> String {
    let subject = code(&drift.subject, escape::NAME_AT_MOST);
    let change = Change {
        path: drift.path.clone().unwrap_or_default(),
        from: drift.found.clone(),
        to: drift.expected.clone(),
        ..Change::default()
    };
    let value = match &drift.path {
        Some(path) => {
            let text = format!("{path}  {}", print::values(&change));
            format!(": {}", code(&text, print::VALUE_AT_MOST * 3))
        }
        None => String::new(),
    };
    let since = drift.since.as_ref().map(|since| format!(", set {}", code(since, escape::NAME_AT_MOST)));
    format!("{subject} on {}{value}{}", places(&drift.devices), since.unwrap_or_default())
}

fn places(devices: &BTreeSet<DeviceId>) -> String {
    where_(&devices.iter().collect::<Vec<_>>())
}

fn finding_line(finding: &Finding) -> String {
    let at = finding.position.as_ref().map(|at| format!("{} ", code(&at.to_string(), MESSAGE_AT_MOST)));
    let hint = finding.hint.as_ref().map(|hint| format!(" — {}", code(hint, MESSAGE_AT_MOST)));
    format!(
        "{}{} {}{}",
        at.unwrap_or_default(),
        code(finding.rule, MESSAGE_AT_MOST),
        code(&finding.message, MESSAGE_AT_MOST),
        hint.unwrap_or_default()
    )
}

fn removal(action: &Action) -> String {
    match action {
        Action::RemoveRoute { change, .. } => code(&print::values(change), print::VALUE_AT_MOST * 2),
        other => consequence(other),
    }
}

/// `module camera` on 12 devices (`press-01 … press-12`)
fn place(planned: &Planned, devices: &[&DeviceId]) -> String {
    let subject = code(&planned.action.subject(), escape::NAME_AT_MOST);
    format!("{subject} on {}", where_(devices))
}

fn where_(devices: &[&DeviceId]) -> String {
    let names = code(&some_names(devices), escape::NAME_AT_MOST * 3);
    match devices {
        [_] => names,
        many => format!("{} ({names})", count(many.len(), "device")),
    }
}

/// The table of groups, as far as its share of the text goes. Returns how many groups are not in it.
fn table(text: &mut String, groups: &[Group<'_>], forecast: &Forecast) -> usize {
    if groups.is_empty() {
        return 0;
    }
    let mut rows = String::from("| | what | devices | effect | values |\n|---|---|---|---|---|\n");
    let mut used = rows.chars().count();
    let mut shown = 0;
    for (planned, devices) in groups {
        let row = row(planned, devices, forecast);
        let length = row.chars().count();
        if used + length > TABLE {
            break;
        }
        rows.push_str(&row);
        used += length;
        shown += 1;
    }
    line(text, format_args!("{rows}"));
    groups.len() - shown
}

fn row(planned: &Planned, devices: &[&DeviceId], forecast: &Forecast) -> String {
    let action = &planned.action;
    let effect = match action {
        // The only consequence that holds a user's words.
        Action::CreateModule { .. } => code(&consequence(action), print::VALUE_AT_MOST * 2),
        other => consequence_on(other, devices, forecast),
    };
    let drift = match planned.reason {
        Reason::Drift => " (drift)",
        Reason::Pending => " (merged before)",
        Reason::Documents if action.changes().iter().any(|change| change.drift) => " (also drift)",
        Reason::Documents => "",
    };
    let changes = action.changes();
    let mut values: Vec<String> = changes
        .iter()
        .take(VALUES_AT_MOST)
        .map(|change| code(&format!("{}  {}", change.path, print::values(change)), print::VALUE_AT_MOST * 3))
        .collect();
    if changes.len() > values.len() {
        values.push(format!("{} more", changes.len() - values.len()));
    }
    format!(
        "| `{}` | {} | {} | {}{drift} | {} |\n",
        print::sign(action),
        cell(&code(&action.subject(), escape::NAME_AT_MOST)),
        cell(&where_(devices)),
        cell(&effect),
        cell(&values.join(", "))
    )
}

/// A fold per group: first the short form of as many as fit, then the long form of as many of those as fit. Returns how
/// many are shortened and how many are missing.
fn details(text: &mut String, groups: &[Group<'_>]) -> (usize, usize) {
    let mut left = AT_MOST.saturating_sub(text.chars().count() + FOOTER);
    let mut chosen: Vec<(String, usize, bool)> = Vec::new();
    for (planned, devices) in groups {
        let (short, cut) = fold(planned, devices, &parts::SHORT);
        let length = short.chars().count();
        if length > left {
            break;
        }
        left -= length;
        chosen.push((short, length, cut));
    }
    for ((short, length, cut), (planned, devices)) in chosen.iter_mut().zip(groups).filter(|one| one.0.2) {
        let (long, still) = fold(planned, devices, &parts::LONG);
        let more = long.chars().count();
        if more <= left + *length {
            left = left + *length - more;
            (*short, *length, *cut) = (long, more, still);
        }
    }
    let shortened = chosen.iter().filter(|one| one.2).count();
    for (fold, _, _) in &chosen {
        text.push_str(fold);
    }
    (shortened, groups.len() - chosen.len())
}

/// One group with its devices and values, and whether something of it was cut.
fn fold(planned: &Planned, devices: &[&DeviceId], limits: &parts::Limits) -> (String, bool) {
    let subject = html_code(&planned.action.subject());
    let on = match devices {
        [one] => html_code(one.as_str()),
        many => count(many.len(), "device"),
    };
    let sign = html_code(print::sign(&planned.action));
    let (names, fewer) = parts::names(devices, limits);
    let (diff, cut) = parts::diff(&planned.action, limits);
    let text = format!(
        "<details><summary>{sign} {subject} on {on}</summary>\n\n{names}\n\n{diff}\n\n</details>\n\n"
    );
    (text, fewer || cut)
}

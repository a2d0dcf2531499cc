//! The plan for people: one screen that says what restarts, what changes live and why. Plain text; colour is the CLI's.

use std::fmt;

use hemline_model::id::DeviceId;
use serde_json::Value;

use crate::{Action, Change, Effect, Plan, Planned, Reason, Summary, change::Json};

/// Longest value that is printed whole.
pub(crate) const VALUE_AT_MOST: usize = 72;
/// What stands between the parts of the first line.
pub(crate) const GAP: &str = "     ";
/// Characters shown before the first difference of two long values.
const LEAD: usize = 24;
/// Changes of one group that are printed.
const CHANGES_AT_MOST: usize = 20;
/// Devices that are named one by one.
const NAMED_AT_MOST: usize = 3;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let revisions = match (&self.base, &self.head) {
            (Some(base), Some(head)) => format!("{base} → {head}     "),
            (None, Some(head)) => format!("{head}     "),
            (Some(_) | None, None) => String::new(),
        };
        if self.is_empty() {
            return writeln!(f, "{revisions}{}", nothing(&self.summary));
        }
        writeln!(f, "{revisions}{}", headline(&self.summary, self))?;
        let (drift, ours): (Vec<_>, Vec<_>) =
            self.groups().into_iter().partition(|(planned, _)| planned.reason == Reason::Drift);
        if !drift.is_empty() {
            writeln!(f, "\n  ! changed outside the documents; this overwrites it")?;
            drift.iter().try_for_each(|(planned, devices)| group(f, planned, devices))?;
        }
        if !ours.is_empty() {
            writeln!(f)?;
            ours.iter().try_for_each(|(planned, devices)| group(f, planned, devices))?;
        }
        let Summary { add, change, remove, devices, restart: _, unchanged: _ } = self.summary;
        let digest = self.digest();
        let digest = digest.get(..19).unwrap_or(&digest);
        let on = count(devices, "device");
        writeln!(f, "\nPlan: {add} to add, {change} to change, {remove} to remove on {on}.   {digest}…")
    }
}

impl Plan {
    /// What is done, in one line of a log: `recreated module camera on 12 devices (press-01 … press-12)`. Empty when nothing is.
    #[must_use]
    pub fn brief(&self) -> String {
        let groups = self.groups();
        let mut parts: Vec<String> = groups
            .iter()
            .take(NAMED_AT_MOST)
            .map(|(planned, devices)| {
                let verb = match planned.action.effect() {
                    Effect::Remove => "removed",
                    Effect::Add => "added",
                    Effect::Recreate => "recreated",
                    Effect::Change => "changed",
                };
                let again = if planned.reason == Reason::Drift { " back" } else { "" };
                format!("{verb} {}{again}", subject(planned, devices))
            })
            .collect();
        if groups.len() > NAMED_AT_MOST {
            parts.push(format!("and {} more", groups.len() - NAMED_AT_MOST));
        }
        parts.join(", ")
    }
}

/// What it happens to, and where.
fn subject(planned: &Planned, devices: &[&DeviceId]) -> String {
    let on = match devices {
        [one] => one.to_string(),
        many => format!("{} ({})", count(many.len(), "device"), some_names(many)),
    };
    match (planned.action.subject(), devices) {
        (device, [one]) if device == "device" => format!("device {one}"),
        (device, _) if device == "device" => on,
        (subject, _) => format!("{subject} on {on}"),
    }
}

/// The verdict when there is nothing to do.
pub(crate) fn nothing(summary: &Summary) -> String {
    let are = if summary.unchanged == 1 { "is" } else { "are" };
    format!("No changes. {} {are} as the documents say.", count(summary.unchanged, "device"))
}

/// The verdict in one line.
pub(crate) fn headline(summary: &Summary, plan: &Plan) -> String {
    let verb = if summary.devices == 1 { "changes" } else { "change" };
    let mut line =
        format!("{} of {} {verb}", summary.devices, count(summary.devices + summary.unchanged, "device"));
    let mut restarts: Vec<&DeviceId> = Vec::new();
    let mut modules = 0;
    for (planned, devices) in plan.groups() {
        if planned.action.effect() == Effect::Recreate {
            modules += 1;
            restarts.extend(devices);
        }
    }
    restarts.sort_unstable();
    restarts.dedup();
    if modules > 0 {
        let verb = if modules == 1 { "restarts" } else { "restart" };
        line.push_str(&format!(
            "     {} {verb} on {}",
            count(modules, "module"),
            count(restarts.len(), "device")
        ));
    }
    if summary.remove > 0 {
        line.push_str(&format!("     {} to remove", summary.remove));
    }
    line
}

fn group(f: &mut fmt::Formatter<'_>, planned: &Planned, devices: &[&DeviceId]) -> fmt::Result {
    let action = &planned.action;
    let sign = sign(action);
    let subject = subject(planned, devices);
    let consequence = consequence(action);
    if consequence.is_empty() {
        writeln!(f, "  {sign:<3} {subject}")?;
    } else {
        writeln!(f, "  {sign:<3} {subject:<44}  {consequence}")?;
    }
    let changes = action.changes();
    let width =
        changes.iter().take(CHANGES_AT_MOST).map(|change| change.path.chars().count()).max().unwrap_or(0);
    for change in changes.iter().take(CHANGES_AT_MOST) {
        writeln!(f, "        {:<width$}  {}", clean(&change.path), values(change))?;
    }
    if changes.len() > CHANGES_AT_MOST {
        writeln!(f, "        … and {} more", changes.len() - CHANGES_AT_MOST)?;
    }
    Ok(())
}

/// What the action does to its subject, as a sign.
pub(crate) fn sign(action: &Action) -> &'static str {
    match action.effect() {
        Effect::Remove => "-",
        Effect::Add => "+",
        Effect::Recreate => "-/+",
        Effect::Change => "~",
    }
}

/// What the action means for what runs.
pub(crate) fn consequence(action: &Action) -> String {
    match action {
        Action::DeleteDevice => "with its keys, modules and twins".to_owned(),
        Action::RemoveModule { .. } => "stops and goes".to_owned(),
        Action::CreateDevice { edge: true } => "new edge device".to_owned(),
        Action::CreateDevice { edge: false } => "new device".to_owned(),
        Action::CreateModule { runs, started: true, .. } => runs.clone(),
        Action::CreateModule { runs, started: false, .. } => format!("{runs} (not started)"),
        Action::RecreateModule { .. } => "must be recreated".to_owned(),
        Action::StartModule { .. } => "starts".to_owned(),
        Action::StopModule { .. } => "stops".to_owned(),
        Action::UpdateModule { .. } | Action::PatchTwin { .. } => "live, no restart".to_owned(),
        Action::ConfigureHub | Action::ConfigureAgent => "first configuration".to_owned(),
        Action::RemoveRoute { .. }
        | Action::AddRoute { .. }
        | Action::SetRoute { .. }
        | Action::UpdateDevice { .. }
        | Action::UpdateHub { .. }
        | Action::UpdateAgent { .. }
        | Action::PatchTags { .. } => String::new(),
    }
}

pub(crate) fn values(change: &Change) -> String {
    match pair(change, VALUE_AT_MOST) {
        (None, Some(to)) => to,
        (Some(from), None) => format!("{from} → (unset)"),
        (Some(from), Some(to)) => format!("{from} → {to}"),
        (None, None) => String::new(),
    }
}

/// The values before and after, cut so that the difference is seen: long ones that begin alike are shown from shortly
/// before it.
pub(crate) fn pair(change: &Change, at_most: usize) -> (Option<String>, Option<String>) {
    let (from, to) = (change.from.as_ref().map(value), change.to.as_ref().map(value));
    let start = match (&from, &to) {
        (Some(from), Some(to)) => {
            let same = from.chars().zip(to.chars()).take_while(|(a, b)| a == b).count();
            if same + LEAD < at_most { 0 } else { same.saturating_sub(LEAD) }
        }
        (None, _) | (_, None) => 0,
    };
    let cut = |text: Option<String>| text.map(|text| window(&text, start, at_most));
    (cut(from), cut(to))
}

/// A long text from one of its characters on, `…` where something is left out.
pub(crate) fn window(text: &str, start: usize, at_most: usize) -> String {
    let length = text.chars().count();
    if length <= at_most {
        return text.to_owned();
    }
    let cut = |yes: bool| if yes { "…" } else { "" };
    let shown: String = text.chars().skip(start).take(at_most - 1).collect();
    format!("{}{shown}{}", cut(start > 0), cut(start + at_most - 1 < length))
}

/// A value on one line: a text as it is when nothing in it can be mistaken, else JSON.
fn value(json: &Json) -> String {
    let text = match &json.0 {
        Value::String(text) if plain(text) => text.clone(),
        other => hemline_model::twin::canonical(other),
    };
    clean(&text)
}

/// A text on one line: control and direction characters would draw another picture than the one that is there.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_direction(c) { '�' } else { c }).collect()
}

/// A value on one line, long ones cut.
pub(crate) fn short(json: &Json) -> String {
    window(&value(json), 0, VALUE_AT_MOST)
}

fn plain(text: &str) -> bool {
    let like_another = matches!(text, "true" | "false" | "null") || text.parse::<f64>().is_ok();
    !text.is_empty() && !like_another && !text.starts_with([' ', '"', '[', '{']) && !text.ends_with(' ')
}

fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Names of a list: all of a short one, the ends of a long one.
pub(crate) fn some_names<T: fmt::Display>(names: &[T]) -> String {
    match names {
        [first, .., last] if names.len() > NAMED_AT_MOST => format!("{first} … {last}"),
        few => few.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

pub(crate) fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

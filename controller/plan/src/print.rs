//! The plan for people: one screen that says what restarts, what changes live and why. Plain text; colour is the CLI's.

use std::{collections::BTreeSet, fmt};

use hemline_model::id::DeviceId;
use serde_json::Value;

use crate::{
    Action, Change, Effect, Forecast, Plan, Planned, Reason, Review, RolloutForecast, Summary,
    change::Json,
    names::some_names,
    plan::{Gone, TwinOf, group_by},
};

/// Longest value that is printed whole.
pub(crate) const VALUE_AT_MOST: usize = 72;
/// What stands between the parts of the first line.
pub(crate) const GAP: &str = "     ";
/// Characters shown before the first difference of two long values.
const LEAD: usize = 24;
/// Changes of one group that are printed.
const CHANGES_AT_MOST: usize = 20;
/// Values that are bytes of memory: those of `HostConfig`, and the limit of a process.
const MEMORY: [&str; 6] =
    ["Memory", "MemoryReservation", "MemorySwap", "KernelMemory", "ShmSize", "memoryBytes"];
/// Why a change from outside is not overwritten.
pub(crate) const STAYS: &str = "stays, by `drift: report`";
/// Devices that are named one by one.
const NAMED_AT_MOST: usize = 3;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Review::of(self.clone()).fmt(f)
    }
}

impl fmt::Display for Review {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = &self.plan;
        let revisions = match (&plan.base, &plan.head) {
            (Some(base), Some(head)) => format!("{base} → {head}     "),
            (None, Some(head)) => format!("{head}     "),
            (Some(_) | None, None) => String::new(),
        };
        if plan.is_empty() {
            writeln!(f, "{revisions}{}", nothing(plan))?;
            already(f, plan)?;
            stays(f, plan)?;
            return notes(f, &self.notes);
        }
        writeln!(f, "{revisions}{}", headline(&self.forecast, plan).join(GAP))?;
        refusals(f, self)?;
        dangers(f, &self.forecast)?;
        for (reason, heading) in [
            (Reason::Drift, "  ! changed outside the documents; this overwrites it\n"),
            (Reason::Pending, "  … merged before, and not on the devices yet\n"),
            (Reason::Documents, ""),
        ] {
            let groups: Vec<_> =
                plan.groups().into_iter().filter(|(planned, _)| planned.reason == reason).collect();
            if !groups.is_empty() {
                write!(f, "\n{heading}")?;
                groups
                    .iter()
                    .try_for_each(|(planned, devices)| group(f, planned, devices, &self.forecast))?;
            }
        }
        already(f, plan)?;
        stays(f, plan)?;
        images(f, &self.forecast)?;
        rollouts(f, &self.forecast)?;
        notes(f, &self.notes)?;
        let Summary { add, change, remove, devices, restart: _, unchanged: _ } = plan.summary;
        let digest = plan.digest();
        let digest = digest.get(..19).unwrap_or(&digest);
        let on = count(devices, "device");
        writeln!(f, "\nPlan: {add} to add, {change} to change, {remove} to remove on {on}.   {digest}…")
    }
}

fn refusals(f: &mut fmt::Formatter<'_>, review: &Review) -> fmt::Result {
    if review.verdict.allows() {
        return Ok(());
    }
    writeln!(f, "\n  x refused by policy")?;
    let refused = review.verdict.refused.iter();
    refused
        .into_iter()
        .try_for_each(|refusal| writeln!(f, "        {:<20}  {}", refusal.rule, clean(&refusal.message)))
}

/// What the sign of a group does not tell well enough.
fn dangers(f: &mut fmt::Formatter<'_>, forecast: &Forecast) -> fmt::Result {
    let hidden: Vec<_> = forecast.dangers.iter().filter(|danger| !danger.kind.shows_itself()).collect();
    if hidden.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n  ! look twice")?;
    for danger in hidden.iter().take(CHANGES_AT_MOST) {
        let devices: Vec<&DeviceId> = danger.devices.iter().collect();
        let what = [danger.subject.as_str(), danger.detail.as_str()];
        let what: Vec<String> = what.into_iter().filter(|text| !text.is_empty()).map(clean).collect();
        writeln!(f, "        {:<32}  {}   on {}", danger.kind.words(), what.join("  "), places(&devices))?;
    }
    more(f, hidden.len())
}

fn already(f: &mut fmt::Formatter<'_>, plan: &Plan) -> fmt::Result {
    let groups = group_by(&plan.already);
    if groups.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n  = there already; nothing to do")?;
    for (planned, devices) in groups.iter().take(CHANGES_AT_MOST) {
        let first = planned.action.changes().first();
        let value = first.map(|change| format!("   {}  {}", clean(&change.path), values(change)));
        writeln!(f, "        {}{}", clean(&subject(planned, devices)), value.unwrap_or_default())?;
    }
    more(f, groups.len())
}

/// What is not as the documents say, and is not touched.
fn stays(f: &mut fmt::Formatter<'_>, plan: &Plan) -> fmt::Result {
    if plan.stays.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n  = changed outside the documents; {STAYS}")?;
    for one in plan.stays.iter().take(CHANGES_AT_MOST) {
        let devices: Vec<&DeviceId> = one.devices.iter().collect();
        writeln!(f, "        {}   on {}", clean(&one.value()), places(&devices))?;
    }
    more(f, plan.stays.len())
}

fn images(f: &mut fmt::Formatter<'_>, forecast: &Forecast) -> fmt::Result {
    if forecast.images.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n  images to fetch")?;
    for image in forecast.images.iter().take(CHANGES_AT_MOST) {
        writeln!(f, "        {:<44}  {}", clean(&image.name), count(image.devices.len(), "device"))?;
    }
    more(f, forecast.images.len())
}

fn rollouts(f: &mut fmt::Formatter<'_>, forecast: &Forecast) -> fmt::Result {
    for rollout in forecast.rollouts.iter().take(CHANGES_AT_MOST) {
        writeln!(f, "\n  waves of {}     {}", clean(&rollout.deployment), clean(&waves(rollout)))?;
    }
    Ok(())
}

/// `1 device (canary) → 9 more (25 %) → 28 more (100 %)     38 devices in all     healthy time 6 min`
pub(crate) fn waves(rollout: &RolloutForecast) -> String {
    let waves: Vec<String> = rollout
        .waves
        .iter()
        .enumerate()
        .map(|(place, wave)| match (place, wave.devices) {
            (0, devices) => format!("{} ({})", count(devices, "device"), wave.name),
            (_, 0) => format!("no more ({})", wave.name),
            (_, devices) => format!("{devices} more ({})", wave.name),
        })
        .collect();
    let mut parts = vec![waves.join(" → "), format!("{} in all", count(rollout.devices, "device"))];
    parts.push(format!("healthy time {}", span(rollout.at_least_secs)));
    if rollout.approval {
        parts.push("each wave approved by a person".to_owned());
    }
    if let Some(window) = &rollout.window {
        parts.push(format!("only {window}"));
    }
    parts.join(GAP)
}

/// Seconds in the largest unit that fits.
fn span(secs: u64) -> String {
    match secs {
        0..60 => format!("{secs} s"),
        60..7200 if secs.is_multiple_of(60) => format!("{} min", secs / 60),
        60..7200 => format!("{} min {} s", secs / 60, secs % 60),
        _ => format!("{} h {} min", secs / 3600, secs % 3600 / 60),
    }
}

fn notes(f: &mut fmt::Formatter<'_>, notes: &[String]) -> fmt::Result {
    if notes.is_empty() {
        return Ok(());
    }
    writeln!(f)?;
    notes.iter().try_for_each(|note| writeln!(f, "  note: {}", clean(note)))
}

fn more(f: &mut fmt::Formatter<'_>, all: usize) -> fmt::Result {
    if all > CHANGES_AT_MOST { writeln!(f, "        … and {} more", all - CHANGES_AT_MOST) } else { Ok(()) }
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
    let on = places(devices);
    match (planned.action.subject(), devices) {
        (device, [one]) if device == "device" => format!("device {one}"),
        (device, _) if device == "device" => on,
        (subject, _) => format!("{subject} on {on}"),
    }
}

/// The verdict when there is nothing to do.
pub(crate) fn nothing(plan: &Plan) -> String {
    let devices = count(plan.summary.unchanged, "device");
    if !plan.stays.is_empty() {
        return format!("No changes on {devices}.");
    }
    let are = if plan.summary.unchanged == 1 { "is" } else { "are" };
    format!("No changes. {devices} {are} as the documents say.")
}

/// `press-07`, or `12 devices (press-01 … press-12)`.
pub(crate) fn places(devices: &[&DeviceId]) -> String {
    match devices {
        [one] => one.to_string(),
        many => format!("{} ({})", count(many.len(), "device"), some_names(many)),
    }
}

/// The verdict in one line, in parts: how far it reaches, what restarts, what goes.
pub(crate) fn headline(forecast: &Forecast, plan: &Plan) -> Vec<String> {
    let offline = forecast.offline.as_ref().map_or(0, BTreeSet::len);
    let mut reach = match forecast.devices {
        1 => "1 device changes".to_owned(),
        all if forecast.change == all => format!("all {all} devices change"),
        all => format!("{all} devices: {} change", forecast.change),
    };
    match offline {
        0 => {}
        _ if forecast.change == 1 => reach.push_str(", offline now"),
        _ => reach.push_str(&format!(", {offline} of them offline")),
    }
    let mut parts = vec![reach];
    let (modules, restarting) = (forecast.restarting_modules().len(), forecast.restarting().len());
    let mut running = Vec::new();
    if modules > 0 {
        let verb = if modules == 1 { "restarts" } else { "restart" };
        running.push(format!("{} {verb} on {}", count(modules, "module"), count(restarting, "device")));
    }
    if forecast.live > 0 {
        let verb = if forecast.live == 1 { "changes" } else { "change" };
        running.push(format!("{} {verb} live", count(forecast.live, "device")));
    }
    if !running.is_empty() {
        parts.push(running.join(", "));
    }
    parts.extend(removals(plan));
    if !forecast.images.is_empty() {
        parts.push(count(forecast.images.len(), "image") + " to fetch");
    }
    let drifted: BTreeSet<&DeviceId> = forecast.drift.iter().flat_map(|drift| &drift.devices).collect();
    if !drifted.is_empty() {
        parts.push(format!("overwrites drift on {}", count(drifted.len(), "device")));
    }
    parts
}

/// `removes 1 device, 2 modules, 1 route`; the same module on many devices is one.
fn removals(plan: &Plan) -> Option<String> {
    let (mut devices, mut modules, mut routes) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (planned, on) in plan.groups() {
        match planned.action.gone() {
            Some(Gone::Device) => devices.extend(on),
            Some(Gone::Module(module)) => {
                modules.insert(module);
            }
            Some(Gone::Route { name, .. }) => {
                routes.insert(name);
            }
            None => {}
        }
    }
    let counts = [(devices.len(), "device"), (modules.len(), "module"), (routes.len(), "route")];
    let parts: Vec<String> = counts
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| count(number, what))
        .collect();
    (!parts.is_empty()).then(|| format!("removes {}", parts.join(", ")))
}

fn group(
    f: &mut fmt::Formatter<'_>,
    planned: &Planned,
    devices: &[&DeviceId],
    forecast: &Forecast,
) -> fmt::Result {
    let action = &planned.action;
    let sign = sign(action);
    let subject = subject(planned, devices);
    let consequence = consequence_on(action, devices, forecast);
    if consequence.is_empty() {
        writeln!(f, "  {sign:<3} {subject}")?;
    } else {
        writeln!(f, "  {sign:<3} {subject:<44}  {consequence}")?;
    }
    let changes = action.changes();
    let width =
        changes.iter().take(CHANGES_AT_MOST).map(|change| change.path.chars().count()).max().unwrap_or(0);
    for change in changes.iter().take(CHANGES_AT_MOST) {
        writeln!(
            f,
            "        {:<width$}  {}{}",
            clean(&change.path),
            values(change),
            origin(change, planned.reason)
        )?;
    }
    if changes.len() > CHANGES_AT_MOST {
        writeln!(f, "        … and {} more", changes.len() - CHANGES_AT_MOST)?;
    }
    Ok(())
}

/// What is known about a value that the documents did not set.
fn origin(change: &Change, reason: Reason) -> String {
    let since = change.since.as_ref().map(|since| format!("set {}", clean(since)));
    match (change.drift && reason != Reason::Drift, since) {
        (true, Some(since)) => format!("   ! not from the documents, {since}"),
        (true, None) => "   ! not from the documents".to_owned(),
        (false, Some(since)) => format!("   {since}"),
        (false, None) => String::new(),
    }
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
        Action::DeleteDevice => "for good, with its keys, modules and twins".to_owned(),
        Action::RemoveModule { .. } => "is stopped and removed".to_owned(),
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

/// The same, where more happens on the devices: what a module that is made anew reads, it reads when it starts.
pub(crate) fn consequence_on(action: &Action, devices: &[&DeviceId], forecast: &Forecast) -> String {
    let Some(TwinOf::Module(module)) = action.twin() else { return consequence(action) };
    let restarts = forecast.restarts.iter().filter(|restart| &restart.module == module);
    let restarting: BTreeSet<&DeviceId> = restarts.flat_map(|restart| &restart.devices).collect();
    match devices.iter().filter(|id| restarting.contains(**id)).count() {
        0 => consequence(action),
        all if all == devices.len() => "read at its restart".to_owned(),
        some => format!("{}; read at its restart on {some}", consequence(action)),
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
    let shown = |json: &Json| memory(&change.path, json).unwrap_or_else(|| value(json));
    let (from, to) = (change.from.as_ref().map(shown), change.to.as_ref().map(shown));
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

/// Bytes of memory in the largest unit that divides them: `67108864` → `64 MiB`.
fn memory(path: &str, json: &Json) -> Option<String> {
    let name = path.rsplit('.').next().unwrap_or(path);
    let bytes = json.0.as_u64().filter(|bytes| *bytes > 0 && MEMORY.contains(&name))?;
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let (unit, size) = units.into_iter().find(|(_, size)| bytes.is_multiple_of(*size))?;
    Some(format!("{} {unit}", bytes / size))
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

pub(crate) fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

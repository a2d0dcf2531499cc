//! Which revision of each of several sources is used, and which have to wait and why. Pure.

use std::sync::Arc;

use hemline_model::{Finding, SourceFile};

use super::part::Good;

/// Findings that are quoted of a revision that is held back.
const QUOTED: usize = 3;

/// What is used of each source, and which of them are held back and why.
pub(super) type Chosen = (Vec<Option<Arc<Good>>>, Vec<(usize, String)>);

/// Chooses: what each source offers (`new`), else what was used of it last (`good`).
pub(super) fn choose(names: &[String], new: Vec<Option<Arc<Good>>>, good: &[Option<Arc<Good>>]) -> Chosen {
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

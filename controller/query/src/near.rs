//! "Did you mean": the name closest to one that does not exist. Not a search: one best answer or none.

/// Longest name that is compared; longer ones are never a typing slip of a known name.
const LONGEST: usize = 64;

/// The name of `names` that `wanted` was probably meant to be: fewest typing slips (a missing, extra, wrong or swapped
/// character, case ignored), at most a third of the length; in case of a tie the one with
/// the same first letter, else the first one. `None` when nothing is near.
#[must_use]
pub fn near<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted_chars = folded(wanted)?;
    let allowed = (wanted_chars.len() / 3).max(1);
    let mut best: Option<((usize, bool), &'a str)> = None;
    for name in names.filter(|name| *name != wanted) {
        let Some(name_chars) = folded(name) else { continue };
        if name_chars.len().abs_diff(wanted_chars.len()) > allowed {
            continue;
        }
        let slips = distance(&wanted_chars, &name_chars);
        let cost = (slips, name_chars.first() != wanted_chars.first());
        // A one-letter name is one slip from every other one-letter name; that is no help.
        if slips <= allowed && slips < wanted_chars.len() && best.is_none_or(|(least, _)| cost < least) {
            best = Some((cost, name));
        }
    }
    best.map(|(_, name)| name)
}

// ---------------------------------------------------------------------------------------------------------------

fn folded(name: &str) -> Option<Vec<char>> {
    let characters: Vec<char> = name.chars().take(LONGEST + 1).flat_map(char::to_lowercase).collect();
    (!characters.is_empty() && characters.len() <= LONGEST).then_some(characters)
}

/// Edit distance with swapped neighbours as one slip (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut older: Vec<usize> = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut row = vec![i + 1; b.len() + 1];
        for (j, right) in b.iter().enumerate() {
            let replaced = above[j] + usize::from(left != right);
            row[j + 1] = replaced.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i - 1] == *right && *left == b[j - 1] {
                row[j + 1] = row[j + 1].min(older[j - 1] + 1);
            }
        }
        older = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

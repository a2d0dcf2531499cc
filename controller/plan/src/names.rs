//! Many names in few words: `gdansk-press-01 … 24, lyon-press-01 … 48`.
//!
//! The dots stand for every number between the ends; where some are missing the count says so: `6 of gdansk-press-04 … 24`.

use std::fmt;

/// Names that are listed one by one.
const NAMED_AT_MOST: usize = 3;
/// Rows of numbered names; a list that needs more shows its ends only.
const ROWS_AT_MOST: usize = 4;

/// Names that differ in their last number.
struct Row {
    stem: String,
    /// The smallest and the largest number, and how they are written; ids sort as texts, so neither need be at an end.
    least: (u64, String),
    most: (u64, String),
    count: u64,
}

/// A list of names in their order: all of a short one, rows of numbers or the ends of a long one. The same name stands in it
/// once.
pub(crate) fn some_names<T: fmt::Display>(names: &[T]) -> String {
    match names {
        [first, .., last] if names.len() > NAMED_AT_MOST => {
            rows(names).unwrap_or_else(|| format!("{first} … {last}"))
        }
        few => few.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

fn rows<T: fmt::Display>(names: &[T]) -> Option<String> {
    let mut rows: Vec<Row> = Vec::new();
    for name in names {
        let name = name.to_string();
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let number = (name[stem.len()..].parse::<u64>().ok()?, name[stem.len()..].to_owned());
        let full = rows.len() == ROWS_AT_MOST;
        match rows.last_mut().filter(|row| row.stem == stem) {
            Some(row) => {
                row.count += 1;
                if number.0 < row.least.0 {
                    row.least = number;
                } else if number.0 > row.most.0 {
                    row.most = number;
                }
            }
            None if full => return None,
            None => rows.push(Row { stem: stem.to_owned(), least: number.clone(), most: number, count: 1 }),
        }
    }
    Some(rows.iter().map(Row::words).collect::<Vec<_>>().join(", "))
}

impl Row {
    fn words(&self) -> String {
        let Self { stem, least: (least, first), most: (most, last), count } = self;
        match count {
            1 => format!("{stem}{first}"),
            2 => format!("{stem}{first}, {stem}{last}"),
            // Every number between the ends is in it.
            _ if most - least == *count - 1 => format!("{stem}{first} … {last}"),
            _ => format!("{count} of {stem}{first} … {last}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::some_names;

    #[test]
    fn names_in_few_words() {
        for (names, words) in [
            (vec![], ""),
            (vec!["a"], "a"),
            (vec!["a-1", "a-2", "a-3"], "a-1, a-2, a-3"),
            (vec!["a-1", "a-2", "a-3", "a-4"], "a-1 … 4"),
            (vec!["a-01", "a-03", "a-05", "a-07"], "4 of a-01 … 07"),
            (vec!["a-1", "a-2", "a-3", "b-1"], "a-1 … 3, b-1"),
            (vec!["a-1", "a-2", "b-1", "b-2", "c-7"], "a-1, a-2, b-1, b-2, c-7"),
            (vec!["a-1", "a-2", "b-1", "b-2", "c"], "a-1 … c"),
            (vec!["a", "b", "c", "d", "e"], "a … e"),
            (vec!["7", "8", "9", "10"], "7 … 10"),
            // As ids sort.
            (vec!["a-1", "a-10", "a-2", "a-3"], "4 of a-1 … 10"),
            (vec!["a99999999999999999999", "a1", "a2", "a3"], "a99999999999999999999 … a3"),
            (vec!["a-1", "b-1", "c-1", "d-1", "e-1"], "a-1 … e-1"),
        ] {
            assert_eq!(some_names(&names), words, "{names:?}");
        }
    }
}

//! The patterns of OpenSSH's files: `*` and `?`.

/// `*` stands for any characters and `?` for one. Takes time in the product of the lengths, whatever the pattern is.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut there) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while there < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, there));
                at += 1;
            }
            Some(c) if *c == '?' || *c == name[there] => {
                at += 1;
                there += 1;
            }
            Some(_) | None => {
                let Some((before, reached)) = star else { return false };
                star = Some((before, reached + 1));
                (at, there) = (before + 1, reached + 1);
            }
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (pattern, name, matched) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("a?c", "abc", true),
            ("*a*b*", "xxayyb", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, name), matched, "{pattern} {name}");
        }
    }
}

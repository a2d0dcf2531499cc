//! Words of users inside Markdown: always code, on one line, of bounded length.
//!
//! Forges look for mentions, references and emoji everywhere but in code, and only after entities are resolved; so
//! escaping an `@` does not help, and standing in code does.

use crate::print::{clean, window};

/// Characters of a name.
pub(super) const NAME_AT_MOST: usize = 140;

/// A span of code that the text cannot end. For paragraphs, lists and table cells.
pub(super) fn code(text: &str, at_most: usize) -> String {
    let text = window(&clean(text), 0, at_most);
    if text.trim().is_empty() {
        return String::new();
    }
    let ticks = "`".repeat(longest_run(&text) + 1);
    // A space at both ends is not part of the span; it keeps a tick of the text from joining the fence.
    let pad = if text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) { " " } else { "" };
    format!("{ticks}{pad}{text}{pad}{ticks}")
}

/// Code in a line of HTML, where Markdown is not read.
pub(super) fn html_code(text: &str) -> String {
    let mut html = String::from("<code>");
    for c in window(&clean(text), 0, NAME_AT_MOST).chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '`' => html.push_str("&#96;"),
            other => html.push(other),
        }
    }
    html.push_str("</code>");
    html
}

/// A revision outside code, so that a forge may link it: what is no part of a revision's name is `?`.
pub(super) fn label(text: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '/') { c } else { '?' };
    window(text, 0, 40).chars().map(safe).collect()
}

/// Lines between fences that none of them can close.
pub(super) fn fenced(language: &str, lines: &str) -> String {
    let fence = "`".repeat(longest_run(lines).max(2) + 1);
    format!("{fence}{language}\n{lines}{fence}")
}

/// A cell of a table: a bar would start the next one, even in code.
pub(super) fn cell(text: &str) -> String {
    text.replace('|', "¦")
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_span() {
        for (text, span) in [
            ("camera", "`camera`"),
            ("a`b", "``a`b``"),
            ("`", "`` ` ``"),
            ("``` @everyone", "```` ``` @everyone ````"),
            ("a\nb", "`a�b`"),
            ("", ""),
        ] {
            assert_eq!(code(text, 80), span);
        }
        assert_eq!(code(&"x".repeat(100), 10), "`xxxxxxxxx…`");
    }

    #[test]
    fn nothing_ends_a_fence_or_a_tag() {
        assert_eq!(fenced("diff", "+ ```\n"), "````diff\n+ ```\n````");
        assert_eq!(html_code("</summary>&`"), "<code>&lt;/summary&gt;&amp;&#96;</code>");
        assert_eq!(label("a@b`<x>"), "a?b??x?");
    }
}

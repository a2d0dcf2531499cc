//! Whatever the quick reader answers, the full one answers too, and says nothing against it.

use std::fmt::Write as _;

use hemline_testkit::corpus::{Revision, Shape};
use proptest::prelude::*;

use super::read;
use crate::text::{Limits, reader, source::SourceText, split};

/// How many pieces of a text the quick reader takes; fails where the full reader disagrees.
fn taken(text: &str, limits: Limits) -> usize {
    let source = SourceText::new("f.yaml".into(), text);
    let mut taken = 0;
    for piece in split::pieces(&source) {
        let text = source.text().get(source.start_of(piece.first)..source.start_of(piece.end)).unwrap();
        if let Some(value) = read(text, limits) {
            let full = reader::read_whole(&source, piece, limits);
            let said: Vec<&str> = full.problems.iter().map(|problem| problem.message.as_str()).collect();
            assert_eq!(said, Vec::<&str>::new(), "{text:?} gave {value}");
            assert_eq!(full.value, Some(value), "{text:?}");
            taken += 1;
        }
    }
    taken
}

#[test]
fn the_documents_of_a_fleet_are_all_taken() {
    let shape = Shape { devices: 150, deployments: 120, changed: 0, bad: 10, seed: 3 };
    for (path, text) in shape.files(Revision::Before) {
        let documents = if path.starts_with("devices") { text.matches("---\n").count() + 1 } else { 1 };
        assert_eq!(taken(&text, Limits::default()), documents, "{path}");
    }
}

#[test]
fn plain_forms_are_taken_and_others_left() {
    for (text, wanted) in [
        ("a: 1\n", true),
        ("---\na: 1", true),
        ("--- # the first\na: 1", true),
        (
            "# c\n\na:\n  b: x # y\n  # z\n  c: 'it''s'\nd:\n- 1\n-   e: 2\n    f: 3\n-\n  - - 4\n    - 5\n",
            true,
        ),
        ("a:\nb: ~\nc: \"x\\n\\u00e9\"\nd: [a, {b: c}, \"d\"]\n", true),
        ("a: http://x:80/y#z\nb: 10:30\nc: a,b [c] {d}\n", true),
        ("a:\n      b: 1\nc:\n d: 2\n", true),
        ("{\"a\": [1,2,\n {\"b\": null}],\n\"c\": \"d\"}\n", true),
        ("straße: größe\n", true),
        ("a: &x 1\nb: *x\n", false),
        ("a: |\n  text\n", false),
        ("a: one\n  two\n", false),
        ("a: \"one\n  two\"\n", false),
        ("a: !!str 1\n", false),
        ("<<: {a: 1}\n", false),
        ("a: 1\na: 2\n", false),
        ("a: yes\n", false),
        ("a: .inf\n", false),
        ("? a\n: b\n", false),
        ("a:\tb\n", false),
        ("a: b: c\n", false),
        ("a: 1\n b: 2\n", false),
        ("  a: 1\n b: 2\n", false),
        ("a: [1,\n  2]\n", false),
        ("a: 'b' c\n", false),
        ("a: \u{2028}\n", false),
        ("- a\n", false),
        ("a: 1\r\n", false),
    ] {
        assert_eq!(taken(text, Limits::default()) == 1, wanted, "{text:?}");
    }
}

#[test]
fn depth_is_bounded_as_in_the_full_reader() {
    let limits = Limits { depth: 3, ..Limits::default() };
    for (text, wanted) in
        [("a:\n  b:\n    c: 1\n", true), ("a:\n  b:\n    c:\n      d: 1\n", false), ("a: [[[1]]]\n", false)]
    {
        assert_eq!(taken(text, limits) == 1, wanted, "{text:?}");
    }
}

/// Lines of random depth with random pieces of YAML on them: most are wrong somewhere.
fn lines() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-d]: ",
        2 => "[a-d]:",
        3 => "- ",
        3 => "[a-c0-9.]{1,3}",
        1 => prop_oneof!["\"[a-b\\\\n: ]{0,3}\"", "'[a-b'#: ]{0,3}'"],
        1 => r"\{[a-b: ,]{0,5}\}|\[[a-b, ]{0,4}\]|[{}\[\],]",
        1 => " ?#[ a]?|&a|\\*a|!|\\||>|%|@|`|\\?|:|-|~|<<|null|true|yes|0x1|1e3|\\.5|-1|é|  ",
    ];
    let line = (0..4_usize, any::<bool>(), proptest::collection::vec(piece, 0..4));
    proptest::collection::vec(line, 1..7).prop_map(|lines| {
        lines.into_iter().fold(String::new(), |mut text, (depth, odd, pieces)| {
            let indent = depth * 2 + usize::from(odd && depth == 3);
            writeln!(text, "{:indent$}{}", "", pieces.concat()).unwrap();
            text
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn never_another_value_on_random_lines(text in lines()) {
        taken(&text, Limits::default());
    }

    #[test]
    fn never_another_value_on_random_flow(text in r#"\{("[a-b]" ?: ?(1|"x"|\[\]|\{\}|null|[a-b])(,|, |\n)?|[\]\[{},: \na"']){0,9}\}?"#) {
        taken(&text, Limits::default());
        taken(&format!("k: {text}"), Limits::default());
        taken(&format!("- {text}"), Limits::default());
    }

    /// One or two slips in a good document.
    #[test]
    fn never_another_value_after_a_slip(
        seed in 0..1000_u64,
        slips in proptest::collection::vec((0.0..1.0_f64, "[-:#'\"\\[\\]{},&*!|>%@`? \nab1.~\\\\]{0,3}", 0..4_usize), 1..3),
    ) {
        let shape = Shape { devices: 1, deployments: 1, changed: 0, bad: 0, seed };
        for (_, text) in shape.files(Revision::Before) {
            let mut text = text;
            for (at, insert, remove) in &slips {
                #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a short text")]
                let at = (at * text.len() as f64) as usize;
                text.replace_range(at..(at + remove).min(text.len()), insert);
            }
            taken(&text, Limits::default());
        }
    }
}

//! Properties: nothing panics, and what is printed reads back as the same.

use hemline_query::route::{Condition, Engine, Events, Outcome, Route};
use hemline_query::select::Query;
use hemline_query::target::TargetCondition;
use proptest::prelude::*;

use crate::conditions::message;
use crate::queries::fleet;

/// Pieces of all the languages, so that random texts get past the first word.
fn pieces() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "SELECT",
        "*",
        "FROM",
        "devices",
        "devices.modules",
        "/messages/*",
        "WHERE",
        "AND",
        "OR",
        "NOT",
        "IN",
        "NIN",
        "INTO",
        "$upstream",
        "BrokeredEndpoint(",
        "'/modules/a/inputs/b'",
        "(",
        ")",
        "[",
        "]",
        "[[",
        "]]",
        "a",
        "tags.a",
        "$body.x[0]",
        "{$y}",
        "'s'",
        "\"t\"",
        "''",
        "'",
        "\"",
        "\\",
        "\\u",
        "1",
        "0x",
        "1e5",
        "-",
        "+",
        "||",
        "??",
        "=",
        "!=",
        "<",
        ",",
        ".",
        "/*",
        "*/",
        "COUNT()",
        "GROUP BY",
        "TOP",
        "AS",
        "null",
        "undefined",
        "true",
        "length(",
        "is_defined(",
        "é",
        "\u{1F600}",
        "\0",
        ";",
    ]);
    let piece = prop_oneof![8 => words.prop_map(str::to_owned), 1 => ".{0,3}"];
    let blank = prop::sample::select(vec!["", " ", "\n"]);
    prop::collection::vec((piece, blank), 0..40)
        .prop_map(|pieces| pieces.into_iter().map(|(piece, blank)| format!("{piece}{blank}")).collect())
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => pieces(),
        1 => "\\PC{0,200}",
        1 => pieces().prop_map(|text| format!("SELECT a FROM devices WHERE {text}")),
        1 => pieces().prop_map(|text| format!("FROM /messages/* WHERE {text} INTO $upstream")),
    ]
}

/// Text of a twin expression in every form of the grammar.
fn twin_expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[a-zA-Z_$][a-zA-Z0-9_$-]{0,6}".prop_map(|name| format!("tags.{name}")),
        "[^\\]\\pC]{1,6}".prop_map(|name| format!("configurations.[[{name}]].x[3]")),
        "[^'\\\\]{0,6}".prop_map(|text| format!("'{text}'")),
        any::<f64>().prop_filter("JSON has finite numbers", |n| n.is_finite()).prop_map(|n| format!("{n:e}")),
        any::<i32>().prop_map(|n| n.to_string()),
        Just("devices.deviceId".to_owned()),
        Just("[[select]].[[devices]]".to_owned()),
        prop::sample::select(vec!["null", "undefined", "true", "false", "['a', -1, null]"])
            .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(5, 40, 3, |inner| {
        let operators =
            prop::sample::select(vec!["+", "-", "*", "/", "%", "=", "!=", "<>", "<", "<=", ">", ">="]);
        let connectives = prop::sample::select(vec!["AND", "or"]);
        let lists = prop::collection::vec(inner.clone(), 1..3).prop_map(|list| list.join(", "));
        prop_oneof![
            (inner.clone(), operators, inner.clone()).prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
            (inner.clone(), connectives, inner.clone(), inner.clone())
                .prop_map(|(a, word, b, c)| format!("({a}) {word} ({b}) {word} ({c})")),
            inner.clone().prop_map(|a| format!("NOT ({a})")),
            inner.clone().prop_map(|a| format!("-({a})")),
            (inner.clone(), lists).prop_map(|(a, list)| format!("({a}) NOT IN ({list})")),
            inner.clone().prop_map(|a| format!("({a}) IN ['x', 2]")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("startswith({a}, {b})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics_and_all_findings_can_be_drawn(text in text()) {
        let draw = |found: Vec<hemline_query::Diagnostic>| for diagnostic in found {
            assert!(!diagnostic.message.is_empty());
            assert!(diagnostic.span.start <= diagnostic.span.end && diagnostic.span.end <= text.len(), "{diagnostic:?}");
            assert!(text.is_char_boundary(diagnostic.span.start) && text.is_char_boundary(diagnostic.span.end));
            assert!(diagnostic.render(&text).lines().count() >= 3);
        };
        match Query::parse(&text) {
            Ok(query) => {
                query.run(fleet().iter());
                draw(query.warnings().to_vec());
                prop_assert_eq!(Query::parse(&query.to_string()), Ok(query));
            }
            Err(found) => draw(found),
        }
        match TargetCondition::parse(&text) {
            Ok(condition) => {
                prop_assert!(fleet().iter().filter(|twin| condition.matches(twin)).count() <= 4);
                draw(condition.warnings().to_vec());
                prop_assert_eq!(TargetCondition::parse(&condition.to_string()), Ok(condition));
            }
            Err(found) => draw(found),
        }
        match Route::parse(&text) {
            Ok(route) => {
                prop_assert!(!route.matches(&message()) || route.evaluate(&message()) == Outcome::True);
                draw(route.warnings().to_vec());
                prop_assert_eq!(Route::parse(&route.to_string()), Ok(route));
            }
            Err(found) => draw(found),
        }
        match Condition::parse(&text, Engine::Hub, Events::TwinChanges) {
            Ok(condition) => {
                prop_assert_eq!(condition.matches(&message()), condition.evaluate(&message()) == Outcome::True);
                draw(condition.warnings().to_vec());
            }
            Err(found) => draw(found),
        }
    }

    #[test]
    fn twin_expressions_read_back_as_they_were_printed(text in twin_expression()) {
        let first = TargetCondition::parse(&text);
        prop_assert!(first.is_ok(), "{} {:?}", text, first);
        let first = first.unwrap();
        let printed = first.to_string();
        let second = TargetCondition::parse(&printed);
        prop_assert_eq!(second.as_ref(), Ok(&first), "{}", printed);
        prop_assert_eq!(second.unwrap().to_string(), printed);
        prop_assert!(fleet().iter().filter(|twin| first.matches(twin)).count() <= 4);
    }
}

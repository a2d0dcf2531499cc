//! Route conditions that type-check by construction: what is printed reads back as the same and decides the same.

use hemline_query::route::{Condition, Engine, Events};
use proptest::prelude::*;

use crate::conditions::message;

fn texts() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        "[a-z][a-zA-Z0-9_.+*%!|-]{0,5}".prop_map(|name| format!("p{name}")),
        prop::sample::select(vec![
            "$connectionDeviceId",
            "{$userId}",
            "processingPath",
            "empty",
            "$x",
            "TRUE"
        ])
        .prop_map(str::to_owned),
        "[^'\\\\]{0,5}".prop_map(|text| format!("'{text}'")),
        "[^\"\\\\]{0,5}".prop_map(|text| format!("\"{text}\"")),
    ];
    leaf.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) || ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} ?? {b})")),
            inner.clone().prop_map(|a| format!("lower({a})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("concat({a}, {b})")),
        ]
    })
    .boxed()
}

fn numbers() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        any::<i32>().prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("NaN has no literal", |n| n.is_finite()).prop_map(|n| format!("{n:e}")),
        Just("10e1000".to_owned()),
        prop::sample::select(vec!["$body.Weather.Temperature", "$body.Weather.Prev[0]", "$body.none"])
            .prop_map(str::to_owned),
        texts().prop_map(|text| format!("as_number({text})")),
    ];
    leaf.prop_recursive(4, 16, 2, |inner| {
        let operators = prop::sample::select(vec!["+", "-", "*", "/", "%"]);
        prop_oneof![
            (inner.clone(), operators, inner.clone()).prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
            inner.clone().prop_map(|a| format!("- {a}")),
            inner.prop_map(|a| format!("abs({a})")),
        ]
    })
    .boxed()
}

fn conditions() -> BoxedStrategy<String> {
    let comparisons = || prop::sample::select(vec!["=", "!=", "<>", "<", "<=", ">", ">="]);
    let leaf = prop_oneof![
        (texts(), comparisons(), texts()).prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
        (numbers(), comparisons(), numbers()).prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
        texts().prop_map(|a| format!("IS_DEFINED({a})")),
        prop::sample::select(vec!["true", "false", "undefined", "null or true"]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 2, |inner| {
        let words = prop::sample::select(vec!["AND", "or"]);
        prop_oneof![
            (inner.clone(), words, inner.clone()).prop_map(|(a, word, b)| format!("({a}) {word} ({b})")),
            inner.prop_map(|a| format!("NOT ({a})")),
        ]
    })
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn route_conditions_read_back_as_they_were_printed(text in conditions()) {
        let first = Condition::parse(&text, Engine::Edge, Events::Messages);
        prop_assert!(first.is_ok(), "{} {:?}", text, first);
        let first = first.unwrap();
        let printed = first.to_string();
        let second = Condition::parse(&printed, Engine::Edge, Events::Messages);
        prop_assert_eq!(second.as_ref(), Ok(&first), "{}", printed);
        let second = second.unwrap();
        prop_assert_eq!(second.to_string(), printed);
        prop_assert_eq!(first.evaluate(&message()), second.evaluate(&message()));
    }
}

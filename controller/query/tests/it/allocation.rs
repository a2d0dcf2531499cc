//! What an evaluation costs: no allocation, whatever function, operator or kind of name a condition uses, and no text
//! that grows without end. Texts are made in a scratch, which is the caller's.

use allocation_counter::measure;
use hemline_query::Scratch;
use hemline_query::route::{Condition, Engine, Events, Outcome, Route};
use serde_json::json;

use crate::conditions::{Message, message};

/// Every function, operator and kind of name of routes; true for the message of the conditions' tests.
const CONDITIONS: &[&str] = &[
    // Names.
    "processingPath = 'hot'",
    "PROCESSINGPATH != 'cold' AND processingPath <> 'warm'",
    "$connectionDeviceId = 'd1' AND {$userId} = 'real' AND $userId = 'forged'",
    "NOT IS_DEFINED($connectionModuleId)",
    "$body.Weather.Prev[0] + $body.Weather.Prev[1] = $body.Weather.Temperature",
    "$BODY.Weather.Loc.State = 'WA' AND {$body.text} = 'x'",
    "$body.flag AND NOT $body.off",
    "$body.missing = null AND $body.nothing = null",
    "$twin.tags.site = 'lyon' AND $twin.properties.reported.steps[1].n = 2",
    "$TWIN.properties.desired.missing = null",
    // Operators.
    "1 < 2 AND 2 <= 2 AND 3 > 2 AND 3 >= 3 OR false",
    "- (1 - 3 * 4 / 2 % 5) = 0 OR 0x10 = 16",
    "(missing ?? 'hot') = processingPath",
    "NOT (processingPath = 'cold')",
    "'a' || processingPath || empty = 'ahot'",
    "$body.text || 'y' = 'xy'",
    "$body.text > 5 AND $body.text < $body.nothing",
    // Functions.
    "ABS(-1) = 1 AND CEILING(1.5) = 2 AND EXP(0) = 1 AND FLOOR(1.5) = 1 AND POWER(2, 3) = 8",
    "SIGN(-7) = -1 AND SQUARE(3) = 9 AND SQRT(16) = 4",
    "AS_NUMBER(Severity) >= 2 AND AS_NUMBER('1.5e1') = 15 AND AS_NUMBER('1' || Severity) = 13",
    "IS_BOOL(true) AND IS_DEFINED(processingPath) AND IS_NULL(empty) AND IS_NUMBER(1) AND IS_STRING(Severity)",
    "IS_ARRAY($body.Weather.Prev) AND IS_OBJECT($body.Weather) AND IS_PRIMITIVE($body.text)",
    "CONCAT('a', processingPath, empty, LOWER('B'), UPPER('c')) = 'ahotbC'",
    "LENGTH(processingPath) = 3 AND LENGTH(UPPER(processingPath)) = 3",
    "LOWER('HOT') = processingPath AND LOWER(UPPER(processingPath)) = 'hot' AND UPPER('\\u00DF') = 'SS'",
    "SUBSTRING(processingPath, 1) = 'ot' AND SUBSTRING('a' || processingPath, 1, 2) = 'ho'",
    "CONCAT(SUBSTRING(UPPER('abcd'), 1, 2), SUBSTRING(processingPath, 2)) = 'BCt'",
    "INDEX_OF(processingPath, 't') = 2 AND INDEX_OF(UPPER(processingPath), 'T') = 2",
    "STARTS_WITH(processingPath, 'ho') AND ENDS_WITH(LOWER('SHOT'), processingPath)",
    "CONTAINS('a' || processingPath || 'b', 'ahotb')",
];

fn seen() -> Message {
    Message {
        twin: Some(
            json!({"tags": {"site": "lyon"}, "properties": {"desired": {}, "reported": {"steps": [1, {"n": 2}]}}}),
        ),
        ..message()
    }
}

#[test]
fn no_condition_allocates() {
    let message = seen();
    let mut scratch = Scratch::default();
    // The first texts make the room that all others use.
    let large =
        Condition::parse("LOWER('ABCDEFGHIJKLMNOPQRSTUVWXYZ') = ''", Engine::Hub, Events::Messages).unwrap();
    assert_eq!(large.evaluate_in(&message, &mut scratch), Outcome::False);
    let control = measure(|| drop(message.source.to_owned()));
    assert_eq!(control.count_total, 1, "the counter counts");
    for text in CONDITIONS {
        let condition = Condition::parse(text, Engine::Hub, Events::Messages)
            .unwrap_or_else(|found| panic!("{}", found[0].render(text)));
        let mut outcome = Outcome::Undefined;
        let counted = measure(|| outcome = condition.evaluate_in(&message, &mut scratch));
        assert_eq!((outcome, counted.count_total), (Outcome::True, 0), "{text}");
    }
}

#[test]
fn the_table_has_every_function() {
    let all = [
        "ABS",
        "CEILING",
        "EXP",
        "FLOOR",
        "POWER",
        "SIGN",
        "SQUARE",
        "SQRT",
        "AS_NUMBER",
        "IS_BOOL",
        "IS_DEFINED",
        "IS_NULL",
        "IS_NUMBER",
        "IS_STRING",
        "IS_ARRAY",
        "IS_OBJECT",
        "IS_PRIMITIVE",
        "CONCAT",
        "LENGTH",
        "LOWER",
        "UPPER",
        "SUBSTRING",
        "INDEX_OF",
        "STARTS_WITH",
        "ENDS_WITH",
        "CONTAINS",
    ];
    for function in all {
        assert!(CONDITIONS.iter().any(|text| text.contains(&format!("{function}("))), "{function}");
    }
}

#[test]
fn a_change_is_searched_without_allocating() {
    let change = Message { body: Some(json!({"properties": {"reported": {"a": {"b": 1}}}})), ..message() };
    let text = "TWIN_CHANGE_INCLUDES(properties.reported.a.b) AND NOT TWIN_CHANGE_INCLUDES(tags.x)";
    let condition = Condition::parse(text, Engine::Hub, Events::TwinChanges).unwrap();
    let mut matches = false;
    let counted = measure(|| matches = condition.matches(&change));
    assert!(matches);
    assert_eq!(counted.count_total, 0);
}

#[test]
fn a_route_without_new_texts_needs_no_scratch() {
    let text = "FROM /messages/modules/camera/outputs/* WHERE processingPath = 'hot' AND as_number(Severity) >= 2 AND \
        $body.Weather.Temperature + 1 > 50 AND starts_with(processingPath, substring('xho', 1)) AND \
        (missing ?? 'hot') = lower('hot') INTO $upstream";
    let route = Route::parse(text).unwrap_or_else(|found| panic!("{}", found[0].render(text)));
    let message = Message { source: "/messages/modules/camera/outputs/frames/", ..message() };
    let mut matched = false;
    let counted = measure(|| matched = route.matches(&message));
    assert!(matched);
    assert_eq!(counted.count_total, 0);
}

/// A short condition about a long property could make a text of a gigabyte.
#[test]
fn a_text_that_grows_too_large_is_undefined() {
    let long = "x".repeat(200_000);
    let message = Message { body: Some(json!({ "long": long })), ..message() };
    let many = vec!["$body.long"; 500].join(" || ");
    let mut scratch = Scratch::default();
    for (text, expected) in [
        (format!("{many} = 'x'"), Outcome::Undefined),
        (format!("CONCAT({}) = 'x'", many.replace(" || ", ", ")), Outcome::Undefined),
        ("UPPER($body.long) = 'x'".to_owned(), Outcome::Undefined),
        // What is only looked at has no limit, and what was made is forgotten when it was compared.
        ("CONTAINS($body.long, 'x') AND LENGTH($body.long) = 200000".to_owned(), Outcome::True),
        (vec!["UPPER(SUBSTRING($body.long, 0, 40000)) != 'x'"; 100].join(" AND "), Outcome::True),
    ] {
        let condition = Condition::parse(&text, Engine::Hub, Events::Messages).unwrap();
        let mut outcome = Outcome::False;
        let counted = measure(|| outcome = condition.evaluate_in(&message, &mut scratch));
        assert_eq!(outcome, expected, "{}", &text[..40]);
        assert!(counted.bytes_max < 300_000, "{} bytes", counted.bytes_max);
    }
}

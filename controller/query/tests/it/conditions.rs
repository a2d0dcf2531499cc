//! Route conditions: the message and results of reference query-language §6.8, the refusals of §6.4, the logic of
//! §6.5 and the operators of §6.6.

use hemline_query::route::{Condition, Engine, Events, Outcome, RouteMessage};
use serde_json::{Value, json};

pub(crate) struct Message {
    pub(crate) source: &'static str,
    pub(crate) properties: Vec<(&'static str, Option<&'static str>)>,
    pub(crate) system: Vec<(&'static str, &'static str)>,
    pub(crate) body: Option<Value>,
    pub(crate) twin: Option<Value>,
}

impl RouteMessage for Message {
    fn source(&self) -> &str {
        self.source
    }

    fn property(&self, name: &str) -> Option<Option<&str>> {
        self.properties.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    fn system(&self, name: &str) -> Option<&str> {
        self.system.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    fn body(&self) -> Option<&Value> {
        self.body.as_ref()
    }

    fn twin(&self) -> Option<&Value> {
        self.twin.as_ref()
    }
}

pub(crate) fn message() -> Message {
    Message {
        source: "/messages/",
        properties: vec![
            ("processingPath", Some("hot")),
            ("Severity", Some("3")),
            ("empty", None),
            ("a!", Some("trap")),
            ("$userId", Some("forged")),
        ],
        system: vec![("connectionDeviceId", "d1"), ("userId", "real"), ("contentType", "application/json")],
        body: Some(
            json!({"Weather": {"Temperature": 50, "Time": "2017-03-09T00:00:00.000Z", "Loc": {"State": "WA"},
            "Prev": [20, 30]}, "flag": true, "off": false, "text": "x", "nothing": null, "day": "2017-03-09"}),
        ),
        twin: None,
    }
}

fn evaluate(text: &str) -> Result<Outcome, String> {
    let condition = Condition::parse(text, Engine::Edge, Events::Messages);
    condition.map(|condition| condition.evaluate(&message())).map_err(|found| found[0].render(text))
}

const DECISIONS: &[(&str, Outcome)] = &[
    // §6.8
    ("true", Outcome::True),
    ("", Outcome::Undefined),
    ("  ", Outcome::Undefined),
    ("processingPath = 'hot'", Outcome::True),
    ("PROCESSINGPATH = 'hot'", Outcome::True),
    ("as_number(Severity) >= 2", Outcome::True),
    ("$body.Weather.Temperature >= 50", Outcome::True),
    ("$body.Weather.Temperature = '50'", Outcome::False),
    ("$body.weather.Temperature = 50", Outcome::False),
    ("$BODY.Weather.Prev[0] + $body.Weather.Prev[1] = 50", Outcome::True),
    ("$body.Weather.Loc.State = 'WA' AND $connectionDeviceId = 'd1'", Outcome::True),
    ("$body.Weather.Loc <> null", Outcome::Undefined),
    ("$body.Weather.Time <> 'x'", Outcome::Undefined),
    ("$body.day <> 'x'", Outcome::True),
    ("NOT IS_DEFINED($connectionModuleId)", Outcome::True),
    ("missing != 'x'", Outcome::Undefined),
    ("$body.missing != 'x'", Outcome::True),
    ("$body.missing > 50", Outcome::True),
    ("$body.missing < 50", Outcome::False),
    ("(missing ?? 'hot') = 'hot'", Outcome::True),
    ("STARTS_WITH($connectionDeviceId, 'd')", Outcome::True),
    ("startswith($CONNECTIONDEVICEID, 'd')", Outcome::True),
    // §6.2 and §6.3
    ("$userId = 'forged' AND {$userId} = 'real' AND { $userId } = 'real'", Outcome::True),
    ("$body.missing = null AND IS_DEFINED($body.missing)", Outcome::True),
    ("$body.missing", Outcome::Undefined),
    ("$body.flag", Outcome::True),
    ("IS_DEFINED($body.Weather)", Outcome::False),
    ("IS_DEFINED($body.Weather.Time)", Outcome::False),
    ("is_defined($body)", Outcome::False),
    ("{$body.text} = 'x'", Outcome::True),
    ("$body.Weather.Prev[9] = null", Outcome::True),
    // §6.5
    ("true AND undefined", Outcome::Undefined),
    ("false AND undefined", Outcome::False),
    ("true OR undefined", Outcome::True),
    ("false OR undefined", Outcome::Undefined),
    ("NOT undefined", Outcome::Undefined),
    ("NOT null", Outcome::True),
    ("(null and false) = null", Outcome::True),
    ("(null and true) = null", Outcome::True),
    ("(null or null) = null", Outcome::True),
    ("null or true", Outcome::True),
    ("null or false", Outcome::False),
    ("null", Outcome::False),
    ("3", Outcome::Undefined),
    ("'x'", Outcome::Undefined),
    // §6.6
    ("3 / 0 > 10e1000 - 1 OR 3 / 0 = 10e1000", Outcome::True),
    ("3 % 0 = 3 % 0", Outcome::Undefined),
    ("-3 / 0 < 0", Outcome::True),
    ("IS_NUMBER(3 / 0)", Outcome::False),
    ("'a' < 'b' AND 'B' < 'a'", Outcome::True),
    ("$body.text > 5", Outcome::True),
    ("$body.flag AND $body.off", Outcome::False),
    ("$body.flag AND processingPath = 'hot'", Outcome::True),
    ("$body.missing OR true", Outcome::Undefined),
    ("NOT $body.off", Outcome::True),
    ("is_null($body.text)", Outcome::False),
    ("is_null($body.nothing) AND is_null($body.missing)", Outcome::True),
    ("is_null(empty) AND is_defined(empty)", Outcome::True),
    ("as_number(empty) + 1 = 1", Outcome::Undefined),
    ("none = 'x'", Outcome::Undefined),
    ("empty || 'x' = 'x'", Outcome::True),
    ("'a' || 'b' || processingPath = 'abhot'", Outcome::True),
    ("missing || 'b' = 'b'", Outcome::Undefined),
    ("missing ?? other ?? processingPath", Outcome::Undefined),
    // §6.7
    ("power(2, 3) = 8 AND sqrt(9) = 3 AND square(3) = 9 AND sign(- 5) = -1", Outcome::True),
    ("abs(-1.5) = 1.5 AND ceiling(1.2) = 2 AND floor(-1.2) = -2 AND exp(0) = 1", Outcome::True),
    ("as_number('x') = 1", Outcome::Undefined),
    ("as_number('inf') = 1", Outcome::Undefined),
    ("substring('abc', 3) = ''", Outcome::True),
    ("substring('abc', 4) = ''", Outcome::Undefined),
    ("substring('abc', 1, 1) = 'b'", Outcome::True),
    ("substring('abc', -1) = ''", Outcome::Undefined),
    ("index_of('abc', 'c') = 2 AND index_of('abc', 'x') = -1", Outcome::True),
    ("concat('a', processingPath, 'b') = 'ahotb'", Outcome::True),
    ("lower('ABC') = 'abc' AND upper(processingPath) = 'HOT' AND length('äöü') = 3", Outcome::True),
    ("ends_with(processingPath, 'ot') AND contains(processingPath, 'o')", Outcome::True),
    ("is_string($body.text) AND is_bool($body.flag) AND is_number($body.Weather.Temperature)", Outcome::True),
    // §6.1: precedence and lexical traps
    ("1 + 2 * 3 = 7 AND (1 + 2) * 3 = 9 AND 10 - 2 - 3 = 5", Outcome::True),
    ("- 1 + 3 = 2", Outcome::True),
    ("1 < 2 = true", Outcome::True),
    ("a!='trap'", Outcome::True),
    ("true or false and false", Outcome::True),
    ("0x10 = 16 /* sixteen */", Outcome::True),
    ("\"it's\" = 'it\\'s' AND '\\u0041' = 'A'", Outcome::True),
    ("6/3=2", Outcome::True),
    ("TRUE = 'x'", Outcome::Undefined),
];

#[test]
fn conditions_decide_as_the_reference_says() {
    for (text, expected) in DECISIONS {
        assert_eq!(evaluate(text), Ok(*expected), "{text}");
    }
}

#[test]
fn wrong_types_are_refused_when_the_route_is_parsed() {
    let refused = [
        "3 = prop",
        "prop > 3",
        "prop + 3",
        "true + 3",
        "'a' + 'b'",
        "3 + undefined",
        "- (prop)",
        "not prop",
        "prop and true",
        "undefined and \"x\"",
        "length(12.34)",
        "lower(null)",
        "starts_with('a', null)",
        "abs(true)",
        "abs(prop)",
        "power(2,3,4)",
        "concat()",
        "concat('a')",
        "concat('a', true)",
        "'a' || null",
        "key ?? 12.34",
        "key ?? true",
        "key ?? null",
        "key1 ?? \"hello\" = \"value1\"",
        "nope(1)",
        "'open",
        "a == b",
        "a && b",
        "a = 'x' AND $body.flag",
        "Severity = 3",
        "NOT a = 'b'",
        "is_array($body.x)",
        "$twin.tags.x = 1",
        "$body[0] = 1",
        "$body.a[] = 1",
        "$body.a[*] = 1",
        "$body..a = 1",
        "twin_change_includes(tags.x)",
        "3-4 = 5",
        "a IN ['x']",
        "'a' 'b'",
        "(a = 'b'",
        "a = 'b')",
        "a -3 = 1",
        "'\\q' = a",
        "AND",
    ];
    for text in refused {
        assert!(Condition::parse(text, Engine::Edge, Events::Messages).is_err(), "{text}");
    }
    let accepted = [
        "as_number(prop) = 3",
        "prop = '3'",
        "$body.x = 3",
        "$body.x = '3'",
        "concat('a', prop)",
        "abs(as_number(prop))",
        "(key1 ?? \"hello\") = \"value1\"",
        "3-4 = 'x'",
        "$body.x = null",
        "$messageId = 'x'",
    ];
    for text in accepted {
        assert!(Condition::parse(text, Engine::Edge, Events::Messages).is_ok(), "{text}");
    }
}

#[test]
fn a_hub_knows_twins_and_kinds_of_body_values() {
    for (text, expected) in [
        ("is_object($body.Weather)", Outcome::True),
        ("is_array($body.Weather.Prev)", Outcome::True),
        ("is_primitive($body.Weather)", Outcome::False),
        ("$twin.tags.x = 1", Outcome::Undefined),
    ] {
        let condition = Condition::parse(text, Engine::Hub, Events::Messages).unwrap();
        assert_eq!(condition.evaluate(&message()), expected, "{text}");
    }
}

#[test]
fn a_body_that_is_not_json_makes_every_path_undefined() {
    let without = Message { body: None, ..message() };
    for text in ["$body.x = null", "$body.x != 'a'", "is_null($body.x)", "IS_DEFINED($body.x)"] {
        let condition = Condition::parse(text, Engine::Edge, Events::Messages).unwrap();
        assert!(!condition.matches(&without), "{text}");
    }
}

#[test]
fn twin_changes_are_searched_for_a_path() {
    let change = Message { body: Some(json!({"properties": {"reported": {"a": {"b": 1}}}})), ..message() };
    for (text, expected) in [
        ("twin_change_includes(properties.reported.a)", Outcome::True),
        ("TWIN_CHANGE_INCLUDES(properties.reported.a.b)", Outcome::True),
        ("twin_change_includes(properties.desired.a)", Outcome::False),
    ] {
        let condition = Condition::parse(text, Engine::Edge, Events::TwinChanges).unwrap();
        assert_eq!(condition.evaluate(&change), expected, "{text}");
    }
    for text in
        ["twin_change_includes(other.a)", "twin_change_includes('tags')", "twin_change_includes(tags..a)"]
    {
        assert!(Condition::parse(text, Engine::Edge, Events::TwinChanges).is_err(), "{text}");
    }
}

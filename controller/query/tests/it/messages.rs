//! What people are told: every finding with its picture, as one snapshot per language.

use hemline_query::route::Route;
use hemline_query::select::Query;
use hemline_query::target::TargetCondition;
use hemline_query::{Diagnostic, near};

fn pictures(text: &str, found: &[Diagnostic], out: &mut String) {
    for diagnostic in found {
        out.push_str(&diagnostic.render(text));
        out.push_str("\n\n");
    }
    assert!(!found.is_empty(), "nothing found in {text}");
}

#[test]
fn of_queries() {
    let mut out = String::new();
    for text in [
        "select *",
        "SELECT deviceId, * FROM devices",
        "SELECT * FROM device",
        "SELECT * FROM devices.module",
        "SELECT deviceId FROM devices GROUP BY tags.a",
        "SELECT * FROM devices GROUP BY tags.a",
        "SELECT deviceId FROM devices.jobs",
        "SELECT * FROM devices ORDER BY deviceId",
        "SELECT DISTINCT deviceId FROM devices",
        "SELECT TOP -1 * FROM devices",
        "SELECT * FROM devices WHERE COUNT() > 1",
        "SELECT AVG() FROM devices",
        "SELECT * FROM devices\nWHERE tags.a LIKE 'x%'",
    ] {
        pictures(text, &Query::parse(text).unwrap_err(), &mut out);
    }
    insta::assert_snapshot!(out);
}

#[test]
fn of_target_conditions() {
    let mut out = String::new();
    for text in [
        "",
        "SELECT * FROM devices WHERE true",
        "FROM devices.jobs WHERE true",
        "tags.site == 'lyon'",
        "tags.site = 'lyon",
        "tags.site = ‘lyon’",
        "tags.site = lyon'",
        "tags.site = 'lyon' AN tags.b = 'c'",
        "tags.site = 'lyon' && tags.b = 'c'",
        "STARTWITH(deviceId, 'a') OR ISDEFINED(tags.b) OR STARTSWITH('a')",
        "group.name = 'x'",
        "tags.site IN [['lyon']]",
        "tags.site IN tags.sites",
        "a = b = c",
        "tags.a = NOT true",
        "tags.a BETWEEN 1 AND 2",
        "3abc = 'x'",
        "'C:\\temp' = 'x'",
        "tags.[[a = 'x'",
        "/* no end",
        "tags.a = 'x' 5",
        "(tags.a = 'x'",
        "tags.a !tags.b",
    ] {
        pictures(text, &TargetCondition::parse(text).unwrap_err(), &mut out);
    }
    out.push_str("=== warnings\n\n");
    for text in [
        "tag.site = 'lyon'",
        "temperature > 5",
        "deviceID = 'x' AND Properties.reported.a = 1 AND devceId = 'x'",
    ] {
        match TargetCondition::parse(text) {
            Ok(condition) => pictures(text, condition.warnings(), &mut out),
            Err(found) => panic!("{text}: {found:?}"),
        }
    }
    insta::assert_snapshot!(out);
}

#[test]
fn of_routes() {
    let mut out = String::new();
    for text in [
        "FORM /messages/* INTO $upstream",
        "SELECT a FROM /messages/* INTO $upstream",
        "FROM messages INTO $upstream",
        "FROM INTO $upstream",
        "FROM /messages/* INTO upstream",
        "FROM /messages/* INTO BrokerdEndpoint(\"/modules/f/inputs/in\")",
        "FROM /messages/* INTO \"/modules/f/inputs/in\"",
        "FROM /messages/* INTO BrokeredEndpoint(\"/modules/f\")",
        "FROM /messages/*",
        "FROM /messages/* WHER a = 'b' INTO $upstream",
        "FROM /messages/* WHERE temp == 100 INTO $upstream",
        "FROM /messages/* WHERE temp > 100 INTO $upstream",
        "FROM /messages/* WHERE a = 'x' && b = 'y' INTO $upstream",
        "FROM /messages/* WHERE a IN ['x'] INTO $upstream",
        "FROM /messages/* WHERE NOT a = 'x' INTO $upstream",
        "FROM /messages/* WHERE a = 'x' AND $body.flag INTO $upstream",
        "FROM /messages/* WHERE a ?? 'x' = 'y' INTO $upstream",
        "FROM /messages/* WHERE a = null INTO $upstream",
        "FROM /messages/* WHERE as_number(a) -3 > 1 INTO $upstream",
        "FROM /messages/* WHERE 3-4 > 1 INTO $upstream",
        "FROM /messages/* WHERE is_array($body.x) OR start_with(a, 'b') OR length() = 1 INTO $upstream",
        "FROM /messages/* WHERE $body.a[*] = 1 OR $twin.tags.x = 1 OR $body[0] = 1 INTO $upstream",
        "FROM /messages/* WHERE 'a' + 'b' = 'ab' INTO $upstream",
        "FROM /messages/* WHERE twin_change_includes(tag.x) INTO $upstream",
    ] {
        pictures(text, &Route::parse(text).unwrap_err(), &mut out);
    }
    out.push_str("=== warnings\n\n");
    for text in [
        "FROM /messages/* WHERE a!='x' INTO $upstream",
        "FROM /messages/* WHERE $body.a+1 = 'x' OR 3-4 = 'x' INTO $upstream",
        "FROM /messages/* WHERE $conectionModuleId = 'x' OR {$nothing} = 'x' INTO $upstream",
        "FROM /messages/* WHERE $body.time > '2026-01-01T00:00:00Z' INTO $upstream",
        "FROM /messages/* WHERE a = TRUE OR $body = 'x' INTO $upstream",
        "FROM /message/* INTO $upstream",
        "FROM /messages/*/outputs/x INTO $upstream",
        "FROM /messages/modules/m/output/x INTO BrokeredEndpoint(\"/module/f/input/in\")",
    ] {
        match Route::parse(text) {
            Ok(route) => pictures(text, route.warnings(), &mut out),
            Err(found) => panic!("{text}: {found:?}"),
        }
    }
    insta::assert_snapshot!(out);
}

#[test]
fn long_lines_are_cut_around_the_problem() {
    let text = format!("{} tags.a == 'b' {}", "tags.x = 'y' AND ".repeat(30), "AND tags.x = 'y' ".repeat(30));
    let found = TargetCondition::parse(&text).unwrap_err();
    insta::assert_snapshot!(found[0].render(&text));
}

/// One look shows every mistake, and nothing that only follows from another.
#[test]
fn several_mistakes_are_told_at_once() {
    let mut out = String::new();
    for text in [
        "SELCT deviceId FROM device WHERE tags.a LIKE 'x%' AND (tags.b == 1 OR tags.c IS null) AND nope(1) GROUP tags.d",
        "SELECT TOP 0 deviceId, FROM devices WHERE a = AND b = 2 AND c = ‘x’ ORDER BY d",
        "SELECT a b c FROM devices.module",
    ] {
        pictures(text, &Query::parse(text).unwrap_err(), &mut out);
    }
    for text in [
        "from devices.jobs were tags.a = 1",
        "(tags.a LIKE 'x') AND tags.b = 'y' && startwith(deviceId, 'a') OR tags.c = 'z\\q'",
        "STARTSWITH(tags.a is 'x', 'y') AND (tags.b = ? OR tags.c BETWEEN 1 AND 2) OR tags.d = lyon'",
        "tags.a = 3x AND AND tags.b ) = 1",
    ] {
        pictures(text, &TargetCondition::parse(text).unwrap_err(), &mut out);
    }
    for text in [
        "FORM messages WHERE temp > 3 AND a LIKE 'x' OR nope(b) INTO upstream",
        "FROM /messages/* WHERE (a == 'x' && c > 1) AND NOT b = 'y' INTO BrokeredEndpoint(/modules/m/inputs/i)",
        "FROM /messages/* WHERE a IN ['x', 'y'] AND is_defined(d e) AND b = 'z INTO $upstream",
    ] {
        pictures(text, &Route::parse(text).unwrap_err(), &mut out);
    }
    insta::assert_snapshot!(out);
}

#[test]
fn a_text_full_of_mistakes_is_told_in_short() {
    let text = "a(1) ? ".repeat(1000);
    assert_eq!(TargetCondition::parse(&text).unwrap_err().len(), 20);
    assert_eq!(Query::parse(&format!("SELECT * FROM devices WHERE {text}")).unwrap_err().len(), 20);
    assert_eq!(Route::parse(&format!("FROM /* WHERE {text} INTO $upstream")).unwrap_err().len(), 20);
}

#[test]
fn limits_are_told_and_never_overflow_the_stack() {
    for (text, part) in [
        ("(".repeat(8000), "nested deeper"),
        ("NOT ".repeat(2000), "nested deeper"),
        ("- ".repeat(4000), "nested deeper"),
        ("length(".repeat(1000), "nested deeper"),
        ("x".repeat(8193), "8193 characters"),
    ] {
        let target = TargetCondition::parse(&text).unwrap_err();
        assert!(target[0].message.contains(part), "{}", target[0]);
        let route = format!("FROM /messages/* WHERE {text} INTO $upstream");
        let found = Route::parse(&route).unwrap_err();
        assert!(
            found[0].message.contains("nested deeper") || found[0].message.contains("characters"),
            "{}",
            found[0]
        );
    }
    let deepest = format!("{}true{}", "(".repeat(64), ")".repeat(64));
    TargetCondition::parse(&deepest).unwrap();
    // What can just be read can be printed and read again: the number keeps its own sign without parentheses.
    for number in ["-31", "(31)", "-0", "(-31)", "-1e300"] {
        let dashes = if number.starts_with('(') { 63 } else { 64 };
        let signs = TargetCondition::parse(&format!("1 = {}{number}", "-".repeat(dashes))).unwrap();
        assert_eq!(TargetCondition::parse(&signs.to_string()).as_ref(), Ok(&signs), "{number}");
    }
    let long = format!("true{}", " AND true".repeat(900));
    assert!(TargetCondition::parse(&long).unwrap().matches(&serde_json::Value::Null));
    let chain = format!("FROM /messages/* WHERE true{} INTO $upstream", " = true".repeat(1000));
    Route::parse(&chain).unwrap();
    // The deepest tree that a text can make: every level of precedence inside every parenthesis.
    let levels = format!("{}1{}", "true OR NOT true AND 1 = 1 + 1 * - (".repeat(63), ")".repeat(63));
    let condition = TargetCondition::parse(&levels.replace("- (", "(")).unwrap();
    assert!(condition.matches(&serde_json::Value::Null));
    assert_eq!(TargetCondition::parse(&condition.to_string()).as_ref(), Ok(&condition));
    let found =
        Route::parse(&format!("FROM /* WHERE {} INTO $upstream", levels.replace("- (", "("))).unwrap_err();
    assert!(found[0].message.contains("needs two numbers"), "{}", found[0]);
}

#[test]
fn near_names_are_near() {
    let names = ["STARTSWITH", "IS_DEFINED", "deviceId", "tags"];
    let table = [
        ("startwith", Some("STARTSWITH")),
        ("isdefined", Some("IS_DEFINED")),
        ("devcieId", Some("deviceId")),
        ("tag", Some("tags")),
        ("temperature", None),
        ("", None),
        ("x", None),
    ];
    for (wanted, expected) in table {
        assert_eq!(near(wanted, names.into_iter()), expected, "{wanted}");
    }
}

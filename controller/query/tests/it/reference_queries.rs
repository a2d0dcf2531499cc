//! Reference query-language §3.1, §3.5, §4 and §5, statement by statement: clauses and the shapes of answers, jobs,
//! limits, and where every mistake is found and what is advised.

use hemline_query::select::{Query, Source};
use hemline_query::target::TargetCondition;
use serde_json::{Value, json};

use crate::reference_twins::row;

/// `condition ¦ what is marked ¦ message ¦ hint`: the first mistake of a condition.
const MISTAKES: &str = r#"
NOPE(1) ¦ NOPE ¦ unknown function NOPE ¦
STARTWITH(tags.s, 'a') ¦ STARTWITH ¦ unknown function STARTWITH ¦ did you mean STARTSWITH?
TWIN_CHANGE_INCLUDES(tags.a) ¦ TWIN_CHANGE_INCLUDES ¦ unknown function TWIN_CHANGE_INCLUDES ¦
IS_DEFINED() ¦ IS_DEFINED ¦ IS_DEFINED takes one argument, not 0 ¦
STARTSWITH('a') ¦ STARTSWITH ¦ STARTSWITH takes 2 arguments, not 1 ¦
SUBSTRING('a', 1, 2, 3) ¦ SUBSTRING ¦ SUBSTRING takes 2 or 3 arguments, not 4 ¦
CONCAT('a') ¦ CONCAT ¦ CONCAT takes at least 2 arguments, not 1 ¦
COUNT() > 1 ¦ COUNT ¦ COUNT stands alone in a select list, not in an expression ¦
tags.a LIKE 'x%' ¦ LIKE ¦ expected AND, OR or the end, found `LIKE` ¦ there is no LIKE; use STARTSWITH, ENDSWITH or CONTAINS
tags.a BETWEEN 1 AND 2 ¦ BETWEEN ¦ expected AND, OR or the end, found `BETWEEN` ¦ there is no BETWEEN; use x >= a AND x <= b
tags.a IS NULL ¦ IS ¦ expected AND, OR or the end, found `IS` ¦ write x = null, or IS_DEFINED(x)
tags.a ?? 1 = 1 ¦ ?? ¦ unexpected character '?' ¦ `??` exists in routes only; use IS_DEFINED(x)
tags.a || 'x' = 'ax' ¦ || ¦ `||` is not an operator of this language ¦ write OR, or CONCAT(a, b) for texts
tags.a == 1 ¦ == ¦ `==` is not an operator of this language ¦ write `=`
tags.a = 0xZZ ¦ 0xZZ ¦ `0xZZ` is neither a number nor a name ¦ quote a text: 'text'; write a name that starts with a digit in [[ ]]
tags.a = 1e999 ¦ 1e999 ¦ the number 1e999 is too large ¦
tags.a = '\uD83D' ¦ \uD83D ¦ this escape is half of a surrogate pair ¦ write both halves, or the character itself
tags.a = '\u12' ¦ \u ¦ \u needs four hexadecimal digits ¦
tags.a = '\U0041' ¦ \U ¦ unknown escape in a string ¦ known are \' \" \\ and \uXXXX; write \\ for a backslash
tags.[[]] = 1 ¦ [[]] ¦ an empty [[name]] names nothing ¦
tags.a[-1] = 1 ¦ - ¦ expected the number of an array element, found `-` ¦
tags.a[*] = 1 ¦ * ¦ expected the number of an array element, found `*` ¦
tags.a IN [] ¦ ] ¦ expected a value such as 'text' or 42, found `]` ¦
tags.a IN [b.c] ¦ b ¦ expected a value such as 'text' or 42, found `b` ¦
[undefined] = 1 ¦ undefined ¦ an array has no undefined elements ¦ leave it out
1 < 2 < 3 ¦ < ¦ comparisons do not chain ¦ write a = b AND b = c, or use parentheses
tags. = 1 ¦ = ¦ expected a name, found `=` ¦
group = 1 ¦ group ¦ expected a name, a value or `(`, found `group` ¦ group is a keyword; as a name it is [[group]]
() ¦ ) ¦ expected a name, a value or `(`, found `)` ¦
"#;

#[test]
fn every_mistake_has_its_place() {
    for line in MISTAKES.lines().filter(|line| !line.is_empty()) {
        let [text, marked, message, hint] =
            line.split('¦').map(str::trim).collect::<Vec<_>>().try_into().unwrap();
        for prefix in ["", "FROM devices.modules WHERE ", "SELECT * FROM devices WHERE "] {
            let whole = format!("{prefix}{text}");
            let (parsed, message) = if prefix.starts_with("SELECT") {
                (
                    Query::parse(&whole).err(),
                    message.replace("AND, OR or the end", "AND, OR, GROUP BY or the end"),
                )
            } else {
                (TargetCondition::parse(&whole).err(), message.to_owned())
            };
            let found = parsed.unwrap_or_else(|| panic!("{whole} is accepted"));
            let start = prefix.len() + text.rfind(marked).unwrap();
            let picture = found[0].render(&whole);
            assert_eq!((found[0].span.start, found[0].span.end), (start, start + marked.len()), "{picture}");
            assert_eq!(
                (&found[0].message, found[0].hint.as_deref().unwrap_or_default()),
                (&message, hint),
                "{whole}"
            );
        }
    }
}

#[test]
fn limits() {
    let at_most = |text: &str| TargetCondition::parse(text).is_ok();
    let padded = |length: usize| format!("true{}", " ".repeat(length - 4));
    assert!(at_most(&padded(8192)) && !at_most(&padded(8193)));
    // Characters, not bytes.
    let wide = format!("'{}' = ''", "é".repeat(8192 - 7));
    assert!(at_most(&wide));
    let nested = |depth: usize| format!("{}true{}", "(".repeat(depth), ")".repeat(depth));
    assert!(at_most(&nested(64)) && !at_most(&nested(65)));
    let list = format!("tags.n IN [{}1]", "0,".repeat(4000));
    assert!(TargetCondition::parse(&list).unwrap().matches(&row()));
}

/// §3.1, §3.5: clauses, shapes of answers, and what does not go together.
#[test]
fn clauses() {
    let run = |text: &str| {
        let parsed = Query::parse(text).unwrap_or_else(|found| panic!("{}", found[0].render(text)));
        assert_eq!(Query::parse(&parsed.to_string()).as_ref(), Ok(&parsed), "{parsed}");
        Value::Array(parsed.run([row(), json!({"deviceId": "d2", "tags": {"n": "x", "half": 2}})].iter()))
    };
    for (text, expected) in [
        ("sElEcT deviceId fRoM devices", json!([{"deviceId": "d1"}, {"deviceId": "d2"}])),
        ("SELECT DeviceId FROM devices WHERE id = 'd1'", json!([{"DeviceId": "d1"}])),
        ("SELECT devices.deviceId FROM devices WHERE id = 'd1';", json!([{"deviceId": "d1"}])),
        ("SELECT tags.o.x, tags.n AS [[a b]] FROM devices WHERE id = 'd1'", json!([{"x": 1, "a b": 1}])),
        (
            "SELECT tags.half half2, id AS status FROM devices",
            json!([{"half2": 0.5, "status": "d1"}, {"half2": 2, "status": "d2"}]),
        ),
        ("SELECT tags.none FROM devices", json!([{}, {}])),
        ("SELECT tags.z FROM devices WHERE id = 'd1'", json!([{"z": null}])),
        (
            "SELECT tags.n + 1, 'x', tags.l[0] FROM devices WHERE id = 'd1'",
            json!([{"$1": 2, "$2": "x", "l": "a"}]),
        ),
        ("SELECT TOP 1 deviceId FROM devices", json!([{"deviceId": "d1"}])),
        ("SELECT TOP 9 deviceId FROM devices WHERE id = 'd2'", json!([{"deviceId": "d2"}])),
        ("SELECT COUNT() FROM devices", json!([{"count": 2}])),
        ("SELECT COUNT(*) AS n FROM devices", json!([{"n": 2}])),
        ("SELECT count(tags.z) AS n FROM devices", json!([{"n": 1}])),
        ("SELECT COUNT() AS n FROM devices WHERE false", json!([{"n": 0}])),
        (
            "SELECT SUM(tags.half) AS s, AVG(tags.half), MIN(tags.half), MAX(tags.half) FROM devices",
            json!([{"s": 2.5, "avg": 1.25, "min": 0.5, "max": 2}]),
        ),
        (
            "SELECT SUM(tags.n), MIN(tags.n), MIN(id) AS first, MAX(id) AS last FROM devices",
            json!([{"sum": 1, "min": 1, "first": "d1", "last": "d2"}]),
        ),
        ("SELECT AVG(tags.none), SUM(tags.s), MIN(tags.o) FROM devices", json!([{}])),
        ("SELECT MAX(tags.n) FROM devices WHERE false", json!([{}])),
        (
            "SELECT tags.n, COUNT() AS c FROM devices GROUP BY tags.n",
            json!([{"n": 1, "c": 1}, {"n": "x", "c": 1}]),
        ),
        ("SELECT COUNT() AS c FROM devices GROUP BY tags.s", json!([{"c": 1}, {"c": 1}])),
        (
            "SELECT tags.s AS k, COUNT() AS c FROM devices GROUP BY tags.s, status",
            json!([{"k": "a", "c": 1}, {"c": 1}]),
        ),
        ("SELECT TOP 1 tags.n, COUNT() AS c FROM devices GROUP BY tags.n", json!([{"n": 1, "c": 1}])),
        (
            "SELECT DeviceID, COUNT() AS c FROM devices WHERE id = 'd1' GROUP BY devices.deviceId",
            json!([{"DeviceID": "d1", "c": 1}]),
        ),
    ] {
        assert_eq!(run(text), expected, "{text}");
    }
}

/// `query ¦ what is marked ¦ message`: the first mistake of a query; nothing marked is the end.
const REFUSED: &str = "
 ¦ ¦ expected SELECT, found the end of the text
DELETE FROM devices ¦ DELETE ¦ expected SELECT, found `DELETE`
select * ¦ ¦ expected FROM, found the end of the text
SELECT deviceId FORM devices ¦ FORM ¦ expected FROM, found `FORM`
SELECT FROM devices ¦ FROM ¦ expected a name, a value or `(`, found `FROM`
SELECT *, deviceId FROM devices ¦ , ¦ `*` and columns do not mix
SELECT deviceId, * FROM devices ¦ * ¦ `*` and columns do not mix
SELECT * FROM ¦ ¦ expected devices, devices.modules or devices.jobs, found the end of the text
SELECT * FROM twins ¦ twins ¦ expected devices, devices.modules or devices.jobs, found `twins`
SELECT * FROM devices.twins ¦ twins ¦ expected modules or jobs, found `twins`
SELECT * FROM devices WHERE ¦ ¦ expected a name, a value or `(`, found the end of the text
SELECT TOP 0 * FROM devices ¦ 0 ¦ expected a whole number above 0, found the number 0
SELECT top FROM devices ¦ top ¦ expected a name, a value or `(`, found `top`
SELECT TOP 1.5 * FROM devices ¦ 1.5 ¦ expected a whole number above 0, found the number 1.5
SELECT DISTINCT tags.a FROM devices ¦ DISTINCT ¦ expected `*` or columns, found `DISTINCT`
SELECT * FROM devices GROUP BY tags.a ¦ * ¦ `*` cannot be grouped
SELECT tags.b, COUNT() FROM devices ¦ tags ¦ the column b is neither aggregated nor grouped
SELECT tags.b FROM devices GROUP BY tags.a ¦ tags ¦ the column b is neither aggregated nor grouped
SELECT 1 + 1, COUNT() FROM devices GROUP BY tags.a ¦ 1 ¦ the column $1 is neither aggregated nor grouped
SELECT AVG(*) FROM devices ¦ * ¦ expected a name, found `*`
SELECT SUM() FROM devices ¦ ) ¦ expected a name, found `)`
SELECT COUNT() FROM devices GROUP tags.a ¦ tags ¦ expected BY, found `tags`
SELECT COUNT() FROM devices GROUP BY ¦ ¦ expected a name, found the end of the text
SELECT * FROM devices ORDER BY id ¦ ORDER ¦ expected WHERE, GROUP BY or the end, found `ORDER`
SELECT * FROM devices x JOIN y ¦ x ¦ expected WHERE, GROUP BY or the end, found `x`
SELECT * FROM devices LIMIT 5 ¦ LIMIT ¦ expected WHERE, GROUP BY or the end, found `LIMIT`
SELECT * FROM devices; AS x ¦ AS ¦ expected WHERE, GROUP BY or the end, found `AS`
SELECT deviceId FROM devices.jobs ¦ deviceId ¦ devices.jobs is selected with * only
SELECT COUNT() FROM devices.jobs ¦ COUNT ¦ devices.jobs is selected with * only
";

#[test]
fn clauses_that_are_refused() {
    for line in REFUSED.lines().filter(|line| !line.is_empty()) {
        let [text, marked, message] = line.split('¦').map(str::trim).collect::<Vec<_>>().try_into().unwrap();
        let found = Query::parse(text).err().unwrap_or_else(|| panic!("{text} is accepted"));
        let start = if marked.is_empty() { text.len() } else { text.find(marked).unwrap() };
        assert_eq!(
            (found[0].span.start, found[0].message.as_str()),
            (start, message),
            "{}",
            found[0].render(text)
        );
    }
}

/// §5: rows of jobs, with both names of their time of creation and the optional prefix.
#[test]
fn job_rows() {
    let rows = [
        json!({"deviceId": "d1", "jobId": "j", "jobType": "scheduleUpdateTwin", "status": "completed",
            "startTimeUtc": "2026-01-01T00:00:00Z", "endTimeUtc": "2026-01-01T00:01:00Z",
            "createdDateTimeUtc": "2025-12-31T00:00:00Z", "lastUpdatedDateTimeUtc": "2026-01-01T00:01:00Z"}),
        json!({"deviceId": "d2", "jobId": "j", "jobType": "scheduleDeviceMethod", "status": "failed",
            "createdDateTimeUtc": "2015-01-01T00:00:00Z", "error": {"code": "404103", "description": "offline"},
            "outcome": {"deviceMethodResponse": {"status": 500, "payload": {"x": 1}}}}),
    ];
    for (condition, expected) in [
        ("devices.jobs.deviceId = 'd1'", "d1"),
        (
            "devices.jobs.deviceId = 'd1' AND devices.jobs.jobType = 'scheduleUpdateTwin' AND \
          devices.jobs.status = 'completed' AND devices.jobs.createdTimeUtc > '2016-09-01'",
            "d1",
        ),
        ("devices.jobs.jobId = 'j'", "d1 d2"),
        ("JOBID = 'j' AND Status != 'completed'", "d2"),
        ("createdDateTimeUtc < '2016-09-01'", "d2"),
        ("CreatedTimeUtc < '2016-09-01'", "d2"),
        ("error.code = '404103'", "d2"),
        ("OUTCOME.DEVICEMETHODRESPONSE.status = 500", "d2"),
        ("NOT IS_DEFINED(outcome)", "d1"),
        ("endTimeUtc IN ['2026-01-01T00:01:00Z']", "d1"),
        ("status NIN ['failed', 'canceled']", "d1"),
        ("tags.site = 'lyon'", ""),
    ] {
        let text = format!("SELECT * FROM devices.jobs WHERE {condition} ");
        let query = Query::parse(&text).unwrap_or_else(|found| panic!("{}", found[0].render(&text)));
        assert_eq!((query.source(), query.is_raw(), query.is_aggregated()), (Source::Jobs, false, false));
        let found = query.run(rows.iter());
        let ids: Vec<&str> = found.iter().filter_map(|row| row["deviceId"].as_str()).collect();
        assert_eq!(ids.join(" "), expected, "{condition}");
        let warnings: Vec<&str> = query.warnings().iter().map(|warning| warning.message.as_str()).collect();
        let unknown = "no row of a job has a member `tags`, so this is always undefined";
        assert_eq!(
            warnings,
            if condition.starts_with("tags") { vec![unknown] } else { vec![] },
            "{condition}"
        );
    }
}

//! Reference query-language §2 and §3, statement by statement: what every expression of the twin dialect is worth on
//! one row. Clauses, jobs and mistakes stand in `reference_queries.rs`, the worked fleet of §3.7 and the clients' texts
//! of §3.6 in `queries.rs`, the forms of conditions in `targets.rs`.

use hemline_query::select::Query;
use hemline_query::target::TargetCondition;
use serde_json::{Value, json};

pub(crate) fn row() -> Value {
    json!({
        "deviceId": "d1", "etag": "AAA=", "version": 3, "deviceEtag": "MQ==", "status": "enabled", "statusReason": null,
        "statusUpdateTime": "2026-01-01T00:00:00Z", "connectionState": "Connected",
        "lastActivityTime": "2026-02-01T00:00:00Z", "cloudToDeviceMessageCount": 0, "authenticationType": "sas",
        "x509Thumbprint": {"primaryThumbprint": "P", "secondaryThumbprint": null}, "capabilities": {"iotEdge": true},
        "modelId": "", "deviceScope": "ms-azure-iot-edge://d1-1", "parentScopes": ["ms-azure-iot-edge://p-123"],
        "configurations": {"my-id": {"status": "Applied"}},
        "tags": {"n": 1, "half": 0.5, "s": "a", "T": "Straße", "t": true, "f": false, "z": null, "o": {"x": 1},
            "l": ["a", 1, null, true, [1], {"k": "v"}], "group": {"name": "g"}, "with space": "w", "a.b": "dot",
            "a-b": 5, "deviceid": "of a user", "2nd": 2, "big": 9007199254740993_i64},
        "properties": {"desired": {"$version": 4, "x": 1}, "reported": {"$version": 5, "lastDesiredVersion": 4,
            "$metadata": {"x": {"$lastUpdated": "2026-01-01T00:00:00Z"}}, "x": 1}}
    })
}

const NONE: Vec<String> = Vec::new();

/// What is wrong with a table of `expression => value`, one a line; the value is JSON or `undefined`.
fn wrong(table: &str) -> Vec<String> {
    table.lines().filter(|line| !line.trim().is_empty()).filter_map(|line| wrong_line(line).err()).collect()
}

fn wrong_line(line: &str) -> Result<(), String> {
    let (text, expected) = line.rsplit_once(" => ").ok_or_else(|| format!("no => in {line}"))?;
    let expected: Option<Value> = match expected {
        "undefined" => None,
        json => Some(serde_json::from_str(json).map_err(|why| format!("{why} in {line}"))?),
    };
    let query = format!("SELECT ({text}) AS v FROM devices");
    let parsed = Query::parse(&query).map_err(|found| found[0].render(&query))?;
    let value = parsed.run([row()].iter())[0].get("v").cloned();
    // The same as a condition: only exactly true counts.
    let condition = TargetCondition::parse(text).map_err(|found| found[0].render(text))?;
    let matches = condition.matches(&row());
    let again = TargetCondition::parse(&condition.to_string());
    if value == expected
        && matches == (expected == Some(Value::Bool(true)))
        && again.as_ref() == Ok(&condition)
    {
        Ok(())
    } else {
        Err(format!("{text} is {value:?}, matches: {matches}, printed: {condition}"))
    }
}

#[test]
fn lexical_rules() {
    assert_eq!(
        NONE,
        wrong(
            r#"
TRUE => true
False => false
NULL => null
UNDEFINED => undefined
tags.n = 1 and nOt tags.n = 2 Or false => true
tags.n in [1] aNd tags.n nin [2] => true
sTaRtSwItH(tags.s, 'a') => true
'it\'s' => "it's"
"it's" => "it's"
'say "x"' => "say \"x\""
"say \"x\"" => "say \"x\""
'back\\slash' => "back\\slash"
'\u0041\u00e9' => "Aé"
'\uD83D\uDE00' => "😀"
'it''s' => "it's"
"a""b" => "a\"b"
'' => ""
'''' => "'"
'/* no comment */ -- text' => "/* no comment */ -- text"
'ü 😀' => "ü 😀"
12 => 12
1.5 => 1.5
.5 => 0.5
1e3 => 1000
1.5E-3 => 0.0015
2e+2 => 200
0x1F => 31
0XfF => 255
-5 => -5
- 5 => -5
-0x10 => -16
- - 5 => 5
-.5 => -0.5
9007199254740993 = tags.big => true
tags.a-b => 5
tags.a -b => undefined
tags.[[a-b]] => 5
tags.[[with space]] => "w"
tags.[[a.b]] => "dot"
tags.2nd => 2
tags.group.name => "g"
tags.[[group]].name => "g"
[[tags]].[[n]] => 1
tags . n => 1
/* x */ tags.n /* y */ = /**/ 1 => true
tags.n=1 => true
tags.n<>2 => true
tags.n!=2 => true
tags.n>=1 => true
tags.n<=1 => true
(tags.n)=(1) => true
"#,
        )
    );
    for text in ["\n\t tags.n\r\n=\u{a0}1 ", "tags.n = 1;", "tags.n = 1 ; ", "tags.n = 1 /* end */"] {
        assert!(TargetCondition::parse(text).unwrap().matches(&row()), "{text:?}");
    }
}

#[test]
fn precedence() {
    assert_eq!(
        NONE,
        wrong(
            "
1 + 2 * 3 => 7
(1 + 2) * 3 => 9
10 - 2 - 3 => 5
10 - (2 - 3) => 11
2 * 3 % 4 => 2
8 / 4 / 2 => 1
-2 + 3 => 1
- (2 + 3) => -5
2 * -3 => -6
1 + 1 = 2 => true
NOT 1 = 2 => true
(NOT true) = false => true
NOT NOT true => true
NOT true AND false => false
NOT (true AND false) => true
NOT false OR true => true
true OR true AND false => true
(true OR true) AND false => false
NOT tags.n IN [2] => true
NOT tags.n + 1 IN [1] => true
tags.n NOT IN [2] AND true => true
tags.n NOT NIN [1] => true
(1 < 2) = true => true
1 + 1 IN [2] AND 2 = 2 => true
",
        )
    );
}

const NAMES: &str = r#"
deviceId => "d1"
DEVICEID => "d1"
devices.deviceId => "d1"
Devices.DeviceId => "d1"
devices.modules.deviceId => "d1"
devices.jobs.deviceId => "d1"
id => "d1"
ID => "d1"
statusUpdatedTime => "2026-01-01T00:00:00Z"
StatusUpdateTime => "2026-01-01T00:00:00Z"
LastActivityTime => "2026-02-01T00:00:00Z"
ETAG => "AAA="
Version => 3
deviceetag => "MQ=="
CONNECTIONSTATE => "Connected"
cloudtodevicemessagecount => 0
AuthenticationType => "sas"
X509THUMBPRINT.PRIMARYTHUMBPRINT => "P"
capabilities.IOTEDGE => true
modelid => ""
DeviceScope => "ms-azure-iot-edge://d1-1"
PARENTSCOPES[0] => "ms-azure-iot-edge://p-123"
parentScopes[1] => undefined
statusReason => null
Tags.n => 1
tags.N => undefined
tags.deviceid => "of a user"
tags.DeviceId => undefined
configurations.[[my-id]].status => "Applied"
configurations.my-id.status => "Applied"
configurations.[[MY-ID]].status => undefined
Properties.Desired.$version => 4
properties.desired.$version = properties.reported.lastDesiredVersion => true
properties.reported.$metadata.x.$lastUpdated => "2026-01-01T00:00:00Z"
properties.reported.X => undefined
x => undefined
tags.l[0] => "a"
tags.l[9] => undefined
tags.l[4][0] => 1
tags.l[5].k => "v"
tags.o => {"x": 1}
tags.l[4] => [1]
tags.n.deeper => undefined
tags.s[0] => undefined
"#;

#[test]
fn names() {
    assert_eq!(NONE, wrong(NAMES));
}

#[test]
fn comparison() {
    assert_eq!(
        NONE,
        wrong(
            "
tags.n = 1 => true
tags.n = 1.0 => true
tags.n != 1 => false
tags.half < tags.n => true
tags.n <= 1 => true
tags.n > 1 => false
tags.n >= 1 => true
tags.s = 'a' => true
tags.s = 'A' => false
'a' < 'b' => true
'B' < 'a' => true
'a' < 'ab' => true
'é' > 'z' => true
lastActivityTime > '2026-01-15' => true
tags.t = true => true
tags.t != false => true
tags.t > false => undefined
tags.f <= true => undefined
tags.n = '1' => false
tags.n != '1' => true
tags.n < '2' => undefined
tags.t = 1 => false
tags.t != 1 => true
tags.none = 1 => undefined
tags.none != 1 => undefined
tags.none < 1 => undefined
tags.none = tags.none => undefined
NOT tags.none = 1 => undefined
NOT IS_DEFINED(tags.none) OR tags.none != 1 => true
tags.z = null => true
tags.z != null => false
tags.z = 1 => false
tags.z != 1 => true
tags.z < 1 => undefined
tags.z >= null => undefined
tags.s = null => false
tags.none = null => undefined
tags.n = undefined => undefined
tags.n != undefined => undefined
tags.o = tags.o => undefined
tags.o != 1 => undefined
tags.l = tags.l => undefined
properties.desired = properties.reported => undefined
properties.desired.x = properties.reported.x => true
",
        )
    );
}

#[test]
fn membership() {
    assert_eq!(
        NONE,
        wrong(
            "
tags.s IN ['a', 'b'] => true
tags.s IN ['a'] => true
tags.s IN ['b', 1, null] => false
tags.s NIN ['b'] => true
tags.s NOT IN ['a'] => false
tags.s IN ('b', 'a') => true
tags.s IN (tags.T, tags.s) => true
tags.n IN [-1, 1] => true
tags.n IN ['1'] => false
tags.z IN [null] => true
tags.t IN [true] => true
tags.n IN [undefined, 1] => true
tags.n IN [undefined] => false
tags.none IN [1] => undefined
tags.none NIN [1] => undefined
tags.o IN [1] => undefined
tags.l IN [1] => undefined
",
        )
    );
}

#[test]
fn arithmetic() {
    assert_eq!(
        NONE,
        wrong(
            "
1 + 2 => 3
1 - 2 => -1
tags.half * 4 => 2
7 / 2 => 3.5
7 % 4 => 3
-7 % 4 => -3
1 / 0 => undefined
1 % 0 => undefined
1e308 * 10 => undefined
1 + '1' => undefined
'a' + 'b' => undefined
true + 1 => undefined
tags.none + 1 => undefined
tags.z + 1 => undefined
tags.o + 1 => undefined
- tags.s => undefined
- tags.n => -1
",
        )
    );
}

/// Reference §6.5; the twin engine's is taken to be the same.
#[test]
fn three_valued_logic() {
    assert_eq!(
        NONE,
        wrong(
            "
true AND true => true
true AND false => false
false AND true => false
false AND false => false
true AND undefined => undefined
undefined AND true => undefined
false AND undefined => false
undefined AND false => false
undefined AND undefined => undefined
null AND true => null
null AND false => null
null AND null => null
true OR true => true
true OR false => true
false OR false => false
true OR undefined => true
undefined OR true => true
false OR undefined => undefined
undefined OR undefined => undefined
null OR true => true
null OR false => false
null OR null => null
NOT true => false
NOT false => true
NOT undefined => undefined
NOT null => true
NOT 1 => undefined
NOT 'x' => undefined
1 AND true => undefined
'x' AND false => false
'x' OR true => true
true AND true AND undefined AND false => false
",
        )
    );
}

const FUNCTIONS: &str = r#"
IS_DEFINED(tags.n) => true
IS_DEFINED(tags.z) => true
IS_DEFINED(tags.none) => false
IS_DEFINED(tags.o) => true
IS_NULL(tags.z) => true
IS_NULL(tags.none) => false
IS_NULL(tags.n) => false
IS_BOOL(tags.f) => true
IS_BOOL(tags.n) => false
IS_BOOL(tags.none) => false
IS_NUMBER(tags.n) => true
IS_NUMBER('1') => false
IS_NUMBER(1 / 0) => false
IS_STRING(tags.s) => true
IS_STRING(CONCAT('a', 'b')) => true
IS_STRING(tags.n) => false
IS_ARRAY(tags.l) => true
IS_ARRAY(['a']) => true
IS_ARRAY(tags.o) => false
IS_OBJECT(tags.o) => true
IS_OBJECT(tags.l) => false
IS_PRIMITIVE(tags.n) => true
IS_PRIMITIVE(tags.z) => true
IS_PRIMITIVE(tags.o) => false
IS_PRIMITIVE(tags.none) => false
AS_NUMBER('1.5') => 1.5
AS_NUMBER(' 2 ') => 2
AS_NUMBER(2) => 2
AS_NUMBER('1e2') => 100
AS_NUMBER('x') => undefined
AS_NUMBER('') => undefined
AS_NUMBER('inf') => undefined
AS_NUMBER('1,000') => undefined
AS_NUMBER('1e999') => undefined
AS_NUMBER(true) => undefined
AS_NUMBER(tags.none) => undefined
ABS(-2.5) => 2.5
CEILING(1.2) => 2
CEILING(-1.2) => -1
FLOOR(1.8) => 1
FLOOR(-1.2) => -2
ROUND(1.5) => 2
ROUND(-1.5) => -2
EXP(0) => 1
EXP(1000) => undefined
POWER(2, 10) => 1024
POWER(10, 400) => undefined
SIGN(-3) => -1
SIGN(0) => 0
SIGN(0.1) => 1
SQUARE(3) => 9
SQRT(9) => 3
SQRT(-1) => undefined
ABS('1') => undefined
ROUND(tags.none) => undefined
POWER('2', 2) => undefined
CONCAT('a', 'b', 'c') => "abc"
CONCAT('a', tags.z) => "a"
CONCAT('a', 1) => undefined
CONCAT('a', tags.none) => undefined
LENGTH('') => 0
LENGTH('ü😀') => 2
LENGTH(tags.l) => undefined
LOWER('ÀBC') => "àbc"
UPPER(tags.T) => "STRASSE"
LOWER(1) => undefined
UPPER(tags.none) => undefined
SUBSTRING('abc', 1) => "bc"
SUBSTRING('abc', 3) => ""
SUBSTRING('abc', 4) => undefined
SUBSTRING('abc', -1) => undefined
SUBSTRING('abc', 0.5) => undefined
SUBSTRING('abc', 1, 1) => "b"
SUBSTRING('abc', 1, 0) => ""
SUBSTRING('abc', 1, 3) => undefined
SUBSTRING('abc', 1, -1) => undefined
SUBSTRING('ü😀x', 1, 1) => "😀"
SUBSTRING(UPPER('abc'), 1) => "BC"
SUBSTRING(1, 1) => undefined
INDEX_OF('abc', 'c') => 2
INDEX_OF('ü😀x', 'x') => 2
INDEX_OF('abc', '') => 0
INDEX_OF('abc', 'x') => -1
INDEX_OF('abc', 1) => undefined
STARTSWITH('abc', 'ab') => true
STARTSWITH('abc', 'AB') => false
STARTS_WITH('abc', '') => true
STARTSWITH(tags.none, 'a') => undefined
STARTSWITH(1, 'a') => undefined
ENDSWITH('abc', 'bc') => true
ENDS_WITH('abc', 'ab') => false
ENDSWITH('abc', tags.z) => undefined
CONTAINS('abc', 'b') => true
CONTAINS('abc', 'x') => false
CONTAINS(tags.l, 'a') => undefined
ARRAY_CONTAINS(tags.l, 'a') => true
ARRAY_CONTAINS(tags.l, 1) => true
ARRAY_CONTAINS(tags.l, 1.0) => true
ARRAY_CONTAINS(tags.l, '1') => false
ARRAY_CONTAINS(tags.l, null) => true
ARRAY_CONTAINS(tags.l, true) => true
ARRAY_CONTAINS(tags.l, LOWER('A')) => true
ARRAY_CONTAINS(tags.l, tags.o) => undefined
ARRAY_CONTAINS(tags.l, tags.none) => undefined
ARRAY_CONTAINS(tags.s, 'a') => undefined
ARRAY_CONTAINS(['a', -1], -1) => true
"#;

#[test]
fn functions() {
    assert_eq!(NONE, wrong(FUNCTIONS));
}

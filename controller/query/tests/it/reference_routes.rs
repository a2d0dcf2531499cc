//! Reference query-language §6 and §8, statement by statement: what every condition says about one message, and what is
//! refused and where. The worked message of §6.8 stands in `conditions.rs`, sources and sinks of edge routes in
//! `routes.rs`. Where the edge engine has a fault, the row says the sane meaning and names the fault.

use hemline_query::route::{Condition, Engine, Events, Outcome, Route};
use serde_json::json;

use crate::conditions::Message;

fn seen() -> Message {
    Message {
        source: "/messages/",
        properties: vec![
            ("key1", Some("value1")),
            ("key2", Some("3")),
            ("Big", Some("VALUE")),
            ("nothing", None),
            ("a!", Some("trap")),
            ("3-4", Some("a name")),
            ("TRUE", Some("a property")),
            ("$userId", Some("forged")),
            ("$body.shadowed", Some("100")),
            ("with.dots-and_more~", Some("fine")),
        ],
        system: vec![("connectionDeviceId", "d1"), ("userId", "real"), ("contentType", "application/json")],
        body: Some(json!({
            "n": 50, "neg": -50.4, "s": "text", "t": true, "f": false, "z": null, "o": {"k": "v"}, "l": [20, "x", [1, 2]],
            "time": "2017-03-09T00:00:00.000Z", "zone": "2017-03-09T00:00:00+01:00", "day": "2017-03-09", "shadowed": 50,
            "deep": [{"k": 1}, {"k": 2}], "Case": 1, "a b": 1
        })),
        twin: Some(
            json!({"tags": {"site": "lyon"}, "properties": {"desired": {"x": 1}, "reported": {"y": "z"}}}),
        ),
    }
}

pub(crate) const NONE: Vec<String> = Vec::new();

/// What is wrong with a table of `condition => outcome`, one a line: true, false, undefined or refused.
pub(crate) fn wrong(engine: Engine, table: &str) -> Vec<String> {
    let lines = table.lines().filter(|line| !line.trim().is_empty());
    lines.filter_map(|line| wrong_line(engine, line).err()).collect()
}

fn wrong_line(engine: Engine, line: &str) -> Result<(), String> {
    let (text, expected) = line.rsplit_once("=> ").ok_or_else(|| format!("no => in {line}"))?;
    let text = text.trim_end();
    let said = match Condition::parse(text, engine, Events::Messages) {
        Err(_) => "refused",
        Ok(condition) => {
            let again = Condition::parse(&condition.to_string(), engine, Events::Messages);
            if again.as_ref() != Ok(&condition) {
                return Err(format!("{text} is printed as {condition}"));
            }
            match condition.evaluate(&seen()) {
                Outcome::True => "true",
                Outcome::False => "false",
                Outcome::Undefined => "undefined",
            }
        }
    };
    if said == expected { Ok(()) } else { Err(format!("{text} is {said}")) }
}

#[test]
fn lexical_rules() {
    assert_eq!(
        NONE,
        wrong(
            Engine::Edge,
            r#"
 => undefined
/* nothing */ => undefined
true => true
TRUE = 'a property' => true
Null = 'x' => undefined
not true => false
NoT false aNd true oR false => true
"it's" = 'it\'s' => true
'\"' = "\"" => true
'\\' = "\\" => true
'\u0041\u00e9' = 'Aé' => true
'\U0041' = 'A' => refused
'\x' = 'x' => refused
'\n' = 'x' => refused
'' = "" => true
'it''s' = 'x' => undefined
'open => refused
"open => refused
key1 = " => refused
3 = 3 => true
-3 < 0 => true
3.5 > .5 => true
-.5 = -0.5 => true
1e2 = 100 => true
1.5E+1 = 15 => true
1e-1 = .1 => true
0x1F = 31 => true
0Xff = 255 => true
10e1000 = 1 / 0 => true
0xFFFFFFFFFFFFFFFFF = 1 => refused
3. = 'x' => undefined
+5 = 'x' => undefined
with.dots-and_more~ = 'fine' => true
a!='trap' => true
a != 'trap' => undefined
3-4 = 'a name' => true
3 - 4 = -1 => true
3 -4 = -1 => refused
key1='value1' => true
6/3=2 => true
6 /3 = 2 => true
2*3 = 'x' => undefined
2 * 3 = 6 => true
7 % 4 = 3 => true
'a'||'b' = 'ab' => undefined
'a' || 'b' = 'ab' => true
key1 <> 'x' => true
key1<>'x' => true
key1 == 'x' => refused
key1 && key2 => refused
key1 = 'value1' && true => refused
key1 = 'value1' /* why */ AND /**/ true => true
/* open => refused
true; => refused
[1] = 1 => refused
key1 IN ['value1'] => refused
key1 ? 'x' => refused
key1 @ 'x' => refused
"#,
        )
    );
}

#[test]
fn precedence() {
    assert_eq!(
        NONE,
        wrong(
            Engine::Edge,
            "
1 + 2 * 3 = 7 => true
(1 + 2) * 3 = 9 => true
10 - 2 - 3 = 5 => true
2 * 3 % 4 = 2 => true
- (2 + 3) + 6 = 1 => true
- as_number(key2) + 4 = 1 => true
1 < 2 = true => true
true = 1 < 2 => true
1 < 2 != 2 < 1 => true
1 < 2 < 3 => refused
NOT 1 = 2 => refused
NOT (1 = 2) => true
NOT key1 = 'x' => refused
NOT true = false => true
NOT NOT true => true
NOT true AND false => false
true OR true AND false => true
(true OR true) AND false => false
true AND false OR true => true
key1 ?? 'x' = 'value1' => refused
(key1 ?? 'x') = 'value1' => true
(none ?? none ?? 'x') = 'x' => true
'a' || 'b' = 'ab' AND true => true
",
        )
    );
}

#[test]
fn names() {
    assert_eq!(
        NONE,
        wrong(
            Engine::Edge,
            "
key1 = 'value1' => true
KEY1 = 'value1' => true
none = 'x' => undefined
none != 'x' => undefined
$connectionDeviceId = 'd1' => true
$CONNECTIONDEVICEID = 'd1' => true
{$connectionDeviceId} = 'd1' => true
{ $connectionDeviceId } = 'd1' => true
{key1} = 'x' => refused
{$connectionDeviceId = 'd1' => refused
$connectionModuleId = 'm' => undefined
NOT IS_DEFINED($connectionModuleId) => true
$userId = 'forged' => true
{$userId} = 'real' => true
$none = 'x' => undefined
$body.shadowed = '100' => true
as_number($body.shadowed) = 100 => true
{$body.shadowed} = 50 => true
$body => undefined
is_defined($body) => false
$ = 'x' => undefined
$twin.tags.site = 'lyon' => refused
$userId[0] = 'x' => refused
",
        )
    );
}

#[test]
fn body_paths() {
    assert_eq!(
        NONE,
        wrong(
            Engine::Edge,
            "
$body.n = 50 => true
50 >= $body.n => true
$BODY.n = 50 => true
$body.N = 50 => false
$body.Case = 1 => true
$body.n = '50' => false
$body.n != '50' => true
$body.l[0] = 20 => true
$body.l[0] + $body.deep[1].k = 22 => true
$body.l[2][1] = 2 => true
$body.l[9] = null => true
$body.deep[0].k = 1 => true
$body.o.k = 'v' => true
$body.missing = null => true
$body.missing != 'x' => true
$body.n.deeper = null => true
is_defined($body.missing) => true
$body.missing => undefined
$body.z = null => true
$body.z => undefined
$body.t => true
$body.f => false
$body.n => undefined
$body.s => undefined
$body.o => undefined
$body.o <> null => undefined
is_defined($body.o) => false
is_defined($body.l) => false
$body.time <> '100' => undefined
$body.zone <> '100' => undefined
is_defined($body.time) => false
is_string($body.time) => false
$body.day = '2017-03-09' => true
$body[0] = 1 => refused
$body.l[] = 1 => refused
$body.l[*] = 1 => refused
$body.l[1:2] = 1 => refused
$body.l[-1] = 1 => refused
$body.['s'] = 1 => refused
$body. = 1 => refused
$body..n = 1 => refused
$body.l[0 = 1 => refused
$body.l[0]k = 1 => refused
",
        )
    );
}

#[test]
fn a_hub_reads_twins_and_tells_kinds_apart() {
    assert_eq!(
        NONE,
        wrong(
            Engine::Hub,
            "
$twin.tags.site = 'lyon' => true
$TWIN.tags.site = 'lyon' => true
$twin.Tags.site = 'lyon' => false
$twin.properties.desired.x = 1 => true
$twin.properties.reported.y = 'z' AND $body.n = 50 AND key1 = 'value1' => true
$twin.tags.none = null => true
$twin.tags.none = 'x' => false
is_defined($twin.tags) => false
is_object($twin.tags) => true
is_array($body.l) => true
is_array($body.o) => false
is_object($body.l) => false
is_object($body.n) => false
is_primitive($body.n) => true
is_primitive($body.z) => true
is_primitive($body.o) => false
is_primitive(none) => false
is_primitive('x') => true
",
        )
    );
    assert_eq!(
        NONE,
        wrong(
            Engine::Edge,
            "
is_array($body.l) => refused
is_object($body.o) => refused
is_primitive($body.n) => refused
",
        )
    );
}

#[test]
fn three_valued_logic() {
    assert_eq!(
        NONE,
        wrong(
            Engine::Edge,
            "
true AND undefined => undefined
undefined AND true => undefined
false AND undefined => false
undefined AND false => false
undefined AND undefined => undefined
true OR undefined => true
undefined OR true => true
false OR undefined => undefined
undefined OR false => undefined
undefined OR undefined => undefined
none = 'x' AND true => undefined
none = 'x' AND false => false
none = 'x' OR true => true
none = 'x' OR false => undefined
NOT undefined => undefined
NOT (none = 'x') => undefined
null AND true => false
(null AND true) = null => true
(null AND false) = null => true
(null AND null) = null => true
(null AND undefined) = null => true
null OR true => true
null OR false => false
(null OR null) = null => true
null OR undefined => undefined
NOT null => true
null => false
undefined => undefined
3 => undefined
'x' => undefined
key1 => undefined
$body.t AND $body.t => true
$body.t AND $body.f => false
$body.f OR $body.t => true
$body.f OR NOT($body.f) => true
$body.missing OR true => undefined
$body.s OR true => undefined
$body.s AND false => undefined
$body.t AND key1 = 'value1' => true
key1 = 'value1' AND $body.t => refused
key1 = 'value1' OR $body.t => refused
key1 = 'value1' AND $body.t = true => true
NOT $body.f => true
NOT $body.missing => undefined
NOT $body.s => undefined
",
        )
    );
}

#[test]
fn comparison() {
    assert_eq!(
        NONE,
        wrong(
            Engine::Edge,
            "
3 = 3 => true
3 != 4 => true
3 <> 3 => false
3 / 0 = 10e1000 => true
-3 / 0 < 0 => true
3 % 0 = 3 % 0 => undefined
0 / 0 = 0 => undefined
'a' < 'b' => true
'B' < 'a' => true
'a' = 'A' => false
'10' < '9' => true
null = null => true
null != null => false
$body.n = null => false
$body.n != null => true
$body.s > 5 => true
$body.s < null => true
$body.t < $body.n => true
$body.n < $body.s => true
$body.z > $body.s => true
$body.missing > 50 => true
$body.missing >= 50 => true
$body.missing < 50 => false
$body.missing != null AND $body.missing > 50 => false
$body.f < $body.t => true
$body.t = true => true
$body.t = 'true' => false
$body.o = 1 => undefined
$body.time = 1 => undefined
$body.s = key1 => false
$none <> $body.missing => undefined
",
        )
    );
}

#[test]
fn a_body_that_is_not_json_is_undefined_everywhere() {
    let message = Message { body: None, twin: None, ..seen() };
    for text in
        ["$body.x = null", "is_null($body.x)", "is_defined($body.x)", "$body.x != 1", "$twin.tags.x = null"]
    {
        let condition = Condition::parse(text, Engine::Hub, Events::Messages).unwrap();
        assert_ne!(condition.evaluate(&message), Outcome::True, "{text}");
    }
}

/// §6.7: paths of `TWIN_CHANGE_INCLUDES`.
#[test]
fn twin_changes() {
    let change =
        json!({"tags": {"site": "x"}, "properties": {"reported": {"w": {"t": 50, "l": [1]}, "$version": 4}}});
    let message = Message { body: Some(change), ..seen() };
    for (path, expected) in [
        ("properties.reported.w", Some(true)),
        ("properties.reported.w.t", Some(true)),
        ("properties.reported.w.l", Some(true)),
        ("properties.reported.w.x", Some(false)),
        ("properties.reported", Some(true)),
        ("properties.reported.$version", Some(true)),
        ("properties.desired.w", Some(false)),
        ("tags.site", Some(true)),
        ("tags", Some(true)),
        ("", None),
        ("properties.", None),
        ("properties.abc", None),
        ("other.a", None),
        ("123", None),
        ("123abc", None),
        ("'tags.x'", None),
        ("properties.desired.t,", None),
        ("properties.reported.w[0]", None),
        ("properties[0]", None),
        ("properties.desired.[1]", None),
        ("properties.reportedw", None),
        ("tags..x", None),
        ("tags.x, tags.y", None),
    ] {
        let text = format!("Twin_Change_Includes({path})");
        let condition = Condition::parse(&text, Engine::Edge, Events::TwinChanges);
        let said = condition.ok().map(|condition| condition.matches(&message));
        assert_eq!(said, expected, "{text}");
    }
    let condition =
        Condition::parse("twin_change_includes(tags.x)", Engine::Edge, Events::TwinChanges).unwrap();
    assert_eq!(condition.evaluate(&Message { body: None, ..seen() }), Outcome::Undefined);
}

/// `condition ¦ what is marked ¦ message ¦ hint`: where each refusal points, and what it advises.
const MISTAKES: &str = "
key1 > 3 ¦ > ¦ `>` cannot compare a text with a number ¦ properties are texts: write as_number(key1)
3 = key1 ¦ = ¦ `=` cannot compare a number with a text ¦ properties are texts: write as_number(key1)
key1 = null ¦ = ¦ `=` cannot compare a text with null ¦ use IS_NULL(x)
key1 != null ¦ != ¦ `!=` cannot compare a text with null ¦ use NOT IS_NULL(x)
key1 = undefined ¦ = ¦ `=` cannot compare a text with undefined ¦ use IS_DEFINED(x)
'a' + 'b' = 'ab' ¦ + ¦ `+` needs two numbers, here are a text and a text ¦ join texts with `||` or CONCAT
- (key1) = 1 ¦ key1 ¦ `-` needs a number, this is a text ¦ properties are texts: write as_number(key1)
abs(key1) = 1 ¦ key1 ¦ abs needs a number here, this is a text ¦ properties are texts: write as_number(key1)
NOT key1 = 'x' ¦ key1 ¦ NOT needs a condition, this is a text ¦ NOT binds tighter than comparisons in routes: write NOT (a = b)
lower(12) = 'x' ¦ 12 ¦ lower needs a text here, this is a number ¦
concat('a') = 'x' ¦ concat ¦ concat takes at least 2 arguments, not 1 ¦
start_with(key1, 'x') ¦ start_with ¦ unknown function start_with ¦ did you mean STARTS_WITH?
is_object($body.x) ¦ is_object ¦ unknown function is_object ¦ a cloud hub has it, edge routes do not
key1 ?? 'x' = 'y' ¦ ?? ¦ both sides of `??` need one type, here are a text and a boolean ¦ `??` binds looser than every other operator: write (a ?? 'x') = b
true AND $body.t ¦ AND ¦ AND cannot take a bare body value on its right ¦ write `$body.flag = true`, or put the body value on the left
$body.l[*] = 1 ¦ $body.l[*] ¦ an index is a number such as [0] in `$body.l[*]` ¦ a path is names and [numbers], such as $body.readings[0].value
$body[0] = 1 ¦ $body[0] ¦ a path cannot start with an element of the body itself ¦ send an object: $body.items[0]
$conectionDeviceId[0] = 'x' ¦ $conectionDeviceId[0] ¦ `$conectionDeviceId[0]` is neither a property nor a body path ¦ did you mean $connectionDeviceId?
key1 == 'x' ¦ == ¦ `==` is not an operator ¦ write `=`
key1 = 'x' && true ¦ && ¦ expected an operator or the end, found `&&` ¦ write AND
key1 LIKE 'x' ¦ LIKE ¦ expected an operator or the end, found `LIKE` ¦ routes have no LIKE; use STARTS_WITH, ENDS_WITH or CONTAINS
key1 IN ['x'] ¦ IN ¦ expected an operator or the end, found `IN` ¦ routes have no IN; write a = 'x' OR a = 'y'
1 + 2 -3 = 0 ¦ -3 ¦ expected an operator or the end, found `-3` ¦ operators need blanks around them: write `- 3`
(key1 = 'x' ¦ ¦ expected an operator or `)`, found the end of the text ¦
key1 = 'x' NULL ¦ NULL ¦ expected an operator or the end, found `NULL` ¦ null is lower case here
";

#[test]
fn every_mistake_has_its_place() {
    for line in MISTAKES.lines().filter(|line| !line.is_empty()) {
        let [text, marked, message, hint] =
            line.split('¦').map(str::trim).collect::<Vec<_>>().try_into().unwrap();
        let found = Condition::parse(text, Engine::Edge, Events::Messages).err();
        let found = found.unwrap_or_else(|| panic!("{text} is accepted"));
        let start = if marked.is_empty() { text.len() } else { text.find(marked).unwrap() };
        let end = start + marked.len();
        assert_eq!((found[0].span.start, found[0].span.end), (start, end), "{}", found[0].render(text));
        assert_eq!(
            (found[0].message.as_str(), found[0].hint.as_deref().unwrap_or_default()),
            (message, hint),
            "{text}"
        );
        // The same inside a route, behind its clauses.
        let prefix = "FROM /messages/* WHERE ";
        let found = Route::parse(&format!("{prefix}{text} INTO $upstream")).unwrap_err();
        if !marked.is_empty() {
            assert_eq!(found[0].span.start, prefix.len() + start, "{text}");
        }
    }
}

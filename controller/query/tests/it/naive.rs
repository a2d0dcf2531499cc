//! The evaluators against a naive one: a tree that is walked value by value as the tables of reference query-language
//! §3.3, §6.5 and §6.6 read, without any of the crate's types. Trees are random; the crate gets them as text.

use hemline_query::route::{Condition, Engine, Events, Outcome};
use hemline_query::select::Query;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::conditions::Message;

/// What something is worth.
#[derive(Debug, Clone, PartialEq)]
enum Worth {
    Undefined,
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    /// An object or array.
    Other,
}

#[derive(Debug, Clone)]
enum Tree {
    Literal(Worth),
    /// A name and what it is worth in the fixed row or message; body values compare across types.
    Name(&'static str, Worth, Typed),
    Not(Box<Self>),
    Negate(Box<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
    Compare(Box<Self>, &'static str, Box<Self>),
    Arithmetic(Box<Self>, &'static str, Box<Self>),
    In(Box<Self>, Vec<Self>, bool),
    Coalesce(Box<Self>, Box<Self>),
    Call(&'static str, Vec<Self>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Typed {
    Statically,
    AtRunTime,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Dialect {
    Twin,
    Route,
}

use Worth::{Bool, Null, Number, Other, Text, Undefined};

// ---------------------------------------------------------------------------------------------------------------

impl Tree {
    fn text(&self) -> String {
        let list = |trees: &[Self], between: &str| {
            trees.iter().map(|tree| format!("({})", tree.text())).collect::<Vec<_>>().join(between)
        };
        match self {
            Self::Literal(worth) => match worth {
                Undefined | Other => "undefined".to_owned(),
                Null => "null".to_owned(),
                Bool(flag) => flag.to_string(),
                Number(number) => format!("{number:e}"),
                Text(text) => format!("'{text}'"),
            },
            Self::Name(name, ..) => (*name).to_owned(),
            Self::Not(tree) => format!("NOT ({})", tree.text()),
            Self::Negate(tree) => format!("- ({})", tree.text()),
            Self::And(trees) => list(trees, " AND "),
            Self::Or(trees) => list(trees, " OR "),
            Self::Compare(left, operator, right) | Self::Arithmetic(left, operator, right) => {
                format!("({}) {operator} ({})", left.text(), right.text())
            }
            Self::In(needle, set, wanted) => {
                let word = if *wanted { "IN" } else { "NIN" };
                format!("({}) {word} ({})", needle.text(), list(set, ", "))
            }
            Self::Coalesce(left, right) => format!("(({}) ?? ({}))", left.text(), right.text()),
            Self::Call(name, arguments) => format!("{name}({})", list(arguments, ", ")),
        }
    }

    fn worth(&self, dialect: Dialect) -> Worth {
        let of = |tree: &Self| tree.worth(dialect);
        match self {
            Self::Literal(worth) | Self::Name(_, worth, _) => match worth {
                Other if dialect == Dialect::Route => Undefined,
                worth => worth.clone(),
            },
            Self::Not(tree) => match of(tree) {
                Bool(flag) => Bool(!flag),
                Null => Bool(true),
                _ => Undefined,
            },
            Self::Negate(tree) => match of(tree) {
                Number(number) => Number(-number),
                _ => Undefined,
            },
            Self::And(trees) => {
                trees.iter().map(of).reduce(|left, right| and(&left, &right)).unwrap_or(Undefined)
            }
            Self::Or(trees) => {
                trees.iter().map(of).reduce(|left, right| or(&left, &right)).unwrap_or(Undefined)
            }
            Self::Compare(left, operator, right) => {
                let dynamic = left.is_dynamic() || right.is_dynamic();
                compare(dialect, dynamic, &of(left), operator, &of(right))
            }
            Self::Arithmetic(left, operator, right) => match (of(left), of(right)) {
                (Number(left), Number(right)) => number(
                    dialect,
                    match *operator {
                        "+" => left + right,
                        "-" => left - right,
                        "*" => left * right,
                        "/" => left / right,
                        _ => left % right,
                    },
                ),
                _ => Undefined,
            },
            Self::In(needle, set, wanted) => match of(needle) {
                Undefined | Other => Undefined,
                needle => {
                    let found = set.iter().map(of).any(|element| element == needle);
                    Bool(found == *wanted)
                }
            },
            Self::Coalesce(left, right) => match of(left) {
                Undefined => of(right),
                left => left,
            },
            Self::Call(name, arguments) => {
                let worths: Vec<Worth> = arguments.iter().map(of).collect();
                call(dialect, name, &worths)
            }
        }
    }

    /// Whether the checker of routes knows its type at run time only.
    fn is_dynamic(&self) -> bool {
        match self {
            Self::Name(_, _, typed) => *typed == Typed::AtRunTime,
            Self::Coalesce(left, right) => left.is_dynamic() || right.is_dynamic(),
            _ => false,
        }
    }
}

/// The table of §6.5.
fn and(left: &Worth, right: &Worth) -> Worth {
    match (left, right) {
        (Null, _) | (_, Null) => Null,
        (Bool(false), _) | (_, Bool(false)) => Bool(false),
        (Bool(true), Bool(true)) => Bool(true),
        _ => Undefined,
    }
}

fn or(left: &Worth, right: &Worth) -> Worth {
    let plain = |worth: &Worth| if let Bool(_) = worth { worth.clone() } else { Undefined };
    match (left, right) {
        (Null, Null) => Null,
        (Null, other) | (other, Null) => plain(other),
        (Bool(true), _) | (_, Bool(true)) => Bool(true),
        (Bool(false), Bool(false)) => Bool(false),
        _ => Undefined,
    }
}

fn number(dialect: Dialect, number: f64) -> Worth {
    let kept = if dialect == Dialect::Twin { number.is_finite() } else { !number.is_nan() };
    if kept { Number(number) } else { Undefined }
}

fn compare(dialect: Dialect, dynamic: bool, left: &Worth, operator: &str, right: &Worth) -> Worth {
    let by = |order: std::cmp::Ordering| {
        Bool(match operator {
            "=" => order.is_eq(),
            "!=" | "<>" => order.is_ne(),
            "<" => order.is_lt(),
            "<=" => order.is_le(),
            ">" => order.is_gt(),
            _ => order.is_ge(),
        })
    };
    let equality = ["=", "!=", "<>"].contains(&operator);
    let rank = |worth: &Worth| match worth {
        Bool(_) => 1,
        Number(_) => 2,
        Text(_) => 3,
        _ => 4,
    };
    match (left, right) {
        (Undefined | Other, _) | (_, Undefined | Other) => Undefined,
        (Number(left), Number(right)) => left.partial_cmp(right).map_or(Undefined, by),
        (Text(left), Text(right)) => by(left.as_bytes().cmp(right.as_bytes())),
        (Bool(left), Bool(right)) if equality || dialect == Dialect::Route => by(left.cmp(right)),
        (Null, Null) if equality || dialect == Dialect::Route => by(std::cmp::Ordering::Equal),
        _ if dialect == Dialect::Route && dynamic => by(rank(left).cmp(&rank(right))),
        _ if dialect == Dialect::Twin && equality => Bool(operator != "="),
        _ => Undefined,
    }
}

fn call(dialect: Dialect, name: &str, arguments: &[Worth]) -> Worth {
    let letters = |text: &str| text.chars().collect::<Vec<_>>();
    match (name, arguments) {
        ("IS_DEFINED", [value]) => Bool(*value != Undefined),
        ("IS_NULL", [value]) => Bool(*value == Null),
        ("IS_NUMBER", [value]) => Bool(matches!(value, Number(number) if number.is_finite())),
        ("IS_STRING", [value]) => Bool(matches!(value, Text(_))),
        ("LENGTH", [Text(text)]) => Number(letters(text).len() as f64),
        ("UPPER", [Text(text)]) => Text(text.chars().flat_map(char::to_uppercase).collect()),
        ("LOWER", [Text(text)]) => Text(text.chars().flat_map(char::to_lowercase).collect()),
        ("CONCAT", arguments) => {
            let pieces = arguments.iter().map(|argument| match argument {
                Text(text) => Some(text.as_str()),
                Null => Some(""),
                _ => None,
            });
            pieces.collect::<Option<String>>().map_or(Undefined, Text)
        }
        ("SUBSTRING", [Text(text), Number(start)]) => {
            let fits = start.fract() == 0.0 && (0.0..=letters(text).len() as f64).contains(start);
            if fits { Text(text.chars().skip(*start as usize).collect()) } else { Undefined }
        }
        ("INDEX_OF", [Text(text), Text(part)]) => {
            let (text, part) = (letters(text), letters(part));
            let found = (0..=text.len()).find(|at| text[*at..].starts_with(&part));
            Number(found.map_or(-1.0, |at| at as f64))
        }
        ("CONTAINS", [Text(text), Text(part)]) => {
            let (text, part) = (letters(text), letters(part));
            Bool((0..=text.len()).any(|at| text[at..].starts_with(&part)))
        }
        ("ABS", [Number(value)]) => number(dialect, value.abs()),
        ("POWER", [Number(base), Number(exponent)]) => number(dialect, base.powf(*exponent)),
        _ => Undefined,
    }
}

// ---------------------------------------------------------------------------------------------------------------

fn comparisons() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["=", "!=", "<>", "<", "<=", ">", ">="])
}

fn operators() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["+", "-", "*", "/", "%"])
}

fn boxed(tree: Tree) -> Box<Tree> {
    Box::new(tree)
}

fn text_literal() -> impl Strategy<Value = Tree> {
    prop::sample::select(vec!["", "a", "ab", "B", "é", "ß", "3", "😀a"])
        .prop_map(|text| Tree::Literal(Text(text.to_owned())))
}

fn number_literal() -> impl Strategy<Value = Tree> {
    prop::sample::select(vec![0.0, 1.0, -1.0, 2.5, 3.0, 1e300])
        .prop_map(|number| Tree::Literal(Number(number)))
}

/// Any tree at all: the twin dialect has no static types.
fn twin_tree() -> impl Strategy<Value = Tree> {
    let name = |name, worth| Tree::Name(name, worth, Typed::Statically);
    let names = prop::sample::select(vec![
        name("tags.n", Number(3.0)),
        name("tags.s", Text("ab".to_owned())),
        name("tags.t", Bool(true)),
        name("tags.z", Null),
        name("tags.o", Other),
        name("tags.none", Undefined),
        name("devices.deviceId", Text("d1".to_owned())),
    ]);
    let literals =
        prop::sample::select(vec![Undefined, Null, Bool(true), Bool(false)]).prop_map(Tree::Literal);
    let leaf = prop_oneof![names, literals, text_literal(), number_literal()];
    leaf.prop_recursive(5, 32, 3, |inner| {
        let many = prop::collection::vec(inner.clone(), 2..4);
        let functions = prop::sample::select(vec![
            ("IS_DEFINED", 1),
            ("IS_NULL", 1),
            ("IS_NUMBER", 1),
            ("IS_STRING", 1),
            ("LENGTH", 1),
            ("UPPER", 1),
            ("LOWER", 1),
            ("CONCAT", 3),
            ("SUBSTRING", 2),
            ("INDEX_OF", 2),
            ("CONTAINS", 2),
            ("ABS", 1),
            ("POWER", 2),
        ]);
        prop_oneof![
            inner.clone().prop_map(|tree| Tree::Not(boxed(tree))),
            inner.clone().prop_map(|tree| Tree::Negate(boxed(tree))),
            many.clone().prop_map(Tree::And),
            many.clone().prop_map(Tree::Or),
            (inner.clone(), comparisons(), inner.clone()).prop_map(|(left, operator, right)| Tree::Compare(
                boxed(left),
                operator,
                boxed(right)
            )),
            (inner.clone(), operators(), inner.clone()).prop_map(|(left, operator, right)| Tree::Arithmetic(
                boxed(left),
                operator,
                boxed(right)
            )),
            (inner.clone(), many, any::<bool>()).prop_map(|(needle, set, wanted)| Tree::In(
                boxed(needle),
                set,
                wanted
            )),
            (functions, prop::collection::vec(inner, 3)).prop_map(|((name, count), mut arguments)| {
                arguments.truncate(count);
                Tree::Call(name, arguments)
            }),
        ]
    })
}

fn body(name: &'static str, worth: Worth) -> Tree {
    Tree::Name(name, worth, Typed::AtRunTime)
}

fn route_texts() -> impl Strategy<Value = Tree> + Clone {
    let name = |name, worth| Tree::Name(name, worth, Typed::Statically);
    let names = prop::sample::select(vec![
        name("site", Text("ab".to_owned())),
        name("SITE", Text("ab".to_owned())),
        name("empty", Null),
        name("missing", Undefined),
        name("$connectionDeviceId", Text("d1".to_owned())),
        name("$connectionModuleId", Undefined),
    ]);
    prop_oneof![names, text_literal()].prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Tree::Coalesce(boxed(a), boxed(b))),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| Tree::Call("CONCAT", vec![a, b, c])),
            inner.clone().prop_map(|a| Tree::Call("UPPER", vec![a])),
            inner.clone().prop_map(|a| Tree::Call("LOWER", vec![a])),
            (inner, number_literal()).prop_map(|(a, n)| Tree::Call("SUBSTRING", vec![a, n])),
        ]
    })
}

fn body_values() -> impl Strategy<Value = Tree> + Clone {
    prop::sample::select(vec![
        body("$body.n", Number(3.0)),
        body("$BODY.s", Text("ab".to_owned())),
        body("$body.t", Bool(true)),
        body("$body.z", Null),
        body("$body.none", Null),
        body("$body.l[0]", Number(1.0)),
        body("$body.l[7]", Null),
        body("$body.o", Other),
        body("$body.time", Undefined),
    ])
}

fn route_numbers() -> impl Strategy<Value = Tree> + Clone {
    let leaf = prop_oneof![
        number_literal(),
        (route_texts(), route_texts()).prop_map(|(a, b)| Tree::Call("INDEX_OF", vec![a, b])),
        route_texts().prop_map(|a| Tree::Call("LENGTH", vec![a])),
        body_values().prop_map(|a| Tree::Call("ABS", vec![a])),
    ];
    leaf.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), operators(), inner.clone()).prop_map(|(a, operator, b)| Tree::Arithmetic(
                boxed(a),
                operator,
                boxed(b)
            )),
            (inner.clone(), operators(), body_values()).prop_map(|(a, operator, b)| Tree::Arithmetic(
                boxed(a),
                operator,
                boxed(b)
            )),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Tree::Coalesce(boxed(a), boxed(b))),
            inner.clone().prop_map(|a| Tree::Negate(boxed(a))),
            (inner.clone(), inner).prop_map(|(a, b)| Tree::Call("POWER", vec![a, b])),
        ]
    })
}

/// A tree that passes the type check of routes.
fn route_tree() -> impl Strategy<Value = Tree> {
    let compare = |(left, operator, right)| Tree::Compare(boxed(left), operator, boxed(right));
    let anything = prop_oneof![route_texts(), route_numbers(), body_values()];
    let leaf = prop_oneof![
        (route_texts(), comparisons(), route_texts()).prop_map(compare),
        (route_numbers(), comparisons(), route_numbers()).prop_map(compare),
        (body_values(), comparisons(), anything.clone()).prop_map(compare),
        (anything.clone(), comparisons(), body_values()).prop_map(compare),
        (prop::sample::select(vec!["IS_DEFINED", "IS_NULL", "IS_NUMBER", "IS_STRING"]), anything)
            .prop_map(|(name, a)| Tree::Call(name, vec![a])),
        (route_texts(), prop_oneof![route_texts(), body_values()])
            .prop_map(|(a, b)| Tree::Call("CONTAINS", vec![a, b])),
        prop::sample::select(vec![Undefined, Null, Bool(true), Bool(false)]).prop_map(Tree::Literal),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let many = prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            inner.prop_map(|a| Tree::Not(boxed(a))),
            many.clone().prop_map(Tree::And),
            many.prop_map(Tree::Or),
        ]
    })
}

fn row() -> Value {
    json!({"deviceId": "d1", "tags": {"n": 3, "s": "ab", "t": true, "z": null, "o": {"x": 1}}})
}

fn seen() -> Message {
    Message {
        source: "/messages/",
        properties: vec![("site", Some("ab")), ("empty", None)],
        system: vec![("connectionDeviceId", "d1")],
        body: Some(
            json!({"n": 3, "s": "ab", "t": true, "z": null, "l": [1], "o": {}, "time": "2026-01-01T00:00:00Z"}),
        ),
        twin: None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn twin_expressions_are_worth_what_they_say(tree in twin_tree()) {
        let text = format!("SELECT {} AS v FROM devices", tree.text());
        let query = Query::parse(&text);
        prop_assert!(query.is_ok(), "{}", query.unwrap_err()[0].render(&text));
        let answer = query.unwrap().run([row()].iter());
        let found = match answer[0].get("v") {
            None => Undefined,
            Some(Value::Null) => Null,
            Some(Value::Bool(flag)) => Bool(*flag),
            Some(Value::Number(number)) => Number(number.as_f64().unwrap()),
            Some(Value::String(text)) => Text(text.clone()),
            Some(Value::Array(_) | Value::Object(_)) => Other,
        };
        prop_assert_eq!(found, tree.worth(Dialect::Twin), "{}", text);
    }

    #[test]
    fn route_conditions_say_what_they_mean(tree in route_tree()) {
        let text = tree.text();
        let condition = Condition::parse(&text, Engine::Edge, Events::Messages);
        prop_assert!(condition.is_ok(), "{}", condition.unwrap_err()[0].render(&text));
        let expected = match tree.worth(Dialect::Route) {
            Bool(true) => Outcome::True,
            Bool(false) | Null => Outcome::False,
            Undefined | Number(_) | Text(_) | Other => Outcome::Undefined,
        };
        prop_assert_eq!(condition.unwrap().evaluate(&seen()), expected, "{}", text);
    }
}

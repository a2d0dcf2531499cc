//! A body against the table: unknown members, wrong types, values that the engine refuses.

use hemline_query::near;
use serde_json::{Map, Value};

use super::{
    PROBLEMS,
    body::{BODY, Field, HOST, Kind, Names, Whole},
    escape, port, text,
};
use crate::finding::{RuleId, Severity};

/// Something to say about a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad: an error is what the engine refuses.
    pub severity: Severity,
    /// The rule of the catalogue.
    pub rule: RuleId,
    /// JSON pointer inside the body.
    pub pointer: String,
    /// Which part of the member.
    pub at: At,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// The change that mends it, where that is certain enough.
    pub change: Option<Change>,
}

/// Which part of a member a problem is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Its name.
    Key,
    /// Its value.
    Value,
    /// The bytes of its text from the first up to, not including, the second.
    Within(usize, usize),
}

/// A change of the written text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Another name for the member.
    Name(String),
    /// Another value, as JSON.
    Value(Value),
    /// The value as it is written, but as a text.
    Quote,
}

impl Problem {
    pub(super) fn new(
        severity: Severity,
        rule: RuleId,
        pointer: impl Into<String>,
        at: At,
        message: impl Into<String>,
    ) -> Self {
        let (pointer, message) = (pointer.into(), message.into());
        Self { severity, rule, pointer, at, message, hint: None, change: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Walks the whole body.
pub(super) fn judge(body: &Map<String, Value>) -> Vec<Problem> {
    let mut walk = Walk { pointer: String::new(), found: Vec::new() };
    walk.fields(BODY, body);
    walk.found
}

struct Walk {
    pointer: String,
    found: Vec<Problem>,
}

impl Walk {
    fn say(&mut self, severity: Severity, rule: RuleId, at: At, message: String) -> &mut Problem {
        let last = self.found.len();
        self.found.push(Problem::new(severity, rule, self.pointer.as_str(), at, message));
        &mut self.found[last]
    }

    fn refused(&mut self, at: At, message: String) -> &mut Problem {
        self.say(Severity::Error, "create-options-value", at, message)
    }

    /// The member as people name it, `HostConfig.Memory`.
    fn name(&self) -> String {
        let steps = self.pointer.split('/').skip(1);
        steps.map(|step| step.replace("~1", "/").replace("~0", "~")).collect::<Vec<_>>().join(".")
    }

    fn below(&mut self, step: &str, act: impl FnOnce(&mut Self)) {
        if self.found.len() > PROBLEMS {
            return;
        }
        let back = self.pointer.len();
        self.pointer.push('/');
        self.pointer.push_str(&escape(step));
        act(self);
        self.pointer.truncate(back);
    }

    fn value(&mut self, kind: &Kind, value: &Value) {
        match (kind, value) {
            // The engine takes null for "not said".
            (_, Value::Null)
            | (Kind::Any, _)
            | (Kind::Bool, Value::Bool(_))
            | (Kind::Text(super::body::Text::Any) | Kind::Words(super::body::Text::Any), Value::String(_)) => {
            }
            (Kind::Whole(bounds), Value::Number(number)) if !number.is_f64() => self.whole(*bounds, number),
            (Kind::Text(rules) | Kind::Words(rules), Value::String(found)) => {
                if let Some(wrong) = text::judge(*rules, found) {
                    let problem = self.refused(At::Within(wrong.start, wrong.end), wrong.message);
                    problem.severity = wrong.severity;
                    if wrong.severity != Severity::Error {
                        problem.rule = "create-options-idle";
                    }
                    problem.hint = wrong.near.as_ref().map(|near| format!("did you mean {near:?}?"));
                    problem.change = wrong.near.map(|near| Change::Value(Value::String(near)));
                }
            }
            (Kind::Words(rules), Value::Array(items)) => self.items(&Kind::Text(*rules), items),
            (Kind::List(inner), Value::Array(items)) => self.items(inner, items),
            (Kind::Map(names, inner), Value::Object(map)) => {
                for (name, value) in map {
                    self.below(name, |walk| {
                        walk.free_name(*names, name);
                        walk.value(inner, value);
                    });
                }
            }
            (Kind::Fields(fields), Value::Object(map)) => self.fields(fields, map),
            (kind, value) => self.wrong_type(kind, value),
        }
    }

    fn items(&mut self, kind: &Kind, items: &[Value]) {
        for (index, item) in items.iter().enumerate() {
            self.below(&index.to_string(), |walk| walk.value(kind, item));
        }
    }

    fn free_name(&mut self, names: Names, name: &str) {
        let wrong = match names {
            Names::Any => None,
            Names::Port => port::wrong_key(name, false),
            Names::Ports => port::wrong_key(name, true),
            Names::Path => (!name.starts_with('/'))
                .then(|| format!("the path in the container must be absolute, this is {name:?}")),
        };
        if let Some(message) = wrong {
            self.refused(At::Key, message);
        }
    }

    fn fields(&mut self, fields: &'static [Field], map: &Map<String, Value>) {
        // Names that a change gave to other members: no two may get the same.
        let mut named: Vec<&str> = Vec::new();
        for (name, value) in map {
            self.below(name, |walk| {
                if let Some(field) = fields.iter().find(|field| field.name == name) {
                    walk.value(&field.kind, value);
                } else if let Some(field) = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)) {
                    let message = format!(
                        "the engine's name is {:?}; it reads {name:?} as well, but layers are merged by the exact name",
                        field.name
                    );
                    let free = !map.contains_key(field.name) && !named.contains(&field.name);
                    walk.unknown(message, Some(field).filter(|_| free), value);
                    named.push(field.name);
                    walk.value(&field.kind, value);
                } else {
                    walk.unknown_field(fields, name, map, &mut named);
                }
            });
        }
    }

    fn unknown_field(
        &mut self,
        fields: &'static [Field],
        name: &str,
        map: &Map<String, Value>,
        named: &mut Vec<&'static str>,
    ) {
        let value = map.get(name).unwrap_or(&Value::Null);
        let top = self.pointer.matches('/').count() == 1;
        if top && matches!(name, "name" | "Name" | "platform" | "Platform") {
            let message =
                format!("{name} is no part of the body; the agent names the container after its module");
            self.say(Severity::Warning, "create-options-idle", At::Key, message).hint =
                Some("remove it".to_owned());
            return;
        }
        let free = |field: &&Field| !map.contains_key(field.name) && !named.contains(&field.name);
        let near = near(name, fields.iter().filter(free).map(|field| field.name));
        let near = near.and_then(|near| fields.iter().find(|field| field.name == near));
        let message = format!("the engine does not know {name:?} and passes over it");
        let in_host = HOST.iter().find(|field| top && field.name.eq_ignore_ascii_case(name));
        match (in_host, near) {
            (Some(field), _) => {
                self.unknown(message, None, value).hint =
                    Some(format!("{} belongs into HostConfig", field.name));
            }
            (None, near) => {
                named.extend(near.map(|field| field.name));
                self.unknown(message, near, value);
            }
        }
    }

    fn unknown(&mut self, message: String, near: Option<&'static Field>, value: &Value) -> &mut Problem {
        let fits = near.is_some_and(|field| {
            let mut walk = Self { pointer: self.pointer.clone(), found: Vec::new() };
            walk.value(&field.kind, value);
            !walk.found.iter().any(|problem| problem.severity == Severity::Error)
        });
        let near = near.map(|field| field.name);
        let problem = self.say(Severity::Warning, "create-options-field", At::Key, message);
        problem.hint = near.map(|near| format!("did you mean {near:?}?"));
        problem.change = near.filter(|_| fits).map(|near| Change::Name(near.to_owned()));
        problem
    }

    fn wrong_type(&mut self, kind: &Kind, value: &Value) {
        let expected = match kind {
            Kind::Any => "anything",
            Kind::Bool => "true or false",
            Kind::Whole(_) => "a whole number",
            Kind::Text(_) => "a text",
            Kind::Words(_) => "a text or a list of texts",
            Kind::List(Kind::Text(_)) => "a list of texts",
            Kind::List(_) => "a list",
            Kind::Map(..) | Kind::Fields(_) => "a mapping",
        };
        let message = format!("{} must be {expected}, this is {}", self.name(), text::words(value));
        let problem = self.say(Severity::Error, "create-options-type", At::Value, message);
        match (kind, value) {
            (Kind::Text(_) | Kind::Words(_), Value::Number(_) | Value::Bool(_)) => {
                problem.hint = Some("write it in quotes".to_owned());
                problem.change = Some(Change::Quote);
            }
            (Kind::Whole(bounds), Value::String(text)) => {
                let number = match bounds {
                    Whole::Nanoseconds => text::nanoseconds(text),
                    Whole::Memory | Whole::Any | Whole::Between(..) | Whole::ZeroOr(..) => text::bytes(text),
                };
                let unit = if matches!(bounds, Whole::Nanoseconds) { "nanoseconds" } else { "bytes" };
                if let Some(number) = number {
                    problem.hint = Some(match text.parse::<i64>() {
                        Ok(_) => "write it without quotes".to_owned(),
                        Err(_) => format!("write it in {unit}: {number}"),
                    });
                    problem.change = Some(Change::Value(number.into()));
                }
            }
            (Kind::Bool, Value::String(text)) if text == "true" || text == "false" => {
                problem.hint = Some("write it without quotes".to_owned());
                problem.change = Some(Change::Value(Value::Bool(text == "true")));
            }
            (Kind::List(Kind::Text(_)), Value::String(text)) => {
                problem.hint = Some("write it in brackets".to_owned());
                problem.change = Some(Change::Value(Value::Array(vec![Value::String(text.clone())])));
            }
            (_, _) => {}
        }
    }

    fn whole(&mut self, bounds: Whole, number: &serde_json::Number) {
        const MEMORY: i64 = 6 * 1024 * 1024;
        const MILLISECOND: i64 = 1_000_000;
        let name = self.name();
        let Some(number) = number.as_i64() else {
            self.refused(At::Value, format!("{name} is too large"));
            return;
        };
        let wrong = match bounds {
            Whole::Any => None,
            Whole::Between(0, i64::MAX) => (number < 0).then(|| format!("{name} cannot be negative")),
            Whole::Between(from, i64::MAX) => {
                (number < from).then(|| format!("{name} must be at least {from}"))
            }
            Whole::Between(from, to) => {
                (number < from || number > to).then(|| format!("{name} must be {from} to {to}"))
            }
            Whole::ZeroOr(from, i64::MAX) => {
                (number > 0 && number < from).then(|| format!("{name} must be 0 or at least {from}"))
            }
            Whole::ZeroOr(from, to) => (number != 0 && (number < from || number > to))
                .then(|| format!("{name} must be 0, or {from} to {to}")),
            Whole::Memory => (number < 0 || (number > 0 && number < MEMORY))
                .then(|| format!("{name} is in bytes: 0 for no limit, or at least {MEMORY} (6 MiB)")),
            Whole::Nanoseconds => (number < 0 || (number > 0 && number < MILLISECOND))
                .then(|| format!("{name} is in nanoseconds: 0, or at least {MILLISECOND} (1 ms)")),
        };
        let Some(message) = wrong else { return };
        let hint = match bounds {
            Whole::Memory if (6..=1024 * 1024).contains(&number) => {
                Some(format!("{number} MiB are {}", number * 1024 * 1024))
            }
            Whole::Nanoseconds if (1..=3600).contains(&number) => {
                Some(format!("{number} seconds are {}", number * 1_000_000_000))
            }
            Whole::Any | Whole::Between(..) | Whole::ZeroOr(..) | Whole::Memory | Whole::Nanoseconds => None,
        };
        self.refused(At::Value, message).hint = hint;
    }
}

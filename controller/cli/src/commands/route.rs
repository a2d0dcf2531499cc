//! `hem route test`: what a route or condition says about one message. Needs no hub.
//!
//! A text with FROM or INTO is a route of an edge hub, any other one a condition: of an edge hub too, or of a cloud-side
//! hub when a twin is given, because only that one knows the twin of the sender.

use std::{collections::BTreeMap, io::Write as _, path::Path, process::ExitCode};

use hemline_query::{
    Diagnostic,
    route::{Condition, Engine, Events, Outcome, Route, RouteMessage},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    args::{RouteCommand, RouteTest},
    error::{CommandError, exit},
    output,
};

/// Runs `hem route …`.
pub(crate) fn run(typed: &RouteCommand) -> Result<ExitCode, CommandError> {
    match typed {
        RouteCommand::Test(test) => try_out(test),
    }
}

/// The file of a message.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    #[serde(default)]
    properties: BTreeMap<String, Value>,
    #[serde(default)]
    system_properties: BTreeMap<String, Value>,
    body: Option<Value>,
}

/// The message as a route sees it.
#[derive(Debug)]
struct Message {
    source: String,
    properties: BTreeMap<String, Option<String>>,
    system: BTreeMap<String, Option<String>>,
    body: Option<Value>,
    twin: Option<Value>,
}

fn try_out(test: &RouteTest) -> Result<ExitCode, CommandError> {
    let twin: Option<Value> = test.twin.as_deref().map(|path| read(path, "twin")).transpose()?;
    let written: Written = read(&test.message, "message")?;
    let message = Message::new(written, twin)
        .map_err(|why| CommandError::Usage(format!("{}: {why}", test.message.display())))?;
    let text = test.route.as_str();
    let outcome = if is_route(text) {
        if message.twin.is_some() {
            say("note: an edge hub knows no twins, so --twin says nothing about a route");
        }
        Route::parse(text).map(|route| {
            warn(route.warnings(), text);
            let source = route.source();
            // Without a sender only the condition can be judged.
            if message.system("connectionModuleId").is_some() && !source.matches(&message.source) {
                say(&format!("note: the message comes from {}, which is not {source}", message.source));
                return Outcome::False;
            }
            route.evaluate(&message)
        })
    } else {
        let engine = if message.twin.is_some() { Engine::Hub } else { Engine::Edge };
        Condition::parse(text, engine, Events::Messages).map(|condition| {
            warn(condition.warnings(), text);
            condition.evaluate(&message)
        })
    };
    match outcome {
        Ok(outcome) => {
            output::text(match outcome {
                Outcome::True => "true\n",
                Outcome::False => "false\n",
                Outcome::Undefined => "undefined\n",
            })?;
            Ok(ExitCode::from(exit::SUCCESS))
        }
        Err(diagnostics) => {
            for diagnostic in &diagnostics {
                say(&told("error", diagnostic, text));
            }
            Ok(ExitCode::from(exit::FAILURE))
        }
    }
}

/// Does the text, its quoted parts aside, contain the words of a route?
fn is_route(text: &str) -> bool {
    let mut quote = None;
    let outside: String = text
        .chars()
        .map(|c| match quote {
            Some(open) => {
                if c == open {
                    quote = None;
                }
                ' '
            }
            None if matches!(c, '\'' | '"') => {
                quote = Some(c);
                ' '
            }
            None => c,
        })
        .collect();
    let mut words = outside.split_whitespace();
    let starts = outside.split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case("FROM"));
    // A property may be called `from`; a source starts with a slash.
    let sourced = outside.split_whitespace().nth(1).is_none_or(|word| word.starts_with('/'));
    (starts && sourced) || words.any(|word| word.eq_ignore_ascii_case("INTO"))
}

fn read<T: DeserializeOwned>(path: &Path, what: &str) -> Result<T, CommandError> {
    let text = std::fs::read(path).map_err(|source| CommandError::File {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_slice(&text)
        .map_err(|error| CommandError::Usage(format!("{} holds no {what}: {error}", path.display())))
}

fn warn(warnings: &[Diagnostic], text: &str) {
    for warning in warnings {
        say(&told("warning", warning, text));
    }
}

/// `error at 1:23: message`, and the line with carets.
fn told(word: &str, diagnostic: &Diagnostic, text: &str) -> String {
    let before = text.get(..diagnostic.span.start).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{word} at {line}:{column}: {}", diagnostic.render(text))
}

fn say(text: &str) {
    drop(writeln!(anstream::stderr(), "{text}"));
}

impl Message {
    fn new(written: Written, twin: Option<Value>) -> Result<Self, String> {
        let texts = |values: BTreeMap<String, Value>| -> Result<BTreeMap<String, Option<String>>, String> {
            values.into_iter().map(|(name, value)| Ok((name.clone(), scalar(&name, value)?))).collect()
        };
        let mut message = Self {
            source: String::new(),
            properties: texts(written.properties)?,
            system: texts(written.system_properties)?,
            body: None,
            twin,
        };
        message.source = match (message.system("connectionModuleId"), message.system("outputName")) {
            (None, _) => "/messages/".to_owned(),
            (Some(module), None) => format!("/messages/modules/{module}/"),
            (Some(module), Some(output)) => format!("/messages/modules/{module}/outputs/{output}/"),
        };
        message.body = written.body.filter(|_| message.has_json());
        Ok(message)
    }

    /// A hub reads a body only when type and encoding say that it is JSON. A file that says neither means JSON.
    fn has_json(&self) -> bool {
        let (kind, encoding) = (self.system("contentType"), self.system("contentEncoding"));
        if kind.is_none() && encoding.is_none() {
            return true;
        }
        let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
        let encoding = encoding.unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/json")
            && ["utf-8", "utf8", "utf-16", "utf-32"].iter().any(|known| encoding.eq_ignore_ascii_case(known))
    }
}

fn scalar(name: &str, value: Value) -> Result<Option<String>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Bool(flag) => Ok(Some(flag.to_string())),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::Array(_) | Value::Object(_) => Err(format!("the property {name:?} must be a text")),
    }
}

impl RouteMessage for Message {
    fn source(&self) -> &str {
        &self.source
    }

    fn property(&self, name: &str) -> Option<Option<&str>> {
        let mut known = self.properties.iter();
        known.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_deref())
    }

    fn system(&self, name: &str) -> Option<&str> {
        let mut known = self.system.iter();
        known.find(|(known, _)| known.eq_ignore_ascii_case(name)).and_then(|(_, value)| value.as_deref())
    }

    fn body(&self) -> Option<&Value> {
        self.body.as_ref()
    }

    fn twin(&self) -> Option<&Value> {
        self.twin.as_ref()
    }
}

//! `hem route test`: what a route or condition says about one message. Needs no hub.
//!
//! A text with FROM or INTO is a route of an edge hub, any other one a condition: of an edge hub too, or of a cloud-side
//! hub when a twin is given, because only that one knows the twin of the sender. A condition with
//! TWIN_CHANGE_INCLUDES is about a twin change, whose body is the message's.

mod message;

use std::{
    fs::File,
    io::{Read, Write as _},
    path::Path,
    process::ExitCode,
};

use hemline_query::{
    Diagnostic,
    route::{Condition, Engine, Events, Outcome, Route, RouteMessage as _},
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use self::message::{Message, Written};

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

/// Largest file that is read. A message has at most 256 KiB, a twin less.
const LARGEST: u64 = 4 << 20;

fn try_out(test: &RouteTest) -> Result<ExitCode, CommandError> {
    if is_stdin(&test.message) && test.twin.as_deref().is_some_and(is_stdin) {
        return Err(CommandError::Usage("only one of --message and --twin can be standard input".to_owned()));
    }
    let twin: Option<Map<String, Value>> = test.twin.as_deref().map(|path| read(path, "twin")).transpose()?;
    let written: Written = read(&test.message, "message")?;
    let message = Message::new(written, twin.map(Value::Object))
        .map_err(|why| CommandError::Usage(format!("{}: {why}", shown(&test.message))))?;
    for note in &message.notes {
        say(&format!("note: {note}"));
    }
    let text = test.route.as_str();
    if let Some(why) = message.no_body().filter(|_| mentions(text, "$body")) {
        say(&format!("note: $body is undefined, because {why}"));
    }
    let outcome = if is_route(text) {
        if message.has_twin() {
            say("note: an edge hub knows no twins, so --twin says nothing about a route");
        }
        Route::parse(text).map(|route| {
            warn(route.warnings(), text);
            let source = route.source();
            // Without a sender only the condition can be judged.
            if message.system("connectionModuleId").is_some() && !source.matches(message.source()) {
                say(&format!("note: the message comes from {}, which is not {source}", message.source()));
                return Outcome::False;
            }
            route.evaluate(&message)
        })
    } else {
        let engine = if message.has_twin() { Engine::Hub } else { Engine::Edge };
        let change = mentions(text, "twin_change_includes");
        let events = if change { Events::TwinChanges } else { Events::Messages };
        Condition::parse(text, engine, events).map(|condition| {
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

fn mentions(text: &str, word: &str) -> bool {
    text.to_ascii_lowercase().contains(word)
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn shown(path: &Path) -> String {
    if is_stdin(path) { "standard input".to_owned() } else { path.display().to_string() }
}

fn read<T: DeserializeOwned>(path: &Path, what: &str) -> Result<T, CommandError> {
    let mut bytes = Vec::new();
    let read = if is_stdin(path) {
        std::io::stdin().lock().take(LARGEST + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
    };
    let count =
        read.map_err(|source| CommandError::File { action: "read", path: path.to_owned(), source })?;
    let no = |why: String| CommandError::Usage(format!("{} holds no {what}: {why}", shown(path)));
    if count as u64 > LARGEST {
        return Err(no(format!("it is larger than {} MiB", LARGEST >> 20)));
    }
    if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        return Err(no("it is UTF-16; save it as UTF-8".to_owned()));
    }
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
    serde_json::from_slice(text).map_err(|error| no(error.to_string()))
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

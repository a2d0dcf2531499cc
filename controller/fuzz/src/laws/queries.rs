//! Queries, target conditions, and conditions of message routing.

use hemline_query::{
    route::{Condition, Engine, Events, Outcome},
    select::Query,
    target::TargetCondition,
};

use crate::{
    places::drawn,
    rows::{message, rows},
};

/// Reads bytes as a text of each dialect but routes.
///
/// # Panics
/// When a law is broken.
pub fn queries(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    select(text);
    target(text);
    for engine in [Engine::Edge, Engine::Hub] {
        for events in [Events::Messages, Events::TwinChanges] {
            condition(text, engine, events);
        }
    }
}

fn select(text: &str) {
    match Query::parse(text) {
        Err(found) => refused(&found, text),
        Ok(query) => {
            drawn(query.warnings(), text);
            let rows = rows();
            let answer = query.run(rows.iter());
            assert!(query.top().is_none_or(|top| answer.len() <= top));
            assert!(query.is_aggregated() || answer.len() <= rows.len());
            let printed = query.to_string();
            let again = Query::parse(&printed);
            assert_eq!(again.as_ref(), Ok(&query), "{printed}");
            if let Ok(again) = again {
                assert_eq!(again.to_string(), printed);
                assert_eq!(again.run(rows.iter()), answer, "{printed}");
            }
        }
    }
}

fn target(text: &str) {
    match TargetCondition::parse(text) {
        Err(found) => refused(&found, text),
        Ok(condition) => {
            drawn(condition.warnings(), text);
            let printed = condition.to_string();
            let again = TargetCondition::parse(&printed);
            assert_eq!(again.as_ref(), Ok(&condition), "{printed}");
            if let Ok(again) = again {
                assert_eq!(again.to_string(), printed);
                assert_eq!(again.reads_reported(), condition.reads_reported());
                for row in rows() {
                    assert_eq!(again.matches(&row), condition.matches(&row), "{printed}");
                }
            }
        }
    }
}

fn condition(text: &str, engine: Engine, events: Events) {
    match Condition::parse(text, engine, events) {
        Err(found) => refused(&found, text),
        Ok(condition) => {
            drawn(condition.warnings(), text);
            let said = condition.evaluate(&message());
            assert_eq!(condition.matches(&message()), said == Outcome::True);
            let printed = condition.to_string();
            let again = Condition::parse(&printed, engine, events);
            assert_eq!(again.as_ref(), Ok(&condition), "{printed}");
            if let Ok(again) = again {
                assert_eq!(again.to_string(), printed);
                assert_eq!(again.evaluate(&message()), said, "{printed}");
            }
        }
    }
}

/// A refusal has a reason.
fn refused(found: &[hemline_query::Diagnostic], text: &str) {
    assert!(!found.is_empty(), "refused without a word: {text:?}");
    drawn(found, text);
}

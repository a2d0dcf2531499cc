//! Routes of an edge hub.

use hemline_query::route::{Outcome, Route};

use crate::{
    places::{drawn, inside},
    rows::message,
};

/// Reads bytes as a route.
///
/// # Panics
/// When a law is broken.
pub fn routes(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let route = match Route::parse(text) {
        Ok(route) => route,
        Err(found) => {
            assert!(!found.is_empty(), "refused without a word: {text:?}");
            return drawn(&found, text);
        }
    };
    drawn(route.warnings(), text);
    inside(route.sink_span(), text);
    inside(route.source().span(), text);
    assert_eq!(
        text.get(route.source().span().start..route.source().span().end),
        Some(route.source().as_str())
    );
    for (span, name) in
        [(route.source_module_span(), route.source_module()), (route.sink_module_span(), sink(&route))]
    {
        assert_eq!(span.is_some(), name.is_some(), "{route:?}");
        if let (Some(span), Some(name)) = (span, name) {
            assert_eq!(text.get(span.start..span.end), Some(name), "{route:?}");
        }
    }
    let said = route.evaluate(&message());
    assert!(!route.matches(&message()) || said == Outcome::True);
    let printed = route.to_string();
    let again = Route::parse(&printed);
    assert_eq!(again.as_ref(), Ok(&route), "{printed}");
    if let Ok(again) = again {
        assert_eq!(again.to_string(), printed);
        assert_eq!(again.evaluate(&message()), said, "{printed}");
        assert_eq!(again.matches(&message()), route.matches(&message()), "{printed}");
    }
}

fn sink(route: &Route) -> Option<&str> {
    match route.sink() {
        hemline_query::route::Sink::Upstream => None,
        hemline_query::route::Sink::Module { module, .. } => Some(module),
    }
}

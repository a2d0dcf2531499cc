//! `cargo bench -p hemline-query`: what it costs to ask a route about a message. Prints one line per route: nanoseconds (the
//! median of many batches) and allocations, which are counted and must be none.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a measurement talks to a terminal and stops when it fails"
)]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use hemline_query::{
    Scratch,
    route::{Outcome, Route, RouteMessage},
};
use serde_json::{Value, json};

/// From the shortest to the longest that fleets use; all are true for the message.
const ROUTES: [(&str, &str); 5] = [
    ("all messages of a module", "FROM /messages/modules/camera/* INTO $upstream"),
    ("a property", "FROM /messages/modules/camera/outputs/frames WHERE kind = 'press' INTO $upstream"),
    (
        "a property as number",
        "FROM /messages/* WHERE AS_NUMBER(severity) >= 2 AND NOT IS_DEFINED(muted) INTO $upstream",
    ),
    (
        "the body",
        "FROM /messages/* WHERE $body.machine.temperature > 40 AND $body.machine.kind = 'press' INTO $upstream",
    ),
    (
        "functions over texts",
        "FROM /messages/* WHERE CONTAINS(LOWER($body.machine.name), 'hall') AND STARTS_WITH(kind, 'pr') INTO $upstream",
    ),
];
const BATCHES: usize = 300;
const IN_BATCH: u32 = 2_000;

struct Message {
    body: Value,
}

impl RouteMessage for Message {
    fn source(&self) -> &str {
        "/messages/modules/camera/outputs/frames/"
    }

    fn property(&self, name: &str) -> Option<Option<&str>> {
        let all = [("kind", "press"), ("severity", "3"), ("line", "7")];
        all.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| Some(*value))
    }

    fn system(&self, _: &str) -> Option<&str> {
        None
    }

    fn body(&self) -> Option<&Value> {
        Some(&self.body)
    }
}

fn main() {
    let body =
        json!({"machine": {"kind": "press", "name": "Press 7, Hall B", "temperature": 71.5, "on": true}});
    let message = Message { body };
    let mut scratch = Scratch::default();
    for (what, text) in ROUTES {
        let route = Route::parse(text).expect("a route");
        assert_eq!(route.evaluate_in(&message, &mut scratch), Outcome::True, "{text}");
        let counted = allocation_counter::measure(|| {
            black_box(route.evaluate_in(black_box(&message), &mut scratch));
        });
        let mut batches: Vec<Duration> = (0..BATCHES)
            .map(|_| {
                let begin = Instant::now();
                for _ in 0..IN_BATCH {
                    black_box(route.evaluate_in(black_box(&message), &mut scratch));
                }
                begin.elapsed() / IN_BATCH
            })
            .collect();
        batches.sort_unstable();
        let median = batches.get(BATCHES / 2).copied().unwrap_or_default();
        println!(
            "| route evaluation: {what} | {} ns, {} allocations |",
            median.as_nanos(),
            counted.count_total
        );
    }
}

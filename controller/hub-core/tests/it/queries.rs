//! Queries in pages (reference service-api §4.4, query-language §3.5, §3.6).

use hemline_hub_core::service::{DeviceSettings, IfMatch, ServiceError, ServiceReply, ServiceRequest};
use serde_json::{Value, json};

use super::world::{World, id, map};

fn world() -> World {
    let mut world = World::new();
    for (name, site) in [("a", "lyon"), ("b", "oslo"), ("c", "lyon")] {
        world.add_device(name, DeviceSettings { edge: Some(name == "c"), ..DeviceSettings::default() });
        world
            .call(ServiceRequest::PatchTwin {
                client: id(name),
                tags: Some(map(json!({"site": site}))),
                desired: None,
                if_match: IfMatch::Any,
            })
            .unwrap();
    }
    world.add_module("a/m");
    world
}

fn page(
    world: &mut World,
    text: &str,
    page_size: usize,
    continuation: Option<String>,
) -> (&'static str, Vec<Value>, Option<String>) {
    let asked = ServiceRequest::Query { text: text.to_owned(), page_size, continuation };
    match world.call(asked) {
        Ok(ServiceReply::Rows { item_type, rows, continuation }) => (item_type, rows, continuation),
        other => panic!("{text}: {other:?}"),
    }
}

/// All pages; every page but the last is full, and the last has no continuation.
fn all(world: &mut World, text: &str, size: usize) -> Vec<Vec<Value>> {
    let mut pages = Vec::new();
    let mut token = None;
    loop {
        let (_, rows, next) = page(world, text, size, token);
        pages.push(rows);
        match next {
            None => return pages,
            Some(_) => assert_eq!(pages.last().unwrap().len(), size),
        }
        token = next;
    }
}

#[test]
fn pages_look_ahead() {
    let mut world = world();
    for (text, size, expected) in [
        ("SELECT deviceId FROM devices", 1, json!([["a"], ["b"], ["c"]])),
        ("SELECT deviceId FROM devices", 2, json!([["a", "b"], ["c"]])),
        ("SELECT deviceId FROM devices", 3, json!([["a", "b", "c"]])),
        ("SELECT deviceId FROM devices WHERE tags.site = 'lyon'", 1, json!([["a"], ["c"]])),
        ("SELECT deviceId FROM devices WHERE tags.site = 'rome'", 1, json!([[]])),
        ("SELECT TOP 2 deviceId FROM devices", 1, json!([["a"], ["b"]])),
        ("SELECT TOP 1 deviceId FROM devices", 5, json!([["a"]])),
        ("SELECT * FROM devices WHERE deviceId IN ['a', 'b']", 1, json!([["a"], ["b"]])),
        ("select * from devices where capabilities.iotEdge = true", 10, json!([["c"]])),
        ("SELECT deviceId FROM devices.modules", 2, json!([["a", "c"], ["c"]])),
        ("SELECT * FROM devices.jobs", 2, json!([[]])),
    ] {
        let pages: Vec<Vec<Value>> = all(&mut world, text, size)
            .into_iter()
            .map(|rows| rows.into_iter().map(|row| row["deviceId"].clone()).collect())
            .collect();
        assert_eq!(json!(pages), expected, "{text} by {size}");
    }
}

#[test]
fn kinds_and_counts() {
    let mut world = world();
    assert_eq!(page(&mut world, "SELECT * FROM devices", 1, None).0, "Twin");
    assert_eq!(page(&mut world, "SELECT * FROM devices.modules", 1, None).0, "Twin");
    // There are no jobs yet; the answer has their shape all the same.
    assert_eq!(page(&mut world, "SELECT * FROM devices.jobs", 1, None), ("DeviceJob", vec![], None));
    let (kind, rows, next) = page(&mut world, "SELECT COUNT() AS n FROM devices", 1, None);
    assert_eq!((kind, rows, next), ("Raw", vec![json!({"n": 3})], None));
    let (_, rows, next) =
        page(&mut world, "SELECT tags.site AS s, COUNT() AS n FROM devices GROUP BY tags.site", 1, None);
    assert_eq!((rows, next), (vec![json!({"s": "lyon", "n": 2}), json!({"s": "oslo", "n": 1})], None));
}

#[test]
fn a_change_between_pages_neither_repeats_nor_skips() {
    let mut world = world();
    let (_, _, token) = page(&mut world, "SELECT deviceId FROM devices", 1, None);
    world.call(ServiceRequest::DeleteIdentity { client: id("a"), if_match: IfMatch::Any }).unwrap();
    world.add_device("aa", DeviceSettings::default());
    let (_, rows, _) = page(&mut world, "SELECT deviceId FROM devices", 5, token);
    assert_eq!(rows, [json!({"deviceId": "aa"}), json!({"deviceId": "b"}), json!({"deviceId": "c"})]);
}

#[test]
fn what_is_no_query() {
    let mut world = world();
    let mut ask = |text: &str, continuation: Option<&str>| {
        let continuation = continuation.map(str::to_owned);
        world.call(ServiceRequest::Query { text: text.to_owned(), page_size: 1, continuation })
    };
    assert_eq!(ask(" ", None), Err(ServiceError::ArgumentNull("query")));
    let long = format!("SELECT * FROM devices WHERE deviceId = '{}'", "x".repeat(9000));
    for (text, token) in [("SELECT", None), (long.as_str(), None), ("SELECT * FROM devices", Some("mine"))] {
        assert!(matches!(ask(text, token), Err(ServiceError::ArgumentInvalid(_))), "{text} {token:?}");
    }
}

#[test]
fn a_mistake_is_told_with_its_place() {
    let mut world = world();
    let text = "SELECT * FROM devices WHERE tags.site == 'lyon' AND startwith(deviceId, 'p')".to_owned();
    let asked = ServiceRequest::Query { text, page_size: 1, continuation: None };
    let Err(ServiceError::ArgumentInvalid(told)) = world.call(asked) else { panic!("it is accepted") };
    assert_eq!(
        told,
        "`==` is not an operator of this language\n\
         1 | SELECT * FROM devices WHERE tags.site == 'lyon' AND startwith(deviceId, 'p')\n  \
         |                                       ^^ write `=`\n\n\
         unknown function startwith\n\
         1 | SELECT * FROM devices WHERE tags.site == 'lyon' AND startwith(deviceId, 'p')\n  \
         |                                                     ^^^^^^^^^ did you mean STARTSWITH?"
    );
}

//! `$edgeHub` of a manifest → routes, queue and topic policy of a document (reference edge-runtime §1.6).

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    Notes, Section,
    notes::{escape, words},
    section::Part,
};
use crate::document::{Broker, Route, RouteObject, StoreAndForward};

/// The longest time that a document can say; about 68 years.
const FOR_EVER: &str = "2147483647s";

/// What the hub of a device has to know.
#[derive(Default)]
pub(super) struct Hub {
    pub(super) routes: BTreeMap<String, Route>,
    pub(super) store_and_forward: Option<StoreAndForward>,
    pub(super) broker: Option<Broker>,
}

pub(super) fn read(section: &Section, layered: bool, notes: &mut Notes<'_>) -> Hub {
    let root = section.root();
    root.unknown(
        &["schemaVersion", "routes", "storeAndForwardConfiguration", "mqttBroker", "integrity"],
        notes,
    );
    if root.get("integrity").is_some() {
        notes.dropped(&root.pointer("integrity"), "the signature of the manifest is left out");
    }
    let version = schema_version(&root, layered, notes);
    Hub {
        routes: routes(&root, version.as_deref() == Some("1.0"), notes),
        store_and_forward: store(&root, notes),
        broker: broker(&root, notes),
    }
}

fn schema_version(root: &Part<'_>, layered: bool, notes: &mut Notes<'_>) -> Option<String> {
    let pointer = root.pointer("schemaVersion");
    match root.text("schemaVersion", notes) {
        Some(version) => {
            let known = ["1.0", "1.1", "1.2", "1.3"].into_iter().find(|known| {
                version.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            });
            if known.is_none() {
                let message = format!("schemaVersion {version:?} of $edgeHub is not known");
                notes.error("azure-schema-version", &pointer, message).hint =
                    Some("use 1.0, 1.1, 1.2 or 1.3".to_owned());
            }
            known.map(str::to_owned)
        }
        None if layered || root.get("schemaVersion").is_some() => None,
        None => {
            notes.warning("azure-schema-version", &pointer, "$edgeHub has no schemaVersion; read as 1.1");
            None
        }
    }
}

fn routes(root: &Part<'_>, blank_is_none: bool, notes: &mut Notes<'_>) -> BTreeMap<String, Route> {
    let mut routes = BTreeMap::new();
    let Some(all) = root.object("routes", notes) else { return routes };
    notes.came("/spec/routes", root.pointer("routes"));
    for name in all.map.keys() {
        let (at, pointer) = (format!("/spec/routes/{}", escape(name)), all.pointer(name));
        let route = match all.get(name) {
            None => {
                let message =
                    format!("the route {name:?} is removed by this layer; a document cannot do that");
                notes.dropped(&pointer, message);
                continue;
            }
            Some(Value::String(text)) if blank_is_none && text.trim().is_empty() => {
                notes.note(
                    "azure-blank-route",
                    &pointer,
                    format!("the route {name:?} is blank, which is no route"),
                );
                continue;
            }
            Some(Value::String(text)) => {
                notes.came(at, pointer);
                Route::Text(text.clone())
            }
            Some(Value::Object(_)) => {
                let Some(part) = all.object(name, notes) else { continue };
                match with_settings(&at, &part, notes) {
                    Some(route) => route,
                    None => continue,
                }
            }
            Some(other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_))) => {
                let message = format!("a route is a text or an object, this is {}", words(other));
                notes.error("azure-value", &pointer, message);
                continue;
            }
        };
        routes.insert(name.clone(), route);
    }
    routes
}

fn with_settings(at: &str, part: &Part<'_>, notes: &mut Notes<'_>) -> Option<Route> {
    part.unknown(&["route", "priority", "timeToLiveSecs"], notes);
    part.trail(at, notes);
    notes.came(format!("{at}/route"), part.pointer("route"));
    notes.came(format!("{at}/priority"), part.pointer("priority"));
    notes.came(format!("{at}/timeToLive"), part.pointer("timeToLiveSecs"));
    if part.get("route").is_none() {
        notes.error("azure-value", &part.pointer("route"), "the object has no \"route\"");
    }
    let priority = part.whole_number("priority", notes);
    let priority = priority.and_then(|number| match u32::try_from(number) {
        Ok(number @ 0..=9) => Some(number),
        Ok(_) | Err(_) => {
            let message = format!("the priority {number} is not 0 to 9");
            notes.error("azure-value", &part.pointer("priority"), message);
            None
        }
    });
    let time_to_live = seconds(part, "timeToLiveSecs", notes);
    let route = part.text("route", notes)?.to_owned();
    Some(match (priority, &time_to_live) {
        (None, None) => {
            notes.came(at, part.pointer("route"));
            Route::Text(route)
        }
        (Some(_), _) | (None, Some(_)) => Route::Object(RouteObject { route, priority, time_to_live }),
    })
}

fn store(root: &Part<'_>, notes: &mut Notes<'_>) -> Option<StoreAndForward> {
    let part = root.object("storeAndForwardConfiguration", notes)?;
    part.unknown(&["timeToLiveSecs", "storeLimits"], notes);
    if part.get("storeLimits").is_some() {
        notes
            .dropped(&part.pointer("storeLimits"), "storeLimits are left out; the hub has limits of its own");
    }
    notes.came("/spec/storeAndForward/timeToLive", part.pointer("timeToLiveSecs"));
    seconds(&part, "timeToLiveSecs", notes).map(|time_to_live| StoreAndForward { time_to_live })
}

/// Seconds as a duration that reads well and means the same.
fn seconds(part: &Part<'_>, key: &str, notes: &mut Notes<'_>) -> Option<String> {
    let number = part.whole_number(key, notes)?;
    Some(match number {
        ..0 => {
            let message = format!("{number} means for ever; {FOR_EVER} (68 years) takes its place");
            notes.warning("azure-for-ever", &part.pointer(key), message);
            FOR_EVER.to_owned()
        }
        0 => "0s".to_owned(),
        _ if number % 86_400 == 0 => format!("{}d", number / 86_400),
        _ if number % 3600 == 0 => format!("{}h", number / 3600),
        _ if number % 60 == 0 => format!("{}m", number / 60),
        _ => format!("{number}s"),
    })
}

fn broker(root: &Part<'_>, notes: &mut Notes<'_>) -> Option<Broker> {
    let part = root.object("mqttBroker", notes)?;
    part.unknown(&["authorizations", "bridges"], notes);
    let broker = Broker {
        authorizations: entries(&part, "authorizations", "a statement", notes),
        bridges: entries(&part, "bridges", "a bridge", notes),
    };
    (broker != Broker::default()).then_some(broker)
}

fn entries<T: DeserializeOwned>(part: &Part<'_>, list: &str, what: &str, notes: &mut Notes<'_>) -> Vec<T> {
    let pointer = part.pointer(list);
    let mut read = Vec::new();
    match part.get(list) {
        None => {}
        Some(Value::Array(entries)) => {
            for (index, entry) in entries.iter().enumerate() {
                let pointer = format!("{pointer}/{index}");
                match T::deserialize(entry) {
                    Ok(entry) => {
                        notes.came(format!("/spec/broker/{list}/{}", read.len()), pointer);
                        read.push(entry);
                    }
                    Err(why) => {
                        let message = format!("this is not {what} of the topic policy: {why}");
                        notes.error("azure-value", &pointer, message);
                    }
                }
            }
        }
        Some(other) => {
            let message = format!("{list} are a list, this is {}", words(other));
            notes.error("azure-value", &pointer, message);
        }
    }
    notes.came(format!("/spec/broker/{list}"), pointer);
    read
}

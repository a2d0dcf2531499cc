//! Every rollout is over, or there is none: is another one about to come? After a push there is none for a moment, and who
//! watches wants to see it begin.

use jiff::Timestamp;
use serde_json::Value;

use super::super::review::short;

/// What comes next while no rollout is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Awaited {
    /// There is something to wait for: what, for people.
    Yes(String),
    /// Nothing comes by itself.
    No,
    /// Nor does anything come of the newest revision, and why.
    Refused(String),
}

/// `controller` is the report of the newest pass as `/api/v1/status` has it, null before the first. `asked` is when the hub was
/// asked to look at the source: what was pushed before is known when it has looked after that.
pub(super) fn awaited(controller: &Value, asked: Option<Timestamp>) -> Awaited {
    if controller.is_null() {
        return Awaited::Yes(
            "waiting for the controller to look at the source for the first time".to_owned(),
        );
    }
    let named = |field: &str| controller.get(field).and_then(Value::as_str);
    let looked = named("looked").and_then(|text| text.parse::<Timestamp>().ok());
    if let Some(asked) = asked
        && looked.is_none_or(|looked| looked < asked)
    {
        return Awaited::Yes(match unreadable(controller) {
            Some((source, why)) => format!("waiting for the source {source}: {why}"),
            None => "waiting for the hub to look at its source".to_owned(),
        });
    }
    if let Some(waiting) = named("waiting") {
        let short = short(waiting);
        return Awaited::Yes(format!("waiting for somebody to apply revision {short}: `hem apply`"));
    }
    // Nobody has to wait for what was refused or went back: another commit must come first.
    let newest = named("attempted").map_or_else(|| "-".to_owned(), short);
    let refused = |finding: &&Value| finding.get("severity").and_then(Value::as_str) == Some("error");
    let findings =
        controller.get("findings").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if let Some(first) = findings.iter().find(refused) {
        let why = first.get("message").and_then(Value::as_str).unwrap_or_default();
        return Awaited::Refused(format!("revision {newest} was refused: {why}; `hem status` says where"));
    }
    if let Some(revert) = controller.get("revert").filter(|revert| !revert.is_null()) {
        let why = revert.get("reason").and_then(Value::as_str).unwrap_or_default();
        return Awaited::Refused(format!(
            "revision {newest} went back: {why}; it is not rolled out again until its documents change"
        ));
    }
    let Some(attempted) = named("attempted") else { return Awaited::No };
    let (new, said) = (named("revision") != Some(attempted), short(attempted));
    // In force, but not yet done: the pass that takes it to the devices comes again.
    let errors = controller.get("errors").and_then(Value::as_array).is_some_and(|errors| !errors.is_empty());
    if new || errors {
        return Awaited::Yes(format!("waiting for revision {said}, which was read and is not in force yet"));
    }
    Awaited::No
}

/// The first source that cannot be read, and why.
fn unreadable(controller: &Value) -> Option<(&str, &str)> {
    let trouble = controller.get("trouble")?.as_array()?;
    let reads = |one: &&Value| {
        let reason = one.get("reason").and_then(Value::as_str);
        matches!(reason, Some("unreachable" | "denied" | "untrusted" | "missing" | "unreadable"))
    };
    let one = trouble.iter().find(reads)?;
    Some((one.get("source")?.as_str()?, one.get("message")?.as_str()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What it says, with one letter for whether that ends a watch.
    fn says(controller: &Value, asked: Option<&str>) -> String {
        match awaited(controller, asked.map(|text| text.parse().unwrap())) {
            Awaited::Yes(what) => format!("waits: {what}"),
            Awaited::No => "ends".to_owned(),
            Awaited::Refused(why) => format!("fails: {why}"),
        }
    }

    #[test]
    fn it_waits_for_what_comes_and_for_nothing_else() {
        let (one, two) = ("1111111aaaa", "2222222bbbb");
        let error = json!([{"severity": "warning", "message": "hm"}, {"severity": "error", "message": "no"}]);
        for (controller, wanted) in [
            (json!(null), "for the first time"),
            (json!({"revision": one, "attempted": two, "findings": [], "errors": []}), "revision 2222222,"),
            (json!({"revision": null, "attempted": one}), "revision 1111111,"),
            (
                json!({"revision": one, "attempted": two, "findings": [{"severity": "warning"}]}),
                "revision 2222222,",
            ),
            (
                json!({"revision": one, "attempted": one, "errors": ["the hub does not answer"]}),
                "not in force yet",
            ),
            (json!({"revision": one, "attempted": two, "waiting": two}), "`hem apply`"),
        ] {
            let found = says(&controller, None);
            assert!(found.starts_with("waits: ") && found.contains(wanted), "{controller}: {found}");
        }
        for controller in [
            // In force, and nothing of it is rolled out in waves.
            json!({"revision": one, "attempted": one, "errors": [], "findings": []}),
            json!({"revision": null, "attempted": null}),
        ] {
            assert_eq!(says(&controller, None), "ends", "{controller}");
        }
        // The fleet stays as it is until somebody mends it.
        for (controller, wanted) in [
            (
                json!({"revision": one, "attempted": two, "findings": error}),
                "fails: revision 2222222 was refused: no;",
            ),
            (
                json!({"revision": one, "attempted": two, "revert": {"quarantined": two, "reason": "it fell over"}}),
                "fails: revision 2222222 went back: it fell over;",
            ),
        ] {
            let found = says(&controller, None);
            assert!(found.starts_with(wanted), "{controller}: {found}");
        }
    }

    #[test]
    fn it_waits_until_the_source_was_looked_at_after_it_was_asked() {
        let at =
            |looked: Option<&str>| json!({"revision": "1111111", "attempted": "1111111", "looked": looked});
        let asked = Some("2026-11-21T12:00:00.5Z");
        for (looked, wanted) in [
            (None, "waits: waiting for the hub"),
            (Some("2026-11-21T12:00:00.4Z"), "waits: waiting for the hub"),
            (Some("2026-11-21T12:00:00.5Z"), "ends"),
            (Some("2026-11-21T12:00:01Z"), "ends"),
        ] {
            assert!(says(&at(looked), asked).starts_with(wanted), "{looked:?}");
            assert_eq!(says(&at(looked), None), "ends", "nobody asked");
        }
        let mut away = at(None);
        away["trouble"] = json!([
            {"source": "default", "reason": "status", "message": "status is not written"},
            {"source": "guests", "reason": "denied", "message": "the last good revision stays: 401"},
        ]);
        assert_eq!(
            says(&away, asked),
            "waits: waiting for the source guests: the last good revision stays: 401"
        );
    }
}

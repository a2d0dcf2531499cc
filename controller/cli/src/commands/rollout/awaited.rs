//! No rollout yet: is one about to come? Right after a push there is none for a moment, and who watches wants to see it begin.

use serde_json::Value;

use super::super::review::short;

/// What there is to wait for while there is no rollout, for people; `None` when none will come by itself.
///
/// `controller` is the report of the newest pass as `/api/v1/status` has it, null before the first.
pub(super) fn awaited(controller: &Value) -> Option<String> {
    if controller.is_null() {
        return Some("waiting for the controller to look at the source for the first time".to_owned());
    }
    let named = |field: &str| controller.get(field).and_then(Value::as_str);
    if let Some(waiting) = named("waiting") {
        let short = short(waiting);
        return Some(format!("waiting for somebody to apply revision {short}: `hem apply`"));
    }
    // Nobody has to wait for what was refused or went back: another commit must come first.
    let refused = |finding: &Value| finding.get("severity").and_then(Value::as_str) == Some("error");
    let findings = controller.get("findings").and_then(Value::as_array);
    if findings.is_some_and(|findings| findings.iter().any(refused))
        || controller.get("revert").is_some_and(|revert| !revert.is_null())
    {
        return None;
    }
    let attempted = named("attempted")?;
    let (new, said) = (named("revision") != Some(attempted), short(attempted));
    // In force, but not yet done: the pass that takes it to the devices comes again.
    let errors = controller.get("errors").and_then(Value::as_array).is_some_and(|errors| !errors.is_empty());
    (new || errors).then(|| format!("waiting for revision {said}, which was read and is not in force yet"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_waits_for_what_comes_and_for_nothing_else() {
        let (one, two) = ("1111111aaaa", "2222222bbbb");
        let error = json!([{"severity": "error", "message": "no"}]);
        for (controller, wanted) in [
            (json!(null), Some("for the first time")),
            (
                json!({"revision": one, "attempted": two, "findings": [], "errors": []}),
                Some("revision 2222222,"),
            ),
            (json!({"revision": null, "attempted": one}), Some("revision 1111111,")),
            (
                json!({"revision": one, "attempted": two, "findings": [{"severity": "warning"}]}),
                Some("revision 2222222,"),
            ),
            (
                json!({"revision": one, "attempted": one, "errors": ["the hub does not answer"]}),
                Some("not in force yet"),
            ),
            (json!({"revision": one, "attempted": two, "waiting": two}), Some("`hem apply`")),
            // In force, and nothing of it is rolled out in waves.
            (json!({"revision": one, "attempted": one, "errors": [], "findings": []}), None),
            // Refused: the fleet stays as it is until somebody mends it.
            (json!({"revision": one, "attempted": two, "findings": error}), None),
            (json!({"revision": one, "attempted": two, "revert": {"quarantined": two}}), None),
            (json!({"revision": null, "attempted": null}), None),
        ] {
            let found = awaited(&controller);
            let fits = match (&found, wanted) {
                (Some(found), Some(wanted)) => found.contains(wanted),
                (found, wanted) => found.is_none() && wanted.is_none(),
            };
            assert!(fits, "{controller}: {found:?}, not {wanted:?}");
        }
    }
}

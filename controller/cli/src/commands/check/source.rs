//! The source is read, its newest revision is in force, and people hear of it: no trouble of the controller.

use serde_json::Value;

use super::{scene::Scene, verdict::Verdict};

pub(super) fn check(scene: &Scene) -> Verdict {
    match &scene.status {
        Ok(status) => judge(&status.controller),
        Err(_) => Verdict::Skipped("no hub answers; see hub-running".to_owned()),
    }
}

fn judge(controller: &Value) -> Verdict {
    if controller.is_null() {
        return Verdict::Skipped("the controller has not looked at its source yet".to_owned());
    }
    let source = controller.get("source").and_then(Value::as_str).unwrap_or("the source");
    let trouble = controller.get("trouble").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let told: Vec<&str> =
        trouble.iter().filter_map(|one| one.get("message").and_then(Value::as_str)).collect();
    match told.as_slice() {
        [] => Verdict::Ok(format!("{source} is read, and its newest revision is in force")),
        [first, rest @ ..] => {
            let more = if rest.is_empty() { String::new() } else { format!(" (and {} more)", rest.len()) };
            Verdict::error(format!("{source}: {first}{more}"), "`hem status` tells all of it")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn trouble_is_an_error() {
        let judged = [
            Value::Null,
            json!({"source": "git", "trouble": []}),
            json!({"source": "git", "trouble": [{"message": "401"}, {"message": "x"}]}),
        ]
        .map(|controller| judge(&controller));
        assert!(matches!(judged[0], Verdict::Skipped(_)));
        assert!(matches!(judged[1], Verdict::Ok(_)));
        assert_eq!(judged[2], Verdict::error("git: 401 (and 1 more)", "`hem status` tells all of it"));
    }
}

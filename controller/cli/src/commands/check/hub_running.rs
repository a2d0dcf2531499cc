//! A hub runs and answers.

use super::{scene::Scene, verdict::Verdict};

pub(super) fn check(scene: &Scene) -> Verdict {
    match (&scene.hub, &scene.status) {
        (Err(error), _) => {
            Verdict::error(error.clone(), "then run this again: most of it looks at a running hub")
        }
        (Ok(hub), Err(error)) => Verdict::error(
            format!("{} does not answer: {error}", hub.name),
            "the checks that connect tell where it ends; the log of `hem up` tells why",
        ),
        (Ok(hub), Ok(status)) => {
            let devices = match status.devices.len() {
                1 => "1 device".to_owned(),
                count => format!("{count} devices"),
            };
            Verdict::Ok(format!("{} answers and knows {devices}", hub.name))
        }
    }
}

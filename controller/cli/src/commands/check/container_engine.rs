//! A container engine answers. Without one, modules that are processes run all the same.

use hemline_agent::EngineFacts;

use super::{scene::Scene, verdict::Verdict};

pub(super) async fn check(scene: &Scene) -> Verdict {
    judge(hemline_agent::engine_facts(scene.docker.as_deref()).await, scene.docker.is_some())
}

/// `named`: the user says that there is one.
fn judge(found: Result<EngineFacts, String>, named: bool) -> Verdict {
    match found {
        Ok(EngineFacts { version, logging, socket }) => {
            // The agent bounds what it starts (reference edge-runtime §11).
            Verdict::Ok(format!("{version} at {socket}, logs by {logging}"))
        }
        Err(error) if named => Verdict::error(error, "is it started, and may this user write to its socket?"),
        Err(error) => Verdict::warning(
            error,
            "modules that are containers do not run here; start Docker or Podman, or leave it out with --dont-run",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_a_warning_unless_one_was_named() {
        let none = || Err("no socket".to_owned());
        assert!(matches!(judge(none(), false), Verdict::Warning { .. }));
        assert!(matches!(judge(none(), true), Verdict::Error { .. }));
    }
}

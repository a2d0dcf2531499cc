//! The hub is of the same version as this program.

use super::{scene::Scene, verdict::Verdict};

pub(super) fn check(scene: &Scene) -> Verdict {
    match &scene.status {
        Ok(status) => judge(&status.version, env!("CARGO_PKG_VERSION")),
        Err(_) => Verdict::Skipped("no hub answers; see hub-running".to_owned()),
    }
}

fn judge(hub: &str, own: &str) -> Verdict {
    if hub == own {
        return Verdict::Ok(format!("both are {own}"));
    }
    Verdict::warning(
        format!("the hub is {hub}, this program is {own}"),
        "restart the hub with the newer program; commands of another version may not know all of it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_is_worth_a_word() {
        assert!(matches!(judge("0.1.0", "0.1.0"), Verdict::Ok(_)));
        assert!(matches!(judge("0.1.0", "0.2.0"), Verdict::Warning { .. }));
    }
}

//! The hub's certificate lives on and holds the name that stands in connection strings. It is made anew when the hub starts with
//! less than thirty days left, so only one that runs for two years can come near the end.

use hemline_hub::pki::{CertificateFacts, facts};
use jiff::Timestamp;

use super::{dial, scene::Scene, verdict::Verdict};

/// Time to plan a restart.
const SOON_DAYS: i64 = 30;

pub(super) async fn check(scene: &Scene) -> Verdict {
    let hub = match scene.hub() {
        Ok(hub) => hub,
        Err(why) => return Verdict::Skipped(why.to_owned()),
    };
    let Ok(connection) = dial::open(hub, hub.mqtt).await else {
        return Verdict::Skipped("no connection shows it; see host-connect-hub-mqtt".to_owned());
    };
    let Some(shown) = dial::shown(&connection) else {
        return Verdict::Skipped("the connection shows none".to_owned());
    };
    judge(facts(&shown).map_err(|error| error.to_string()), &hub.name, Timestamp::now())
}

fn judge(found: Result<CertificateFacts, String>, name: &str, now: Timestamp) -> Verdict {
    let facts = match found {
        Ok(facts) => facts,
        Err(error) => return Verdict::error(error, "remove server.pem and server.key, and restart the hub"),
    };
    if !facts.names.contains(&name.to_lowercase()) {
        return Verdict::error(
            format!("it is for {:?}, not for {name}", facts.names),
            "start the hub with --host-name, or connect under one of these names",
        );
    }
    match facts.days_left(now) {
        left if left < SOON_DAYS => Verdict::warning(
            format!("it ends on {}", facts.day()),
            "restart the hub: it makes a new one then",
        ),
        _ => Verdict::Ok(format!("it is for {name} and ends on {}", facts.day())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_end_count() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let facts = |until: &str| CertificateFacts {
            not_after: until.parse().unwrap(),
            names: ["hub.test".to_owned()].into(),
        };
        for (until, name, word) in [
            ("2028-01-01T00:00:00Z", "Hub.test", "ok"),
            ("2028-01-01T00:00:00Z", "other.test", "error"),
            ("2026-01-20T00:00:00Z", "hub.test", "warning"),
        ] {
            assert_eq!(judge(Ok(facts(until)), name, now).as_json()["result"], word, "{until} {name}");
        }
    }
}

//! The certificate authority that devices trust lives on: a new one means touching every device.

use hemline_hub::pki::{CertificateFacts, facts};
use jiff::Timestamp;

use super::{scene::Scene, verdict::Verdict};
use crate::client::pem_certificates;

/// Time that changing it on a fleet may take.
const SOON_DAYS: i64 = 365;

pub(super) fn check(scene: &Scene) -> Verdict {
    let hub = match scene.hub() {
        Ok(hub) => hub,
        Err(why) => return Verdict::Skipped(why.to_owned()),
    };
    let found = pem_certificates(&hub.ca_pem).map_err(|error| error.to_string());
    let found = found.and_then(|all| {
        let first = all.first().ok_or("there is no certificate in it")?;
        facts(first).map_err(|error| error.to_string())
    });
    judge(found, Timestamp::now())
}

fn judge(found: Result<CertificateFacts, String>, now: Timestamp) -> Verdict {
    let mend = "make a new one with `hem up` on a new data directory, give it to every device beside this one, then change over";
    match found {
        Err(error) => Verdict::error(format!("ca.pem: {error}"), "restore it from a backup"),
        Ok(facts) => match facts.days_left(now) {
            ..=0 => Verdict::error(format!("it ended on {}; nobody can connect", facts.day()), mend),
            1..SOON_DAYS => Verdict::warning(format!("it ends on {}", facts.day()), mend),
            _ => Verdict::Ok(format!("it ends on {}", facts.day())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_some_day() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for (until, word) in [
            ("2046-01-01T00:00:00Z", "ok"),
            ("2026-12-30T00:00:00Z", "warning"),
            ("2026-01-01T00:00:00Z", "error"),
            ("2025-01-01T00:00:00Z", "error"),
        ] {
            let facts = CertificateFacts { not_after: until.parse().unwrap(), names: Default::default() };
            assert_eq!(judge(Ok(facts), now).as_json()["result"], word, "{until}");
        }
        assert_eq!(judge(Err("x".into()), now).as_json()["result"], "error");
    }
}

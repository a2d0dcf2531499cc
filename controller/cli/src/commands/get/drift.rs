//! `hem get drift [DEVICE]`: the rows of the drift ledger.

use hemline_plan::drift::{DriftRow, Standing};
use jiff::Timestamp;

use crate::{
    args::{Args, Output},
    client::HubClient,
    error::CommandError,
    output,
};

/// Lists them: what is there first, then what was healed, each with the newest first.
pub(super) async fn run(args: &Args, hub: &HubClient, device: Option<&str>) -> Result<(), CommandError> {
    let query: Vec<(&str, &str)> = device.map(|device| ("device", device)).into_iter().collect();
    let found = hub.ask(&["api", "v1", "drift"], &query).await?;
    let rows: Vec<DriftRow> = serde_json::from_value(found)
        .map_err(|error| CommandError::BadAnswer { url: hub.host().to_owned(), what: error.to_string() })?;
    let wide = args.output == Output::Wide;
    output::value(&rows, args.output, |rows| table(rows, wide, Timestamp::now()))
}

fn table(rows: &[DriftRow], wide: bool, now: Timestamp) -> String {
    if rows.is_empty() {
        return "no drift: everything is as the documents say, and nothing else was seen in the last 30 days\n".to_owned();
    }
    let mut header = vec!["device", "state", "path", "expected", "found", "first seen", "lived"];
    if wide {
        header.extend(["kind", "module", "by", "last seen", "healed"]);
    }
    let row = |row: &DriftRow| {
        let lived = match row.standing {
            Standing::Healed { lived_secs, .. } => span(lived_secs),
            Standing::Present | Standing::Reported | Standing::Ignored => {
                format!("{} so far", span(seconds(row.first_seen, now)))
            }
        };
        let mut cells = vec![
            row.device.to_string(),
            row.standing.as_str().to_owned(),
            row.path.clone(),
            row.expected.clone(),
            row.found.clone(),
            time(row.first_seen),
            lived,
        ];
        if wide {
            let healed = match row.standing {
                Standing::Healed { healed_at, .. } => time(healed_at),
                Standing::Present | Standing::Reported | Standing::Ignored => "-".to_owned(),
            };
            let module = row.module.as_ref().map_or("-", |module| module.as_str());
            let by = row.by.clone().unwrap_or_else(|| "-".to_owned());
            cells.extend([row.kind.to_string(), module.to_owned(), by, time(row.last_seen), healed]);
        }
        cells
    };
    output::table(&header, rows.iter().map(row))
}

fn time(at: Timestamp) -> String {
    at.strftime("%F %TZ").to_string()
}

fn seconds(from: Timestamp, to: Timestamp) -> u64 {
    // A device's clock may be ahead of ours.
    u64::try_from(to.duration_since(from).as_secs()).unwrap_or_default()
}

/// A time span in its two largest units.
fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{}s", seconds % 60),
        (0, _, _) => format!("{hours}h{}m", minutes % 60),
        (_, _, _) => format!("{days}d{}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn spans_have_two_units() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (61, "1m1s"), (3_660, "1h1m"), (90_000, "1d1h")] {
            assert_eq!(super::span(seconds), text);
        }
    }
}

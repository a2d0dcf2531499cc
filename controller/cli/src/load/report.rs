//! What was measured, as rows: for people and for programs. Pure.

use std::time::Duration;

use serde::Serialize;

use super::{
    histogram::Histogram,
    verdict::{Limit, Shares},
};

/// All of one run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// What was loaded: address, and with or without TLS.
    pub(crate) target: String,
    /// In the order of measuring.
    pub(crate) rows: Vec<Row>,
    /// Identities of the run; a broker has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) identities: Option<Removed>,
    /// What else is to be known.
    pub(crate) notes: Vec<String>,
    /// Sessions, messages and changes that were lost.
    pub(crate) missing: usize,
}

/// What became of the identities of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Removed {
    /// So many are gone.
    pub(crate) removed: usize,
    /// So many could not be removed.
    pub(crate) left: usize,
}

/// One figure.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    /// A word for programs.
    pub(crate) load: &'static str,
    /// What was done, in words.
    pub(crate) what: String,
    /// How often.
    pub(crate) count: u64,
    /// All of it.
    pub(crate) seconds: f64,
    /// Per second; of what has a rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) per_second: Option<f64>,
    /// How long each took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) latency: Option<Latency>,
    /// Resident memory of the server for each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bytes_each: Option<i64>,
    /// Processors meanwhile; of what is a matter of processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cores: Option<Shares>,
    /// Whose limit it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<Limit>,
}

/// Microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Latency {
    /// Half of them took no longer.
    pub(crate) p50_us: f64,
    /// 99 of a hundred took no longer.
    pub(crate) p99_us: f64,
    /// None took longer.
    pub(crate) max_us: f64,
}

impl Latency {
    /// Nothing, when nothing was counted.
    pub(crate) fn of(histogram: &Histogram) -> Option<Self> {
        let micros = |took: Duration| took.as_secs_f64() * 1e6;
        Some(Self {
            p50_us: micros(histogram.per_mille(500)?),
            p99_us: micros(histogram.per_mille(990)?),
            max_us: micros(histogram.longest()),
        })
    }
}

impl Row {
    /// Something that was done so often.
    pub(crate) fn rate(
        load: &'static str,
        what: String,
        count: u64,
        took: Duration,
        shares: Shares,
        latency: &Histogram,
    ) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let per_second = count as f64 / took.as_secs_f64().max(1e-9);
        Self {
            load,
            what,
            count,
            seconds: took.as_secs_f64(),
            per_second: Some(per_second),
            latency: Latency::of(latency),
            bytes_each: None,
            cores: Some(shares),
            limit: Some(shares.limit()),
        }
    }

    /// Memory of the server before and with so many of something.
    pub(crate) fn memory(load: &'static str, what: String, count: u64, before: u64, with: u64) -> Self {
        let more = i64::try_from(with).unwrap_or(i64::MAX) - i64::try_from(before).unwrap_or(i64::MAX);
        Self {
            load,
            what,
            count,
            seconds: 0.0,
            per_second: None,
            latency: None,
            bytes_each: i64::try_from(count).ok().filter(|count| *count > 0).map(|count| more / count),
            cores: None,
            limit: None,
        }
    }

    /// Cells for people.
    pub(crate) fn cells(&self) -> Vec<String> {
        let dash = || "-".to_owned();
        let latency =
            |pick: fn(Latency) -> f64| self.latency.map_or_else(dash, |latency| time(pick(latency)));
        let percent = |share: f64| format!("{:.0} %", share * 100.0);
        vec![
            self.what.clone(),
            self.count.to_string(),
            if self.per_second.is_some() { format!("{:.2} s", self.seconds) } else { dash() },
            self.per_second.map_or_else(dash, |rate| format!("{rate:.0}")),
            latency(|latency| latency.p50_us),
            latency(|latency| latency.p99_us),
            self.bytes_each.map_or_else(dash, |bytes| format!("{bytes} B")),
            self.cores.map_or_else(dash, |cores| percent(cores.own)),
            self.cores.and_then(|cores| cores.server).map_or_else(dash, percent),
        ]
    }
}

/// Names of the columns of [`Row::cells`].
pub(crate) const HEADER: [&str; 9] =
    ["what", "count", "time", "per second", "p50", "p99", "memory each", "own cpu", "server cpu"];

/// Three digits that count.
fn time(micros: f64) -> String {
    match micros {
        micros if micros < 1_000.0 => format!("{micros:.0} µs"),
        micros if micros < 10_000.0 => format!("{:.2} ms", micros / 1e3),
        micros if micros < 1_000_000.0 => format!("{:.0} ms", micros / 1e3),
        micros => format!("{:.2} s", micros / 1e6),
    }
}

impl Report {
    /// Nothing was measured yet.
    pub(crate) fn of(target: String) -> Self {
        Self { target, rows: Vec::new(), identities: None, notes: Vec::new(), missing: 0 }
    }

    /// Whose limit each figure was, and what else is to be known.
    pub(crate) fn words(&self) -> String {
        let limits =
            self.rows.iter().filter_map(|row| Some(format!("{}: {}\n", row.what, row.cores?.words())));
        let notes = self.notes.iter().map(|note| format!("{note}\n"));
        limits.chain(notes).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_for_people_and_for_programs() {
        let mut latency = Histogram::default();
        (1..=100).for_each(|n| latency.record(Duration::from_micros(n * 100)));
        let shares = Shares { own: 0.957, waited: 0.0, server: Some(0.5) };
        let rate = Row::rate("connects", "connect".into(), 500, Duration::from_millis(250), shares, &latency);
        let cells = ["connect", "500", "0.25 s", "2000", "5.02 ms", "9.98 ms", "-", "96 %", "50 %"];
        assert_eq!(rate.cells()[..4], cells[..4]);
        assert_eq!(rate.cells()[6..], cells[6..]);
        let p50 = rate.latency.unwrap().p50_us;
        assert!((5_000.0..5_100.0).contains(&p50), "{p50}");
        let memory = Row::memory("idle", "idle".into(), 1_000, 10_000_000, 30_480_000);
        assert_eq!(memory.cells(), ["idle", "1000", "-", "-", "-", "-", "20480 B", "-", "-"]);
        assert_eq!(Row::memory("idle", "idle".into(), 0, 1, 2).bytes_each, None);
        assert_eq!(Row::memory("idle", "idle".into(), 10, 200, 100).bytes_each, Some(-10));
        let report =
            Report { rows: vec![rate, memory], notes: vec!["lost 1".into()], ..Report::of("t".into()) };
        let words = report.words();
        assert!(words.starts_with("connect: this program was the limit (96 % of a core"), "{words}");
        assert!(words.ends_with("\nlost 1\n"), "{words}");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["rows"][0]["limit"], "generator");
        assert_eq!(json["rows"][0]["cores"]["own"], 0.957);
        assert_eq!(json["rows"][1]["bytesEach"], 20_480);
        assert_eq!(json["rows"][1].get("perSecond"), None);
    }

    #[test]
    fn times() {
        let told = [0.4, 999.0, 1_234.0, 12_340.0, 1_234_000.0].map(time);
        assert_eq!(told, ["0 µs", "999 µs", "1.23 ms", "12 ms", "1.23 s"]);
    }
}

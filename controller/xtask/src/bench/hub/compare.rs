//! What was measured of several servers, side by side, and whether the budgets of the design are kept. Pure.

use serde_json::Value;

const KIB: f64 = 1024.0;
/// The column that rates are judged by.
const OURS: &str = "ours, TLS";

/// All measurements of one server.
pub(super) struct Column {
    name: &'static str,
    reports: Vec<Value>,
}

/// One line of the table.
pub(super) struct Line {
    /// In words.
    what: &'static str,
    /// As `hem bench` calls it.
    pub(super) load: &'static str,
    want: Want,
}

/// Which figure of a load, and what it should be.
enum Want {
    /// Memory of each, at most so many KiB in these columns.
    Memory { at_most: [(&'static str, f64); 2] },
    /// Per second; at least as many in the first column as in that of its peer.
    Rate { at_least: &'static str },
    /// Half and 99 of a hundred; nobody promised anything.
    Latency,
    /// All of it; nobody promised anything.
    Duration,
}

/// The rows of the design, and what belongs to them.
pub(super) fn rows() -> Vec<Line> {
    let peer = "mosquitto, TLS";
    let line = |what, load, want| Line { what, load, want };
    vec![
        line(
            "memory of an idle session",
            "idle",
            Want::Memory { at_most: [(OURS, 24.0), ("ours, plain", 4.0)] },
        ),
        line("connect and subscribe, per second", "connects", Want::Rate { at_least: peer }),
        line("the same, p50 and p99", "connects", Want::Latency),
        line(
            "QoS 1 messages, received and acknowledged, per second",
            "delivery",
            Want::Rate { at_least: peer },
        ),
        line("PUBLISH to PUBACK, p50 and p99", "telemetry", Want::Latency),
        line("PUBLISH to the receiver, p50 and p99", "delivery", Want::Latency),
        line("twins of 10 000 devices changed, until the last has it", "patches", Want::Duration),
        line("twin change to its device, p50 and p99", "patches", Want::Latency),
        line("direct method and its answer, p50 and p99 (8 at a time)", "methods", Want::Latency),
    ]
}

impl Column {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, reports: Vec::new() }
    }

    pub(super) fn name(&self) -> &str {
        self.name
    }

    /// One more run.
    pub(super) fn add(&mut self, report: Value) {
        self.reports.push(report);
    }

    /// The rows of a load, one of each run that had it.
    fn rows<'a>(&'a self, load: &'a str) -> impl Iterator<Item = &'a Value> {
        let rows = self.reports.iter().filter_map(|report| report["rows"].as_array()).flatten();
        rows.filter(move |row| row["load"] == load)
    }

    /// The middle of a figure over all runs.
    fn figure(&self, load: &str, pointer: &str) -> Option<f64> {
        let mut found: Vec<f64> =
            self.rows(load).filter_map(|row| row.pointer(pointer)).filter_map(Value::as_f64).collect();
        found.sort_by(f64::total_cmp);
        found.get(found.len() / 2).copied()
    }
}

impl Line {
    /// The line of the table, and whether its budget is kept.
    pub(super) fn line(&self, columns: &[Column]) -> (String, bool) {
        let cells: Vec<String> = columns.iter().map(|column| self.cell(column)).collect();
        let (budget, kept) = self.budget(columns);
        (format!("| {} | {} | {budget} |", self.what, cells.join(" | ")), kept)
    }

    fn cell(&self, column: &Column) -> String {
        let figure = |pointer| column.figure(self.load, pointer);
        let cell = match self.want {
            Want::Memory { .. } => figure("/bytesEach").map(|bytes| format!("{:.1} KiB", bytes / KIB)),
            Want::Rate { .. } => figure("/perSecond").map(|rate| format!("{rate:.0}")),
            Want::Latency => figure("/latency/p50Us")
                .zip(figure("/latency/p99Us"))
                .map(|(p50, p99)| format!("{:.2} · {:.2} ms", p50 / 1e3, p99 / 1e3)),
            Want::Duration => figure("/seconds").map(|seconds| format!("{seconds:.2} s")),
        };
        cell.unwrap_or_else(|| "–".to_owned())
    }

    fn budget(&self, columns: &[Column]) -> (String, bool) {
        let of = |name: &str, pointer| {
            columns
                .iter()
                .find(|column| column.name == name)
                .and_then(|column| column.figure(self.load, pointer))
        };
        let verdict = |kept: bool| if kept { "kept" } else { "missed" };
        match self.want {
            Want::Memory { at_most } => {
                let judged = at_most.map(|(column, kib)| match of(column, "/bytesEach") {
                    Some(bytes) => {
                        let kept = bytes <= kib * KIB;
                        (format!("{column}: ≤ {kib} KiB {}", verdict(kept)), kept)
                    }
                    None => (format!("{column}: not measured"), false),
                });
                (
                    judged.each_ref().map(|(told, _)| told.as_str()).join("; "),
                    judged.iter().all(|(_, kept)| *kept),
                )
            }
            Want::Rate { at_least: peer } => match (of(OURS, "/perSecond"), of(peer, "/perSecond")) {
                (Some(rate), Some(theirs)) => {
                    let kept = rate >= theirs;
                    (format!("≥ {peer}: {:.2} × {}", rate / theirs.max(1e-9), verdict(kept)), kept)
                }
                // Without the peer there is nothing to keep.
                (Some(_), None) => (format!("{peer} is missing"), true),
                (None, _) => ("not measured".to_owned(), false),
            },
            Want::Latency | Want::Duration => ("none".to_owned(), true),
        }
    }

    /// Whose limit the figure was, server by server: processors of the load generator and of the server.
    pub(super) fn limits(&self, columns: &[Column]) -> Vec<String> {
        let told = |column: &Column| {
            let own = column.figure(self.load, "/cores/own")?;
            let server = column.figure(self.load, "/cores/server")?;
            let limit = column.rows(self.load).filter_map(|row| row["limit"].as_str()).last()?;
            let name = column.name;
            let words = match limit {
                "generator" => "the load generator was the limit, the server can do more",
                "server" => "the server was the limit",
                "machine" => "both were busy all the time",
                "waiting" => "neither was busy: the time went into waiting",
                other => other,
            };
            Some(format!(
                "{}, {name}: {words} (load generator {:.0} % of a core, server {:.0} %)",
                self.what,
                own * 100.0,
                server * 100.0
            ))
        };
        columns.iter().filter_map(told).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn column(name: &'static str, rates: &[f64], bytes: i64) -> Column {
        let mut column = Column::new(name);
        for rate in rates {
            column.add(json!({"rows": [
                {"load": "connects", "perSecond": rate, "limit": "generator", "cores": {"own": 0.99, "server": 0.4},
                 "latency": {"p50Us": 1_500.0, "p99Us": 20_000.0}}
            ]}));
        }
        column.add(json!({"rows": [{"load": "idle", "bytesEach": bytes}]}));
        column
    }

    #[test]
    fn the_median_is_compared_and_budgets_are_judged() {
        let columns = [
            column("ours, TLS", &[900.0, 1_100.0, 5_000.0], 20 * 1024),
            column("ours, plain", &[2_000.0], 4_000),
            column("mosquitto, TLS", &[1_000.0], 90_000),
        ];
        let told: Vec<(String, bool)> = rows().iter().take(4).map(|row| row.line(&columns)).collect();
        assert_eq!(
            told,
            [
                (
                    "| memory of an idle session | 20.0 KiB | 3.9 KiB | 87.9 KiB | ours, TLS: ≤ 24 KiB kept; ours, plain: ≤ 4 KiB kept |"
                        .to_owned(),
                    true
                ),
                (
                    "| connect and subscribe, per second | 1100 | 2000 | 1000 | ≥ mosquitto, TLS: 1.10 × kept |"
                        .to_owned(),
                    true
                ),
                ("| the same, p50 and p99 | 1.50 · 20.00 ms | 1.50 · 20.00 ms | 1.50 · 20.00 ms | none |".to_owned(), true),
                (
                    "| QoS 1 messages, received and acknowledged, per second | – | – | – | not measured |"
                        .to_owned(),
                    false
                ),
            ]
        );
        let slow = [
            column("ours, TLS", &[900.0], 20 * 1024),
            column("ours, plain", &[900.0], 5 * 1024),
            column("mosquitto, TLS", &[1_000.0], 1),
        ];
        let kept: Vec<bool> = rows().iter().take(2).map(|row| row.line(&slow).1).collect();
        assert_eq!(kept, [false, false]);
        let alone = [column("ours, TLS", &[900.0], 1)];
        assert_eq!(
            rows()[1].line(&alone),
            ("| connect and subscribe, per second | 900 | mosquitto, TLS is missing |".into(), true)
        );
        assert_eq!(
            rows()[1].limits(&alone),
            [
                "connect and subscribe, per second, ours, TLS: the load generator was the limit, the server can do more (load generator 99 % of a core, server 40 %)"
            ]
        );
    }
}

//! `/metrics`: the hub's counters as Prometheus text, under the IoT Edge names where those exist (reference edge-runtime §7.1).

use std::collections::BTreeMap;

use axum::{
    extract::State,
    http::{HeaderMap, header::CONTENT_TYPE},
    response::IntoResponse,
};
use hemline_hub::HeadStatistics;
use hemline_hub_core::{counters::Counters, write::Permission};
use hemline_plan::{
    drift::{DriftKind, DriftLedger, DriftRow},
    rollout::{RolloutStatus, WaveStatus},
};
use hemline_reconcile::{Ongoing, Passes};

use crate::{access, error::ApiError, router::ApiState};

/// `GET /metrics`: ServiceConnect.
pub(crate) async fn text(
    State(state): State<ApiState>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    access::allow(&state.hub, &headers, Permission::ServiceConnect).await?;
    let counters = state.hub.counters();
    let mut text = render(&counters);
    text.push_str(&cloud_to_device(&counters));
    text.push_str(&topics(&counters, &state.hub.head_statistics()));
    text.push_str(&upstream(&counters));
    text.push_str(&door(&counters, &state.hub.head_statistics()));
    if let Some(report) = state.controller.get().and_then(|controller| controller.latest()) {
        text.push_str(&rollouts(&report.rollouts, &report.rollout_transitions));
        text.push_str(&drift(&report.drift_ledger));
        text.push_str(&passes(report.passes));
        text.push_str(&troubles(&report.trouble));
    }
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], text))
}

/// One line per counter; refusals one line per reason.
fn render(counters: &Counters) -> String {
    let Counters {
        // In `messages`.
        messages_accepted: _,
        messages_accepted_bytes: _,
        messages_to_events: _,
        messages_sent: _,
        messages_redelivered: _,
        messages_delivered: _,
        messages_no_route: _,
        messages_expired: _,
        messages_refused_full: _,
        messages_refused_large: _,
        connects,
        refusals,
        // In `door`.
        connects_throttled: _,
        wills: _,
        wills_lost: _,
        unauthorised,
        take_overs,
        tokens_expired,
        twin_gets,
        reported_patches,
        reported_refused,
        desired_patches,
        method_calls,
        method_failures,
        // In `cloud_to_device`.
        cloud_accepted: _,
        cloud_redelivered: _,
        cloud_outcomes: _,
        feedback_expired: _,
        cloud_waiting: _,
        feedback_waiting: _,
        // In `topics`.
        topics_published: _,
        topics_sent: _,
        topics_delivered: _,
        topics_dropped: _,
        topics_denied: _,
        topics_expired: _,
        topics_waiting: _,
        topics_retained: _,
        connected,
        waiting,
        waiting_bytes,
        files_uploaded,
        // In `upstream`.
        nested_messages: _,
        nested_refused: _,
        links: _,
        upstream_acknowledged: _,
        upstream_repeated: _,
        upstream_reports: _,
        upstream_refused: _,
        bridged_up: _,
        bridged_down: _,
        upstream_waiting: _,
    } = counters;
    let mut page = messages(counters);
    page.counter("hemline_connects_total", &[("", *connects)]);
    let reasons = |list: &BTreeMap<_, u64>| -> Vec<(String, u64)> {
        list.iter()
            .map(|(reason, count): (&hemline_hub_core::effect::AuthFailure, _)| {
                (format!("reason=\"{reason}\""), *count)
            })
            .collect()
    };
    page.labelled("hemline_connects_refused_total", &reasons(refusals));
    page.labelled("hemline_requests_unauthorised_total", &reasons(unauthorised));
    page.counter("hemline_take_overs_total", &[("", *take_overs)]);
    page.counter("hemline_tokens_expired_total", &[("", *tokens_expired)]);
    page.counter("edgehub_gettwin_total", &[("", *twin_gets)]);
    page.counter("edgehub_reported_properties_total", &[("", *reported_patches)]);
    page.counter("hemline_reported_properties_refused_total", &[("", *reported_refused)]);
    page.counter("hemline_desired_patches_total", &[("", *desired_patches)]);
    page.counter("edgehub_direct_methods_total", &[("", *method_calls)]);
    page.counter("hemline_direct_methods_failed_total", &[("", *method_failures)]);
    page.counter("hemline_files_uploaded_total", &[("", *files_uploaded)]);
    page.gauge("edgehub_connected_clients", *connected);
    page.gauge("edgehub_queue_length", *waiting);
    page.gauge("hemline_queue_bytes", *waiting_bytes);
    page.0
}

/// Telemetry: what came, and what became of it.
fn messages(counters: &Counters) -> Page {
    let mut page = Page(String::new());
    page.counter("edgehub_messages_received_total", &[("", counters.messages_accepted)]);
    page.counter("hemline_messages_received_bytes_total", &[("", counters.messages_accepted_bytes)]);
    page.counter(
        "edgehub_messages_sent_total",
        &[("to=\"events\"", counters.messages_to_events), ("to=\"module\"", counters.messages_sent)],
    );
    page.counter("hemline_messages_redelivered_total", &[("", counters.messages_redelivered)]);
    page.counter("hemline_messages_delivered_total", &[("", counters.messages_delivered)]);
    page.counter(
        "edgehub_messages_dropped_total",
        &[
            ("reason=\"no_route\"", counters.messages_no_route),
            ("reason=\"ttl_expiry\"", counters.messages_expired),
        ],
    );
    page.counter(
        "edgehub_messages_unack_total",
        &[
            ("reason=\"queue_full\"", counters.messages_refused_full),
            ("reason=\"too_large\"", counters.messages_refused_large),
        ],
    );
    page
}

/// The link to the parent hub, and what child hubs pass on.
fn upstream(counters: &Counters) -> String {
    let mut page = Page(String::new());
    page.counter("hemline_nested_messages_total", &[("", counters.nested_messages)]);
    page.counter("hemline_nested_refused_total", &[("", counters.nested_refused)]);
    page.counter("hemline_upstream_links_total", &[("", counters.links)]);
    page.counter("hemline_upstream_acknowledged_total", &[("", counters.upstream_acknowledged)]);
    page.counter("hemline_upstream_repeated_total", &[("", counters.upstream_repeated)]);
    page.counter("hemline_upstream_reports_total", &[("", counters.upstream_reports)]);
    page.counter("hemline_upstream_refused_total", &[("", counters.upstream_refused)]);
    page.counter("hemline_bridge_sent_total", &[("", counters.bridged_up)]);
    page.counter("hemline_bridge_received_total", &[("", counters.bridged_down)]);
    page.gauge("hemline_upstream_queue_length", counters.upstream_waiting);
    page.0
}

/// Who was kept out before it had to prove anything, or came too often; and what was said for those who vanished.
fn door(counters: &Counters, heads: &HeadStatistics) -> String {
    let mut page = Page(String::new());
    page.counter(
        "hemline_connections_dropped_total",
        &[
            ("reason=\"full\"", heads.connections_over_limit),
            ("reason=\"address\"", heads.connections_turned_away),
        ],
    );
    page.counter("hemline_attempts_throttled_total", &[("", heads.connects_throttled)]);
    page.counter("hemline_connects_too_often_total", &[("", counters.connects_throttled)]);
    page.counter(
        "hemline_wills_total",
        &[("outcome=\"published\"", counters.wills), ("outcome=\"lost\"", counters.wills_lost)],
    );
    page.counter("hemline_handshakes_failed_total", &[("", heads.handshakes_failed)]);
    page.0
}

/// Messages on user-defined topics, and what became of them.
fn topics(counters: &Counters, heads: &HeadStatistics) -> String {
    let mut page = Page(String::new());
    page.counter("hemline_topic_messages_published_total", &[("", counters.topics_published)]);
    page.counter("hemline_topic_messages_sent_total", &[("", counters.topics_sent)]);
    page.counter("hemline_topic_messages_delivered_total", &[("", counters.topics_delivered)]);
    page.counter(
        "hemline_topic_messages_dropped_total",
        &[("reason=\"queue\"", counters.topics_dropped), ("reason=\"slow\"", heads.topics_lost)],
    );
    page.counter("hemline_topic_sessions_expired_total", &[("", counters.topics_expired)]);
    page.counter("hemline_topic_requests_denied_total", &[("", counters.topics_denied)]);
    page.gauge("hemline_topic_messages_waiting", counters.topics_waiting);
    page.gauge("hemline_topic_messages_retained", counters.topics_retained);
    page.0
}

/// Messages from the service to devices, and what became of them.
fn cloud_to_device(counters: &Counters) -> String {
    let mut page = Page(String::new());
    page.counter("hemline_cloud_to_device_accepted_total", &[("", counters.cloud_accepted)]);
    page.counter("hemline_cloud_to_device_redelivered_total", &[("", counters.cloud_redelivered)]);
    let outcomes = counters.cloud_outcomes.iter();
    let outcomes: Vec<(String, u64)> =
        outcomes.map(|(outcome, count)| (format!("outcome=\"{}\"", outcome.as_str()), *count)).collect();
    page.labelled("hemline_cloud_to_device_done_total", &outcomes);
    page.counter("hemline_feedback_expired_total", &[("", counters.feedback_expired)]);
    page.gauge("hemline_cloud_to_device_waiting", counters.cloud_waiting);
    page.gauge("hemline_feedback_waiting", counters.feedback_waiting);
    page.0
}

/// Steps of rollouts by the phase they led to, and how many devices of each are how far.
fn rollouts(rollouts: &[RolloutStatus], transitions: &BTreeMap<&'static str, u64>) -> String {
    let mut page = Page(String::new());
    let steps: Vec<(String, u64)> =
        transitions.iter().map(|(to, count)| (format!("to=\"{to}\""), *count)).collect();
    page.labelled("hemline_rollout_transitions_total", &steps);
    page.0.push_str("# TYPE hemline_rollout_devices gauge\n");
    for rollout in rollouts {
        let sum = |count: fn(&WaveStatus) -> usize| rollout.waves.iter().map(count).sum::<usize>();
        for (progress, count) in [
            ("done", sum(|wave| wave.done)),
            ("given", sum(|wave| wave.given)),
            ("failed", sum(|wave| wave.failed)),
            ("skipped", sum(|wave| wave.skipped)),
            ("all", rollout.devices),
        ] {
            let (name, phase) = (&rollout.deployment, &rollout.phase);
            page.0.push_str(&format!(
                "hemline_rollout_devices{{deployment=\"{name}\",phase=\"{phase}\",progress=\"{progress}\"}} {count}\n"
            ));
        }
    }
    page.0
}

/// Rows of the drift ledger by kind and state, and how many there ever were.
fn drift(ledger: &DriftLedger) -> String {
    let kinds = [DriftKind::Desired, DriftKind::Actual];
    let mut page = Page(String::new());
    page.0.push_str("# TYPE hemline_drift_rows gauge\n");
    for kind in kinds {
        for state in ["present", "reported", "ignored", "healed"] {
            let of = |row: &&DriftRow| row.kind == kind && row.standing.as_str() == state;
            let count = ledger.rows.iter().filter(of).count();
            page.0.push_str(&format!("hemline_drift_rows{{kind=\"{kind}\",state=\"{state}\"}} {count}\n"));
        }
    }
    for (name, counts) in [("opened", &ledger.opened), ("healed", &ledger.healed)] {
        let values =
            kinds.map(|kind| (format!("kind=\"{kind}\""), counts.get(&kind).copied().unwrap_or_default()));
        page.labelled(&format!("hemline_drift_{name}_total"), &values);
    }
    page.gauge("hemline_drift_turned_away", ledger.turned_away as u64);
    page.0
}

/// How long the controller's passes take, as a summary without quantiles, and telling what they found.
fn passes(Passes { count, took, told }: Passes) -> String {
    let (seconds, told) = (took.as_secs_f64(), told.as_secs_f64());
    format!(
        "# TYPE hemline_pass_seconds summary\nhemline_pass_seconds_sum {seconds}\nhemline_pass_seconds_count {count}\n\
         # TYPE hemline_tell_seconds_total counter\nhemline_tell_seconds_total {told}\n"
    )
}

/// One line for each reason why the fleet stays on an earlier revision, or why people do not hear of it; none when all is well.
fn troubles(troubles: &[Ongoing]) -> String {
    let mut text = "# TYPE hemline_source_trouble gauge\n".to_owned();
    for Ongoing { source, reason, .. } in troubles {
        text.push_str(&format!("hemline_source_trouble{{source=\"{source}\",reason=\"{reason}\"}} 1\n"));
    }
    text
}

/// The text being written.
struct Page(String);

impl Page {
    fn counter(&mut self, name: &str, values: &[(&str, u64)]) {
        let owned: Vec<(String, u64)> =
            values.iter().map(|(label, value)| ((*label).to_owned(), *value)).collect();
        self.labelled(name, &owned);
    }

    fn labelled(&mut self, name: &str, values: &[(String, u64)]) {
        self.0.push_str(&format!("# TYPE {name} counter\n"));
        for (label, value) in values {
            let braces = if label.is_empty() { String::new() } else { format!("{{{label}}}") };
            self.0.push_str(&format!("{name}{braces} {value}\n"));
        }
    }

    fn gauge(&mut self, name: &str, value: u64) {
        self.0.push_str(&format!("# TYPE {name} gauge\n{name} {value}\n"));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hemline_hub_core::counters::Counters;
    use hemline_plan::drift::DriftLedger;
    use hemline_reconcile::{Ongoing, Passes};

    #[test]
    fn drift_is_counted_by_kind_and_state() {
        let row = |state: &str| {
            format!(
                r#"{{"device":"d","kind":"actual","path":"p","expected":"a","found":"b","firstSeen":"2026-11-21T12:00:00Z","lastSeen":"2026-11-21T12:00:00Z",{state}}}"#
            )
        };
        let rows = [
            row(r#""state":"reported""#),
            row(r#""state":"healed","healedAt":"2026-11-21T12:00:09Z","livedSecs":9"#),
        ];
        let text =
            format!(r#"{{"rows":[{}],"opened":{{"actual":5}},"healed":{{"actual":4}}}}"#, rows.join(","));
        let ledger: DriftLedger = serde_json::from_str(&text).expect("a ledger");
        let page = super::drift(&ledger);
        for line in [
            "hemline_drift_rows{kind=\"actual\",state=\"reported\"} 1\n",
            "hemline_drift_rows{kind=\"actual\",state=\"healed\"} 1\n",
            "hemline_drift_rows{kind=\"desired\",state=\"present\"} 0\n",
            "hemline_drift_opened_total{kind=\"actual\"} 5\n",
            "hemline_drift_healed_total{kind=\"actual\"} 4\n",
            "hemline_drift_healed_total{kind=\"desired\"} 0\n",
        ] {
            assert!(page.contains(line), "{line}: {page}");
        }
    }

    #[test]
    fn trouble_and_passes_are_samples() {
        let trouble = Ongoing {
            source: "default".to_owned(),
            reason: "denied",
            message: "no access".to_owned(),
            since: jiff::Timestamp::UNIX_EPOCH,
        };
        let text = super::troubles(&[trouble]);
        assert!(text.ends_with("hemline_source_trouble{source=\"default\",reason=\"denied\"} 1\n"), "{text}");
        let text = super::passes(Passes {
            count: 4,
            took: Duration::from_millis(500),
            told: Duration::from_secs(2),
        });
        assert!(text.contains("\nhemline_tell_seconds_total 2\n"), "{text}");
        assert!(text.contains("\nhemline_pass_seconds_sum 0.5\nhemline_pass_seconds_count 4\n"), "{text}");
    }

    #[test]
    fn every_line_is_a_comment_or_a_sample() {
        let text = super::render(&Counters { messages_accepted: 3, ..Counters::default() });
        assert!(text.contains("edgehub_messages_received_total 3\n"));
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (_, value) = line.rsplit_once(' ').expect("a name and a value");
            value.parse::<u64>().expect("a number");
        }
    }
}

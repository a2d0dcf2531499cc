//! The `health:` of a module, judged: one kind of check, ports and durations that exist.

use super::{Context, module::Layer};
use crate::document::Health;

/// Judges one health check. A layer may say a piece of it, as long as the piece is sound.
pub(super) fn check(health: &Health, layer: Layer, at: &str, context: &mut Context<'_>) {
    let Err(faults) = health.check() else { return };
    for fault in faults {
        let whole = fault.at.is_empty();
        let slip = ["command", "http", "tcp"].into_iter().any(|field| context.was_slip_of(at, field));
        if whole && health.probes() == 0 && (layer == Layer::Above || slip) {
            continue;
        }
        let pointer = if whole { at.to_owned() } else { format!("{at}/{}", fault.at) };
        if whole {
            context.error_at_key("health-check", &pointer, fault.message).hint =
                Some("write for example `http: {port: 8080, path: /healthz}`".to_owned());
        } else {
            context.error("health-check", &pointer, fault.message);
        }
    }
}

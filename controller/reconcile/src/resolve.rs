//! Stage 3, pure: the revision in force and what devices report → what each device should be.

use hemline_plan::{Facts, Observed, Resolution};
use serde_json::Value;

use crate::validate::Good;

/// What target conditions may know of devices.
pub(crate) fn facts(observed: &Observed) -> Facts {
    let reported = |device: &hemline_plan::ObservedDevice| Value::Object(device.reported.clone());
    let modules = |device: &hemline_plan::ObservedDevice| {
        let modules = device.modules.iter().filter(|(module, _)| !module.is_system());
        modules.map(|(module, twin)| (module.clone(), Value::Object(twin.reported.clone()))).collect()
    };
    Facts {
        reported: observed.devices.iter().map(|(id, device)| (id.clone(), reported(device))).collect(),
        modules: observed.devices.iter().map(|(id, device)| (id.clone(), modules(device))).collect(),
    }
}

/// Resolves the revision. Unusable when facts that came later make its layers disagree.
pub(crate) fn resolve(good: &Good, facts: &Facts) -> Resolution {
    hemline_plan::resolve(&good.fleet, facts)
}

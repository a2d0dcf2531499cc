//! Meaning inside one `TwinConfiguration`.

use hemline_query::{select::Source, target::TargetCondition};

use super::{Context, TwinConfigurationSpec, deployment};
use crate::{document, twin::Which};

const CONDITION: &str = "/spec/targetCondition";

/// Judges one configuration. `None` when its target condition is not known.
pub(super) fn check(
    spec: document::TwinConfigurationSpec,
    context: &mut Context<'_>,
) -> Option<TwinConfigurationSpec> {
    context.twin(&spec.desired, Which::Desired, "/spec/desired");
    if spec.desired.is_empty() && !context.was_dropped("/spec/desired") {
        context
            .warning("no-effect", "/spec/desired", "a configuration without properties does nothing")
            .hint = Some("say a property, or remove the document".to_owned());
    }
    let condition = deployment::condition(&spec.target_condition, CONDITION, context)?;
    tags_of_modules(&condition, context);
    Some(TwinConfigurationSpec { condition, priority: spec.priority, desired: spec.desired })
}

/// Documents give tags to devices only, and a module's twin does not show those of its device.
fn tags_of_modules(condition: &TargetCondition, context: &mut Context<'_>) {
    if condition.source() == Source::Modules && condition.reads("tags") {
        let message = "documents give tags to devices only; those of a module are always undefined";
        context.warning_at("condition-suspicious", CONDITION, message).hint = Some(
            "choose by deviceId and moduleId, or write the property into a layered deployment".to_owned(),
        );
    }
}

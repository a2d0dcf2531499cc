//! `deviceContent` and `moduleContent` of a hub's configuration → one `TwinConfiguration` document (reference service-api §4.6).

use hemline_query::{select::Source, target::TargetCondition};

use super::{
    ImportOptions, Notes,
    envelope::{About, Envelope},
    section::Section,
};
use crate::{
    document::{ApiVersion, Metadata, TwinConfiguration, TwinConfigurationKind, TwinConfigurationSpec},
    text::SourceFile,
};

/// Desired properties by path, for the twins that the condition selects.
pub(super) fn read(
    envelope: &Envelope<'_>,
    file: &SourceFile,
    options: &ImportOptions,
    notes: &mut Notes<'_>,
) -> TwinConfiguration {
    let name = envelope.name(file, options, notes);
    let target_condition = envelope.target(&name, options, notes);
    selects(&target_condition, envelope, notes);
    let section = Section::read(envelope.entries, &envelope.pointer, notes);
    section.trail("/spec/desired", notes);
    if section.whole {
        let message =
            "this replaces all desired properties in IoT Hub; here a configuration is merged by path";
        notes.note("azure-layer", section.at(), message);
    }
    let priority = options.priority.or_else(|| envelope.written_priority(notes)).unwrap_or_default();
    TwinConfiguration {
        api_version: ApiVersion::default(),
        kind: TwinConfigurationKind::default(),
        metadata: Metadata { name, labels: envelope.labels(notes), ..Metadata::default() },
        spec: TwinConfigurationSpec { target_condition, priority, desired: section.value },
        status: None,
    }
}

/// Properties of modules go to modules. A condition that cannot be read is told by the rules for documents.
fn selects(condition: &str, envelope: &Envelope<'_>, notes: &mut Notes<'_>) {
    let Ok(parsed) = TargetCondition::parse(condition) else { return };
    let (wanted, hint) = match envelope.about {
        About::Modules => (Source::Modules, "start it with FROM devices.modules WHERE"),
        About::Devices | About::Deployment => (Source::Devices, "leave FROM devices.modules out"),
    };
    if parsed.source() != wanted {
        let message = "the condition selects other twins than the content is for";
        notes.error("azure-value", "/targetCondition", message).hint = Some(hint.to_owned());
    }
}

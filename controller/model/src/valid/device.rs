//! Meaning inside one `Device`.

use std::{collections::HashSet, sync::Arc};

use super::{Context, DeviceSpec, across::Devices};
use crate::{
    document::{Auth, AuthType, Device, Object},
    id::DeviceId,
    twin::Which,
};

/// A device of which everything is judged that does not take another document.
pub(super) struct Alone {
    /// `metadata.name`, as written.
    pub(super) name: String,
    /// What others know it by, or why that is no id and where it stands.
    pub(super) id: Result<DeviceId, (&'static str, String)>,
    /// Was its id taken out because of its shape? Then `id` is not what its author meant.
    unsure: bool,
    /// The parent, as written.
    parent: Option<String>,
    /// All but the parent.
    pub(super) spec: DeviceSpec,
}

/// Judges one device alone.
pub(super) fn alone(document: Device, context: &mut Context<'_>) -> Alone {
    let Device { spec, metadata, .. } = document;
    context.twin(&spec.tags, Which::Tags, "/spec/tags");
    context.twin(&spec.desired, Which::Desired, "/spec/desired");
    auth(&spec.auth, spec.edge, context);
    let unsure = spec.device_id.is_none() && context.was_dropped("/spec/deviceId");
    let (pointer, text) = match &spec.device_id {
        Some(id) => ("/spec/deviceId", id),
        None => ("/metadata/name", &metadata.name),
    };
    let id = DeviceId::new(text).map_err(|why| (pointer, why.to_string()));
    let parent = spec.parent;
    let spec = DeviceSpec {
        edge: spec.edge,
        enabled: spec.enabled,
        parent: None,
        tags: Arc::new(spec.tags),
        auth: spec.auth,
        desired: Arc::new(spec.desired),
    };
    Alone { name: metadata.name, id, unsure, parent, spec }
}

/// Judges what it says of others. `None` when its id is not known.
pub(super) fn together(
    Alone { id, unsure, parent, mut spec, .. }: Alone,
    devices: &Devices,
    context: &mut Context<'_>,
) -> Option<(DeviceId, DeviceSpec)> {
    spec.parent = parent.and_then(|parent| find_parent(&parent, devices, context));
    match id {
        Ok(id) if !unsure => Some((id, spec)),
        // Told here, so that nobody hears of a bad name twice.
        Err((pointer, why)) if !unsure => {
            context.error("device-id", pointer, why);
            None
        }
        Ok(_) | Err(_) => None,
    }
}

/// Most devices of a fleet are told the same: held once, they take half the memory.
#[derive(Default)]
pub(super) struct Desired(HashSet<Arc<Object>>);

impl Desired {
    /// What is told already is held no second time.
    pub(super) fn share(&mut self, spec: &mut DeviceSpec) {
        match self.0.get(&spec.desired) {
            Some(same) => spec.desired = Arc::clone(same),
            None => self.note(spec),
        }
    }

    /// Others may be told the same.
    pub(super) fn note(&mut self, spec: &DeviceSpec) {
        self.0.insert(Arc::clone(&spec.desired));
    }
}

fn find_parent(parent: &str, devices: &Devices, context: &mut Context<'_>) -> Option<DeviceId> {
    const POINTER: &str = "/spec/parent";
    match devices.find(parent) {
        Some((id, true)) => Some(id.clone()),
        Some((_, false)) => {
            let message = format!("the parent {parent:?} is no edge device");
            context.error("parent-not-edge", POINTER, message).hint =
                Some("give it `edge: true`, or choose another parent".to_owned());
            None
        }
        None => {
            let message = format!("there is no device {parent:?} to be the parent");
            let near = devices.near(parent);
            let value = near.map(|near| serde_json::Value::String(near.to_owned()));
            let fix = value.and_then(|value| context.located.fix_value(POINTER, &value));
            let finding = context.error("unknown-parent", POINTER, message);
            finding.hint = near.map(|near| format!("did you mean {near:?}?"));
            finding.fix = fix;
            None
        }
    }
}

fn auth(auth: &Auth, edge: bool, context: &mut Context<'_>) {
    let thumbprints = [
        ("/spec/auth/primaryThumbprint", &auth.primary_thumbprint),
        ("/spec/auth/secondaryThumbprint", &auth.secondary_thumbprint),
    ];
    for (pointer, thumbprint) in thumbprints {
        let Some(text) = thumbprint else { continue };
        let hex = text.bytes().all(|b| b.is_ascii_hexdigit());
        if !(hex && matches!(text.len(), 40 | 64)) {
            let message = "a thumbprint has 40 (SHA-1) or 64 (SHA-256) hexadecimal digits and nothing else";
            context.error("thumbprint", pointer, message);
        }
        if auth.kind != AuthType::SelfSigned {
            let message = "a thumbprint says nothing with this type of auth";
            context.warning("no-effect", pointer, message).hint =
                Some("use `type: selfSigned`, or remove it".to_owned());
        }
    }
    match auth.kind {
        AuthType::SelfSigned => {
            if auth.primary_thumbprint.is_none() && !context.was_dropped("/spec/auth/primaryThumbprint") {
                context.error("thumbprint", "/spec/auth/type", "selfSigned needs a primaryThumbprint");
            }
        }
        AuthType::Sas | AuthType::CertificateAuthority => {}
    }
    if edge && auth.kind != AuthType::Sas {
        not_yet(context);
    }
}

fn not_yet(context: &mut Context<'_>) {
    let message = "this version's agent knows keys only: it will not run the modules of this device";
    context.warning("not-supported-yet", "/spec/auth/type", message).hint =
        Some("use `type: sas`".to_owned());
}

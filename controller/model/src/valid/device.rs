//! Meaning inside one `Device`.

use std::sync::Arc;

use super::{Context, DeviceSpec, across::Devices};
use crate::{
    document::{Auth, AuthType, Device},
    id::DeviceId,
    twin::Which,
};

/// Judges one device. `None` when not even its id is known.
pub(super) fn check(
    document: Device,
    devices: &Devices,
    context: &mut Context<'_>,
) -> Option<(DeviceId, DeviceSpec)> {
    let Device { spec, metadata, .. } = document;
    context.twin(&spec.tags, Which::Tags, "/spec/tags");
    context.twin(&spec.desired, Which::Desired, "/spec/desired");
    auth(&spec.auth, context);
    let parent = spec.parent.as_deref().and_then(|parent| find_parent(parent, devices, context));
    let id = match (&spec.device_id, context.was_dropped("/spec/deviceId")) {
        (Some(id), _) => DeviceId::new(id).map_err(|why| ("/spec/deviceId", why)),
        (None, false) => DeviceId::new(&metadata.name).map_err(|why| ("/metadata/name", why)),
        (None, true) => return None,
    };
    let id = match id {
        Ok(id) => id,
        Err((pointer, why)) => {
            context.error("device-id", pointer, why.to_string());
            return None;
        }
    };
    let spec = DeviceSpec {
        edge: spec.edge,
        enabled: spec.enabled,
        parent,
        tags: Arc::new(spec.tags),
        auth: spec.auth,
        desired: Arc::new(spec.desired),
    };
    Some((id, spec))
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

fn auth(auth: &Auth, context: &mut Context<'_>) {
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
        AuthType::Sas => {}
        AuthType::SelfSigned => {
            if auth.primary_thumbprint.is_none() && !context.was_dropped("/spec/auth/primaryThumbprint") {
                context.error("thumbprint", "/spec/auth/type", "selfSigned needs a primaryThumbprint");
            }
            not_yet(context);
        }
        AuthType::CertificateAuthority => not_yet(context),
    }
}

fn not_yet(context: &mut Context<'_>) {
    let message = "this version's hub accepts no certificates: the device will not be able to connect";
    context.warning("not-supported-yet", "/spec/auth/type", message).hint =
        Some("use `type: sas`".to_owned());
}

//! Stage 5, I/O: the steps of a plan → requests to the hub. Decides nothing; every step may be done twice.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use hemline_hub::HubHandle;
use hemline_hub_core::service::{
    Authentication, DeviceSettings, IfMatch, ModuleSettings, ServiceError, ServiceReply, ServiceRequest,
};
use hemline_model::{
    document::{Auth, AuthType},
    id::{ClientId, DeviceId},
};
use hemline_plan::{IdentityStep, MANAGED_BY, Plan, Step};

use crate::{brake, registry::Registry};

/// Devices that are written at the same time: enough for the hub to commit them in groups.
const AT_ONCE: usize = 64;

/// What could not be done, by device.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    pub(crate) failed: BTreeMap<DeviceId, String>,
}

/// Carries a plan out. A device that fails does not stop the others; its remaining steps wait for the next pass.
pub(crate) async fn apply(hub: &impl Registry, plan: &Plan) -> Applied {
    let mut applied = Applied::default();
    for wave in plan.waves() {
        let mut waiting = wave.into_iter();
        let mut running = FuturesUnordered::new();
        loop {
            // One by one: the steps of a fleet are not copied all at once.
            let room = AT_ONCE - running.len();
            for device in waiting.by_ref().take(room) {
                running.push(apply_device(hub.clone(), device.device.clone(), device.steps.clone()));
            }
            let Some((device, outcome)) = running.next().await else { break };
            if let Err(error) = outcome {
                tracing::warn!(%device, %error, "cannot bring the device to what its documents say");
                applied.failed.insert(device, error.to_string());
            }
        }
    }
    applied
}

async fn apply_device(
    hub: impl Registry,
    device: DeviceId,
    steps: Vec<Step>,
) -> (DeviceId, Result<(), ServiceError>) {
    for step in &steps {
        brake::point("before a step");
        if let Err(error) = hub.step(step).await {
            return (device, Err(error));
        }
        brake::point("after a step");
    }
    (device, Ok(()))
}

/// One step at the real hub.
pub(crate) async fn do_step(hub: &HubHandle, step: &Step) -> Result<(), ServiceError> {
    let outcome = hub.call(request(step)).await;
    match (step, outcome) {
        // Somebody made it in the meantime, or it is the second time: what it should say still has to be said.
        (Step::CreateDevice { device, identity }, Err(ServiceError::DeviceAlreadyExists(_))) => {
            let again = Step::UpdateDevice { device: device.clone(), identity: identity.clone() };
            done(hub.call(request(&again)).await)
        }
        (Step::CreateModule { .. }, Err(ServiceError::ModuleAlreadyExists(_)))
        | (Step::DeleteDevice { .. }, Err(ServiceError::DeviceNotFound(_)))
        | (
            Step::DeleteModule { .. },
            Err(ServiceError::DeviceNotFound(_) | ServiceError::ModuleNotFound(_)),
        ) => Ok(()),
        (_, outcome) => done(outcome),
    }
}

fn done(outcome: Result<ServiceReply, ServiceError>) -> Result<(), ServiceError> {
    outcome.map(|_| ())
}

fn request(step: &Step) -> ServiceRequest {
    match step {
        Step::CreateDevice { device, identity } => ServiceRequest::PutDevice {
            device: device.clone(),
            settings: settings(identity),
            if_match: IfMatch::Absent,
        },
        Step::UpdateDevice { device, identity } => ServiceRequest::PutDevice {
            device: device.clone(),
            settings: settings(identity),
            if_match: IfMatch::Any,
        },
        Step::DeleteDevice { device } => ServiceRequest::DeleteIdentity {
            client: ClientId::device(device.clone()),
            if_match: IfMatch::Any,
        },
        Step::CreateModule { device, module } => ServiceRequest::PutModule {
            client: ClientId::module(device.clone(), module.clone()),
            settings: ModuleSettings { authentication: None, managed_by: Some(MANAGED_BY.to_owned()) },
            if_match: IfMatch::Absent,
        },
        Step::DeleteModule { device, module } => ServiceRequest::DeleteIdentity {
            client: ClientId::module(device.clone(), module.clone()),
            if_match: IfMatch::Any,
        },
        Step::PatchTwin { device, module, tags, desired } => ServiceRequest::PatchTwin {
            client: ClientId { device: device.clone(), module: module.clone() },
            tags: tags.clone(),
            desired: desired.as_deref().cloned(),
            if_match: IfMatch::Any,
        },
    }
}

fn settings(identity: &IdentityStep) -> DeviceSettings {
    let IdentityStep { enabled, edge, parent, auth } = identity;
    DeviceSettings {
        enabled: *enabled,
        status_reason: None,
        authentication: auth.as_ref().and_then(authentication),
        edge: *edge,
        parent: parent.clone(),
    }
}

/// How the hub should judge the device; `None` lets it make keys.
fn authentication(auth: &Auth) -> Option<Authentication> {
    let upper = |thumbprint: &Option<String>| thumbprint.as_ref().map(|text| text.to_ascii_uppercase());
    match auth.kind {
        AuthType::Sas => Some(Authentication::Sas { primary: String::new(), secondary: String::new() }),
        AuthType::SelfSigned => Some(Authentication::SelfSigned {
            primary: upper(&auth.primary_thumbprint),
            secondary: upper(&auth.secondary_thumbprint),
        }),
        AuthType::CertificateAuthority => Some(Authentication::CertificateAuthority),
    }
}

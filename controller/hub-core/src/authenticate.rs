//! Who may come in, and who may ask for what (reference device-protocol §3.1, service-api §2).
//!
//! A token or a certificate, never both: whoever sends a token is judged by it alone. Keys are compared in constant time (`protocol::sas`). What exactly was wrong goes into logs and counters only.

use std::sync::Arc;

use hemline_model::id::{ClientId, DeviceId, ModuleId};
use hemline_protocol::sas::{SasToken, SymmetricKey};
use jiff::Timestamp;

use crate::{
    clock::later,
    credential::Credential,
    effect::AuthFailure,
    event::Caller,
    message::AuthMethod,
    registry::Registry,
    service::{Authentication, ServiceRequest},
    write::{Permission, Policy},
};

/// What a token is checked against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gate<'a> {
    pub(crate) registry: &'a Registry,
    /// Names of the hub, compared without case.
    pub(crate) names: &'a [String],
    pub(crate) skew_seconds: i64,
    /// On the hub of an edge device: only what is beneath that may come.
    pub(crate) beneath: Option<&'a DeviceId>,
    pub(crate) now: Timestamp,
}

/// A client is who it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Proof {
    pub(crate) method: AuthMethod,
    pub(crate) expiry: Timestamp,
}

/// On whose authority a request is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Authority {
    Internal,
    Policy,
    /// A device or module with a token or certificate of its own.
    Client,
    /// Whoever may speak for a device or module as its client, as over a connection.
    Device(AuthMethod),
}

/// What an operation needs of a policy.
enum Need {
    All(&'static [Permission]),
    Any(&'static [Permission]),
}

impl Gate<'_> {
    /// Lets a client in, or says why not.
    pub(crate) fn connect(
        &self,
        host: &str,
        client: &ClientId,
        credential: &Credential,
    ) -> Result<Proof, AuthFailure> {
        if !self.names.iter().any(|name| name.eq_ignore_ascii_case(host)) {
            return Err(AuthFailure::WrongHost);
        }
        match credential {
            Credential::Token(token) => self.speaks_for(client, token),
            Credential::Certificate(certificate) => self.certified(client, certificate),
        }
    }

    /// Is it there, and not disabled?
    pub(crate) fn may_connect(&self, client: &ClientId) -> Result<(), AuthFailure> {
        if self.registry.identity(client).is_none() {
            return Err(AuthFailure::UnknownIdentity);
        }
        if !self.registry.enabled(client) {
            return Err(AuthFailure::Disabled);
        }
        if self.beneath.is_some_and(|edge| !self.registry.is_beneath(&client.device, edge)) {
            return Err(AuthFailure::OutOfScope);
        }
        Ok(())
    }

    /// May the holder of this token act as this client?
    fn speaks_for(&self, client: &ClientId, token: &str) -> Result<Proof, AuthFailure> {
        self.may_connect(client)?;
        let token = self.token(token)?;
        if !token.resource().covers(&identity_path(client)) {
            return Err(AuthFailure::WrongIdentity);
        }
        let method = match token.policy() {
            Some(name) => {
                let policy = self.signed_by_policy(&token, name)?;
                if !policy.permissions.contains(&Permission::DeviceConnect) {
                    return Err(AuthFailure::Forbidden);
                }
                AuthMethod::PolicySas
            }
            None => self.signed_by_identity(&token, client)?,
        };
        Ok(Proof { method, expiry: token.expiry() })
    }

    /// Allows an operation, or says why not.
    pub(crate) fn service(
        &self,
        caller: &Caller,
        operation: &ServiceRequest,
    ) -> Result<Authority, AuthFailure> {
        if let ServiceRequest::Identify { client } = operation {
            return self.genuine(caller, client.as_ref());
        }
        let text = match caller {
            Caller::Internal => return Ok(Authority::Internal),
            Caller::Certificate(certificate) => return self.service_certified(certificate, operation),
            Caller::Module { module, credential } => return self.neighbour(module, credential, operation),
            Caller::Token(text) => text,
        };
        if let Some(client) = acting_client(operation) {
            return Ok(Authority::Device(self.speaks_for(client, text)?.method));
        }
        let token = self.token(text)?;
        match token.policy() {
            Some(name) => {
                let policy = self.signed_by_policy(&token, name)?;
                if !token.resource().covers(&operation_path(operation)) {
                    return Err(AuthFailure::WrongIdentity);
                }
                let has = |permission: &Permission| policy.permissions.contains(permission);
                let allowed = match need(operation) {
                    Need::All(needed) => needed.iter().all(has),
                    Need::Any(needed) => needed.iter().any(has),
                };
                if allowed { Ok(Authority::Policy) } else { Err(AuthFailure::Forbidden) }
            }
            None => {
                let client = identity_of(&token).ok_or(AuthFailure::WrongIdentity)?;
                self.may_connect(&client)?;
                self.signed_by_identity(&token, &client)?;
                if self.client_may(&client, operation) {
                    Ok(Authority::Client)
                } else {
                    Err(AuthFailure::Forbidden)
                }
            }
        }
    }

    /// Is the credential that of somebody who may come in? Whoever is allowed anything else passes here, too.
    fn genuine(&self, caller: &Caller, client: Option<&ClientId>) -> Result<Authority, AuthFailure> {
        let text = match caller {
            Caller::Internal => return Ok(Authority::Internal),
            Caller::Certificate(certificate) => {
                return self.holder_of(certificate, client).map(|()| Authority::Client);
            }
            Caller::Module { module, credential: Credential::Certificate(certificate) } => {
                return self.certified(module, certificate).map(|_| Authority::Client);
            }
            Caller::Module { module: _, credential: Credential::Token(text) } | Caller::Token(text) => text,
        };
        let token = self.token(text)?;
        match token.policy() {
            Some(name) => self.signed_by_policy(&token, name).map(|_| Authority::Policy),
            None => {
                let client = somebody_of(&token).ok_or(AuthFailure::WrongIdentity)?;
                self.may_connect(&client)?;
                self.signed_by_identity(&token, &client).map(|_| Authority::Client)
            }
        }
    }

    /// Allows an operation to a module that names itself: methods of its neighbours, nothing else.
    fn neighbour(
        &self,
        module: &ClientId,
        credential: &Credential,
        operation: &ServiceRequest,
    ) -> Result<Authority, AuthFailure> {
        match credential {
            Credential::Token(token) => self.speaks_for(module, token)?,
            Credential::Certificate(certificate) => self.certified(module, certificate)?,
        };
        let ServiceRequest::InvokeMethod { client: target, .. } = operation else {
            return Err(AuthFailure::Forbidden);
        };
        if self.may_call(module, target) { Ok(Authority::Client) } else { Err(AuthFailure::Forbidden) }
    }

    /// Whoever lives on an edge device is a neighbour there: its modules, and the devices below it.
    fn may_call(&self, module: &ClientId, target: &ClientId) -> bool {
        let own = |device: &DeviceId| *device == module.device;
        let parent = self.registry.device(&target.device).and_then(|device| device.identity.parent.as_ref());
        module.module.is_some()
            && self.registry.is_edge(&module.device)
            && (own(&target.device) || parent.is_some_and(own))
    }

    /// Reads a token and checks what does not need a key.
    fn token(&self, text: &str) -> Result<SasToken, AuthFailure> {
        let token = SasToken::parse(text).map_err(|_| AuthFailure::Malformed)?;
        if !token.resource().host_is_one_of(self.names) {
            return Err(AuthFailure::WrongHost);
        }
        if self.now > later(token.expiry(), self.skew_seconds) {
            return Err(AuthFailure::Expired);
        }
        Ok(token)
    }

    fn signed_by_policy(&self, token: &SasToken, name: &str) -> Result<&Policy, AuthFailure> {
        let policy = self.registry.policy(name).ok_or(AuthFailure::WrongKey)?;
        if signed_by(token, [&policy.primary_key, &policy.secondary_key]) {
            Ok(policy)
        } else {
            Err(AuthFailure::WrongKey)
        }
    }

    /// A module may use its own key for its own resource, or the key of its device for either resource.
    fn signed_by_identity(&self, token: &SasToken, client: &ClientId) -> Result<AuthMethod, AuthFailure> {
        let depth = token.resource().path().len();
        if depth < 2 {
            return Err(AuthFailure::WrongIdentity);
        }
        if client.module.is_some() && depth >= 4 && self.signed_by_own_key(token, client) {
            return Ok(AuthMethod::ModuleSas);
        }
        if self.signed_by_own_key(token, &ClientId::device(client.device.clone())) {
            return Ok(AuthMethod::DeviceSas);
        }
        Err(AuthFailure::WrongKey)
    }

    fn signed_by_own_key(&self, token: &SasToken, client: &ClientId) -> bool {
        match self.registry.identity(client).map(|identity| &identity.authentication) {
            Some(Authentication::Sas { primary, secondary }) => signed_by(token, [primary, secondary]),
            Some(
                Authentication::SelfSigned { .. }
                | Authentication::CertificateAuthority
                | Authentication::None,
            )
            | None => false,
        }
    }

    /// What a device or module may ask on its own authority: an edge device looks after its own modules (reference
    /// device-protocol §8.3).
    pub(crate) fn client_may(&self, client: &ClientId, operation: &ServiceRequest) -> bool {
        let own = |device: &DeviceId| *device == client.device;
        let own_edge = |device: &DeviceId| {
            client.module.is_none() && own(device) && self.registry.is_edge(&client.device)
        };
        match operation {
            ServiceRequest::GetDevice(device) => client.module.is_none() && own(device),
            ServiceRequest::ListModules(device) => own_edge(device),
            ServiceRequest::GetModule(target) | ServiceRequest::PutModule { client: target, .. } => {
                own_edge(&target.device)
            }
            ServiceRequest::DeleteIdentity { client: target, .. } => {
                target.module.is_some() && own_edge(&target.device)
            }
            ServiceRequest::SendTelemetry { client: target, .. }
            | ServiceRequest::ReceiveCloudToDevice(target)
            | ServiceRequest::SettleCloudToDevice { client: target, .. }
            | ServiceRequest::ActAs(target) => target == client,
            // A module calls its neighbours in its own name only (`neighbour`).
            ServiceRequest::InvokeMethod { .. }
            | ServiceRequest::ListDevices { .. }
            | ServiceRequest::PutDevice { .. }
            | ServiceRequest::SendCloudToDevice { .. }
            | ServiceRequest::PurgeCloudToDevice(_)
            | ServiceRequest::ReceiveFeedback
            | ServiceRequest::SettleFeedback { .. }
            | ServiceRequest::TellOfFile(_)
            | ServiceRequest::ReceiveFileNotice
            | ServiceRequest::SettleFileNotice { .. }
            | ServiceRequest::GetTwin(_)
            | ServiceRequest::PatchTwin { .. }
            | ServiceRequest::ReplaceTwin { .. }
            | ServiceRequest::Query { .. }
            | ServiceRequest::Statistics
            | ServiceRequest::GetPolicy(_)
            | ServiceRequest::Changes { .. }
            | ServiceRequest::Identify { .. }
            | ServiceRequest::Authorize(_) => false,
        }
    }
}

/// Both keys are tried, whatever the first says: the time taken tells nothing.
fn signed_by(token: &SasToken, keys: [&String; 2]) -> bool {
    keys.map(|key| SymmetricKey::from_base64(key).is_ok_and(|key| token.verify(&key))).contains(&true)
}

/// How a caller is named to people: the policy or identity of its token, which was checked before. Nobody for requests of
/// this process.
pub(crate) fn name_of(caller: &Caller) -> Option<Arc<str>> {
    let text = match caller {
        Caller::Internal => return None,
        Caller::Certificate(certificate) => {
            return certificate.common_name.as_ref().map(|name| format!("certificate of {name}").into());
        }
        Caller::Module { module, .. } => return Some(module.to_string().into()),
        Caller::Token(text) => text,
    };
    let token = SasToken::parse(text).ok()?;
    match token.policy() {
        Some(policy) => Some(format!("policy {policy}").into()),
        None => identity_of(&token).map(|client| client.to_string().into()),
    }
}

/// The identity that a token without a policy speaks for.
fn identity_of(token: &SasToken) -> Option<ClientId> {
    match token.resource().path() {
        [devices, device] if devices == "devices" => Some(ClientId::device(DeviceId::new(device).ok()?)),
        [devices, device, modules, module] if devices == "devices" && modules == "modules" => {
            Some(ClientId::module(DeviceId::new(device).ok()?, ModuleId::new(module).ok()?))
        }
        _ => None,
    }
}

/// The identity whose key may have signed a token without a policy, however much of its own its resource leads to.
fn somebody_of(token: &SasToken) -> Option<ClientId> {
    let (root, device, rest) = match token.resource().path() {
        [root, device, rest @ ..] => (root, DeviceId::new(device).ok()?, rest),
        [] | [_] => return None,
    };
    if root != "devices" {
        return None;
    }
    match rest {
        [modules, module, ..] if modules == "modules" => {
            Some(ClientId::module(device, ModuleId::new(module).ok()?))
        }
        _ => Some(ClientId::device(device)),
    }
}

fn identity_path(client: &ClientId) -> Vec<&str> {
    under("devices", client)
}

fn under<'a>(root: &'a str, client: &'a ClientId) -> Vec<&'a str> {
    match &client.module {
        None => vec![root, client.device.as_str()],
        Some(module) => vec![root, client.device.as_str(), "modules", module.as_str()],
    }
}

/// The REST path of an operation, which the resource of a policy token must lead to. Operations of Hemline's own API
/// have none: only a token for the whole hub covers them.
fn operation_path(operation: &ServiceRequest) -> Vec<&str> {
    match operation {
        ServiceRequest::GetDevice(device)
        | ServiceRequest::PutDevice { device, .. }
        | ServiceRequest::SendCloudToDevice { device, .. }
        | ServiceRequest::PurgeCloudToDevice(device) => {
            vec!["devices", device.as_str()]
        }
        ServiceRequest::ListDevices { .. } => vec!["devices"],
        ServiceRequest::ListModules(device) => vec!["devices", device.as_str(), "modules"],
        ServiceRequest::ReceiveFeedback | ServiceRequest::SettleFeedback { .. } => {
            vec!["messages", "serviceBound", "feedback"]
        }
        ServiceRequest::ReceiveFileNotice | ServiceRequest::SettleFileNotice { .. } => {
            vec!["messages", "serviceBound", "filenotifications"]
        }
        ServiceRequest::DeleteIdentity { client, .. }
        | ServiceRequest::SendTelemetry { client, .. }
        | ServiceRequest::ReceiveCloudToDevice(client)
        | ServiceRequest::SettleCloudToDevice { client, .. }
        | ServiceRequest::ActAs(client)
        | ServiceRequest::GetModule(client)
        | ServiceRequest::PutModule { client, .. } => under("devices", client),
        ServiceRequest::GetTwin(client)
        | ServiceRequest::PatchTwin { client, .. }
        | ServiceRequest::ReplaceTwin { client, .. }
        | ServiceRequest::InvokeMethod { client, .. } => under("twins", client),
        ServiceRequest::Query { .. } => vec!["devices", "query"],
        ServiceRequest::Statistics => vec!["statistics"],
        ServiceRequest::GetPolicy(_)
        | ServiceRequest::TellOfFile(_)
        | ServiceRequest::Changes { .. }
        | ServiceRequest::Identify { .. }
        | ServiceRequest::Authorize(_) => Vec::new(),
    }
}

/// The client in whose name an operation is asked for, when it is one of those that clients do.
pub(crate) fn acting_client(operation: &ServiceRequest) -> Option<&ClientId> {
    match operation {
        ServiceRequest::SendTelemetry { client, .. }
        | ServiceRequest::ReceiveCloudToDevice(client)
        | ServiceRequest::SettleCloudToDevice { client, .. }
        | ServiceRequest::ActAs(client) => Some(client),
        ServiceRequest::GetDevice(_)
        | ServiceRequest::ListDevices { .. }
        | ServiceRequest::PutDevice { .. }
        | ServiceRequest::DeleteIdentity { .. }
        | ServiceRequest::ListModules(_)
        | ServiceRequest::GetModule(_)
        | ServiceRequest::PutModule { .. }
        | ServiceRequest::GetTwin(_)
        | ServiceRequest::PatchTwin { .. }
        | ServiceRequest::ReplaceTwin { .. }
        | ServiceRequest::Query { .. }
        | ServiceRequest::InvokeMethod { .. }
        | ServiceRequest::SendCloudToDevice { .. }
        | ServiceRequest::PurgeCloudToDevice(_)
        | ServiceRequest::ReceiveFeedback
        | ServiceRequest::SettleFeedback { .. }
        | ServiceRequest::TellOfFile(_)
        | ServiceRequest::ReceiveFileNotice
        | ServiceRequest::SettleFileNotice { .. }
        | ServiceRequest::Statistics
        | ServiceRequest::GetPolicy(_)
        | ServiceRequest::Changes { .. }
        | ServiceRequest::Identify { .. }
        | ServiceRequest::Authorize(_) => None,
    }
}

fn need(operation: &ServiceRequest) -> Need {
    use Permission::{DeviceConnect, RegistryRead, RegistryWrite, ServiceConnect};
    match operation {
        ServiceRequest::GetDevice(_)
        | ServiceRequest::ListDevices { .. }
        | ServiceRequest::ListModules(_)
        | ServiceRequest::GetModule(_) => Need::All(&[RegistryRead]),
        ServiceRequest::PutDevice { .. }
        | ServiceRequest::DeleteIdentity { .. }
        | ServiceRequest::PutModule { .. } => Need::All(&[RegistryWrite]),
        ServiceRequest::GetTwin(_)
        | ServiceRequest::PatchTwin { .. }
        | ServiceRequest::ReplaceTwin { .. }
        | ServiceRequest::Query { .. }
        | ServiceRequest::InvokeMethod { .. }
        | ServiceRequest::SendCloudToDevice { .. }
        | ServiceRequest::PurgeCloudToDevice(_)
        | ServiceRequest::ReceiveFeedback
        | ServiceRequest::SettleFeedback { .. }
        | ServiceRequest::ReceiveFileNotice
        | ServiceRequest::SettleFileNotice { .. } => Need::All(&[ServiceConnect]),
        ServiceRequest::SendTelemetry { .. }
        | ServiceRequest::ReceiveCloudToDevice(_)
        | ServiceRequest::SettleCloudToDevice { .. }
        | ServiceRequest::ActAs(_) => Need::All(&[DeviceConnect]),
        ServiceRequest::Statistics => Need::Any(&[RegistryRead, ServiceConnect]),
        ServiceRequest::GetPolicy(_) => Need::All(&[RegistryWrite, ServiceConnect, DeviceConnect]),
        // No policy is enough: the answer holds the keys of everybody, or only this process knows whether it is so.
        ServiceRequest::Changes { .. } | ServiceRequest::TellOfFile(_) => Need::Any(&[]),
        // Any policy is enough, and it was asked for before (`genuine`).
        ServiceRequest::Identify { .. } => Need::All(&[]),
        ServiceRequest::Authorize(permission) => Need::All(match permission {
            RegistryRead => &[RegistryRead],
            RegistryWrite => &[RegistryWrite],
            ServiceConnect => &[ServiceConnect],
            DeviceConnect => &[DeviceConnect],
        }),
    }
}

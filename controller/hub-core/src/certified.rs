//! What the holder of a certificate may do (reference device-protocol §3.2). That it holds the key was proved in the TLS
//! handshake; whether it is somebody is decided here, against the registry, so that the hub can answer a wrong one.

use hemline_model::id::{ClientId, DeviceId};

use crate::{
    authenticate::{Authority, Gate, Proof, acting_client},
    credential::{Chain, Presented},
    effect::AuthFailure,
    message::AuthMethod,
    service::{Authentication, ServiceRequest},
};

impl Gate<'_> {
    /// Allows an operation to the holder of a certificate. A certificate names nobody by itself, so whoever the
    /// operation is about must be the holder: a client in its own name, or the device that looks after its modules.
    pub(crate) fn service_certified(
        &self,
        certificate: &Presented,
        operation: &ServiceRequest,
    ) -> Result<Authority, AuthFailure> {
        if let Some(client) = acting_client(operation) {
            return Ok(Authority::Device(self.certified(client, certificate)?.method));
        }
        let holder = ClientId::device(device_of(operation).ok_or(AuthFailure::Forbidden)?.clone());
        self.certified(&holder, certificate)?;
        if self.client_may(&holder, operation) { Ok(Authority::Client) } else { Err(AuthFailure::Forbidden) }
    }

    /// May the holder of this certificate act as this client? A module may use its own, or that of its device, as with
    /// keys.
    pub(crate) fn certified(&self, client: &ClientId, certificate: &Presented) -> Result<Proof, AuthFailure> {
        self.may_connect(client)?;
        let own = self.holds_certificate(client, certificate);
        let method = match (&client.module, own) {
            (None, own) => own.map(|()| AuthMethod::DeviceX509),
            (Some(_), Ok(())) => Ok(AuthMethod::ModuleX509),
            (Some(_), Err(failure)) => {
                let device = ClientId::device(client.device.clone());
                let of_device = self.holds_certificate(&device, certificate);
                of_device.map(|()| AuthMethod::DeviceX509).map_err(|_| failure)
            }
        };
        Ok(Proof { method: method?, expiry: certificate.not_after })
    }

    /// Is this the certificate of whom a request speaks, or of the device that looks after it?
    pub(crate) fn holder_of(
        &self,
        certificate: &Presented,
        client: Option<&ClientId>,
    ) -> Result<(), AuthFailure> {
        let client = client.ok_or(AuthFailure::Forbidden)?;
        let holds = |client: &ClientId| self.certified(client, certificate).map(drop);
        // A device may speak of a module that is not there yet.
        holds(client).or_else(|failure| holds(&ClientId::device(client.device.clone())).map_err(|_| failure))
    }

    /// Is this a certificate of exactly this identity (reference device-protocol §3.2)?
    fn holds_certificate(&self, client: &ClientId, certificate: &Presented) -> Result<(), AuthFailure> {
        match self.registry.identity(client).map(|identity| &identity.authentication) {
            Some(Authentication::SelfSigned { primary, secondary }) => {
                let mut known = primary.iter().chain(secondary);
                if !known.any(|thumbprint| certificate.has_thumbprint(thumbprint)) {
                    return Err(AuthFailure::WrongCertificate);
                }
                // Whoever names the very certificate needs nobody to vouch for it.
                self.is_current(certificate)
            }
            Some(Authentication::CertificateAuthority) => {
                if certificate.common_name.as_deref() != Some(&client.to_string()) {
                    return Err(AuthFailure::WrongIdentity);
                }
                // Before the chain: one with an expired end leads nowhere, and that would be all that is told.
                self.is_current(certificate)?;
                match certificate.chain {
                    Chain::Registered => Ok(()),
                    Chain::Unregistered => Err(AuthFailure::UntrustedCertificate),
                }
            }
            Some(Authentication::Sas { .. } | Authentication::None) | None => {
                Err(AuthFailure::WrongCertificate)
            }
        }
    }

    fn is_current(&self, certificate: &Presented) -> Result<(), AuthFailure> {
        if certificate.is_current(self.now) { Ok(()) } else { Err(AuthFailure::CertificateDates) }
    }
}

/// The device that an operation is about, where a device may ask for it by itself.
fn device_of(operation: &ServiceRequest) -> Option<&DeviceId> {
    match operation {
        ServiceRequest::GetDevice(device) | ServiceRequest::ListModules(device) => Some(device),
        ServiceRequest::GetModule(client)
        | ServiceRequest::PutModule { client, .. }
        | ServiceRequest::DeleteIdentity { client, .. }
        | ServiceRequest::SendTelemetry { client, .. }
        | ServiceRequest::ReceiveCloudToDevice(client)
        | ServiceRequest::SettleCloudToDevice { client, .. }
        | ServiceRequest::ActAs(client) => Some(&client.device),
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
        | ServiceRequest::Authorize(_) => None,
    }
}

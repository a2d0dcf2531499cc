//! What a module connects with: a token that the agent signs, and the agent's word on whom to trust (reference
//! device-protocol §3.1).
//!
//! The key never leaves the agent. Not here: when a token is renewed (`session.rs`).

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use hemline_model::secret::Secret;
use hemline_protocol::{
    bag,
    sas::{SasToken, string_to_sign},
};
use jiff::Timestamp;

use super::{
    StartError,
    environment::Environment,
    workload::{Workload, WorkloadCallError},
};
use crate::{
    causes,
    session::{CredentialSource, Credentials},
    tls,
};

/// What a token is made of before it is signed.
struct Draft {
    resource: String,
    expiry: String,
}

impl Draft {
    fn new(environment: &Environment, now: Timestamp, life: Duration) -> Self {
        let resource = format!(
            "{}/devices/{}/modules/{}",
            environment.hub, environment.client.device, environment.module
        );
        let end = now.as_second().saturating_add(i64::try_from(life.as_secs()).unwrap_or(i64::MAX));
        Self { resource: bag::encode(&resource), expiry: end.to_string() }
    }

    fn to_sign(&self) -> String {
        string_to_sign(&self.resource, &self.expiry)
    }

    fn signed(&self, digest: &str) -> Secret {
        Secret::new(SasToken::assemble(&self.resource, digest, &self.expiry, None))
    }
}

/// Asks the agent's workload API for what is needed.
pub(super) struct WorkloadCredentials {
    workload: Workload,
    environment: Environment,
    trust: Trust,
}

/// Whom to trust, and the text it was made from.
struct Trust {
    pem: String,
    config: Arc<rustls::ClientConfig>,
}

impl Trust {
    fn new(pem: String) -> Result<Self, StartError> {
        let config = tls::client_config(&pem).map_err(StartError::Trust)?;
        Ok(Self { pem, config })
    }
}

impl WorkloadCredentials {
    /// Fetches the trust bundle, which also proves that the environment is real.
    pub(super) async fn open(environment: Environment) -> Result<Self, StartError> {
        let workload = Workload::new(&environment);
        let trust = Trust::new(workload.trust_bundle().await?)?;
        Ok(Self { workload, environment, trust })
    }

    /// The hub's CA may have been replaced. Without an answer the old one is still good.
    async fn refresh_trust(&mut self) {
        match self.workload.trust_bundle().await {
            Ok(pem) if pem == self.trust.pem => {}
            Ok(pem) => match Trust::new(pem) {
                Ok(trust) => self.trust = trust,
                Err(error) => {
                    tracing::warn!(
                        error = causes(&error),
                        "new trust bundle cannot be used; keeping the old one"
                    );
                }
            },
            Err(error) => tracing::debug!(error = causes(&error), "keeping the old trust bundle"),
        }
    }

    /// Has a token signed that is valid from now on for `life`.
    async fn token(&self, life: Duration) -> Result<Secret, WorkloadCallError> {
        let draft = Draft::new(&self.environment, Timestamp::now(), life);
        let digest = self.workload.sign(draft.to_sign().as_bytes()).await?;
        Ok(draft.signed(&digest))
    }
}

impl CredentialSource for WorkloadCredentials {
    fn fresh(&mut self, life: Duration) -> BoxFuture<'_, Result<Credentials, String>> {
        Box::pin(async move {
            self.refresh_trust().await;
            let token = self.token(life).await.map_err(|error| causes(&error))?;
            Ok(Credentials { token, trust: Arc::clone(&self.trust.config) })
        })
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use hemline_protocol::sas::SymmetricKey;

    use super::*;
    use crate::edge_client::tests::environment;

    #[test]
    fn text() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let draft = Draft::new(&environment("/a.sock", "127.0.0.1", 1), now, Duration::from_secs(3600));
        assert_eq!(draft.to_sign(), "hub.local%2Fdevices%2Fpress-01%2Fmodules%2Ffilter\n1700003600");
        assert_eq!(
            draft.signed("a+b/c=").expose(),
            "SharedAccessSignature sr=hub.local%2Fdevices%2Fpress-01%2Fmodules%2Ffilter&sig=a%2Bb%2Fc%3D&se=1700003600"
        );
    }

    #[test]
    fn the_hub_accepts_it() {
        let key = SymmetricKey::from_bytes(vec![7; 32]).unwrap();
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let draft = Draft::new(&environment("/a.sock", "127.0.0.1", 1), now, Duration::from_secs(60));
        let token = draft.signed(&STANDARD.encode(key.sign(draft.to_sign().as_bytes())));
        let token = SasToken::parse(token.expose()).unwrap();
        assert!(token.verify(&key));
        assert_eq!(token.expiry().as_second(), 1_700_000_060);
        assert!(token.resource().covers(&["devices", "press-01", "modules", "filter"]));
    }
}

//! One TLS connection to the hub, as a client would make it: the name is looked up, the certificate must fit. Bounded in time.

use std::{sync::Arc, time::Duration};

use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, ServerName},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::scene::HubAt;

const DEADLINE: Duration = Duration::from_secs(10);

/// Connects to a port of the hub under its own name.
pub(super) async fn open(hub: &HubAt, port: u16) -> Result<TlsStream<TcpStream>, String> {
    open_as(hub, &hub.name, (hub.name.as_str(), port)).await
}

/// Connects to an address, and expects a certificate for a name.
pub(super) async fn open_as(
    hub: &HubAt,
    name: &str,
    address: impl tokio::net::ToSocketAddrs,
) -> Result<TlsStream<TcpStream>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(hub.roots()?)
        .with_no_client_auth();
    let server = ServerName::try_from(name.to_owned()).map_err(|error| error.to_string())?;
    let dialled = async {
        let tcp = TcpStream::connect(address).await.map_err(|error| format!("no connection: {error}"))?;
        let tls = TlsConnector::from(Arc::new(config)).connect(server, tcp).await;
        tls.map_err(|error| format!("no TLS: {error}"))
    };
    timeout(DEADLINE, dialled).await.map_err(|_| format!("no answer within {} s", DEADLINE.as_secs()))?
}

/// Says something, and waits for the first bytes of the answer, at most so many.
pub(super) async fn exchange(
    connection: &mut TlsStream<TcpStream>,
    says: &[u8],
    at_most: usize,
) -> Result<Vec<u8>, String> {
    let talk = async {
        connection.write_all(says).await?;
        connection.flush().await?;
        let mut answer = vec![0; at_most];
        let length = connection.read(&mut answer).await?;
        answer.truncate(length);
        Ok::<_, std::io::Error>(answer)
    };
    let answer = timeout(DEADLINE, talk).await.map_err(|_| format!("silent for {} s", DEADLINE.as_secs()))?;
    answer.map_err(|error| error.to_string())
}

/// The certificate that the hub showed.
pub(super) fn shown(connection: &TlsStream<TcpStream>) -> Option<CertificateDer<'static>> {
    connection.get_ref().1.peer_certificates()?.first().cloned().map(CertificateDer::into_owned)
}

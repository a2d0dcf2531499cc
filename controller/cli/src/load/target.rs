//! Where the load goes: one address, with or without TLS, from as many addresses of this machine as it takes.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use rustls::{ClientConfig, RootCertStore, client::Resumption, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, TcpStream, lookup_host},
};
use tokio_rustls::TlsConnector;

use super::error::LoadError;
use crate::client::pem_certificates;

/// Connections from one loopback address: a port is taken by each, and for a while after its end.
const PER_ADDRESS: u32 = 4_096;

/// A stream of bytes, whatever is below it.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// How a server is talked to.
#[derive(Clone)]
pub(crate) enum Security {
    /// As it is.
    Plain,
    /// TLS, with a server of this name.
    Tls(TlsConnector, ServerName<'static>),
}

/// A server to be loaded.
pub(crate) struct Target {
    address: SocketAddr,
    security: Security,
    opened: AtomicU32,
}

impl Security {
    /// TLS that trusts one authority. Every connection shakes hands in full, as those of different devices do.
    pub(crate) fn tls(ca_pem: &str, name: &str) -> Result<Self, LoadError> {
        let refused = |error: &dyn std::fmt::Display| LoadError::Tls(error.to_string());
        let mut roots = RootCertStore::empty();
        for der in pem_certificates(ca_pem).map_err(|error| refused(&error))? {
            roots.add(der).map_err(|error| refused(&error))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| refused(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        let name = ServerName::try_from(name.to_owned()).map_err(|error| refused(&error))?;
        Ok(Self::Tls(TlsConnector::from(Arc::new(config)), name))
    }

    /// In a word.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tls(..) => "TLS",
        }
    }
}

impl Target {
    /// Finds the host. Only this machine is let through, unless the user insists.
    pub(crate) async fn find(
        host: &str,
        port: u16,
        security: Security,
        allow_remote: bool,
    ) -> Result<Self, LoadError> {
        let unknown = |source| LoadError::Unknown { host: host.to_owned(), source };
        let mut found = lookup_host((host, port)).await.map_err(unknown)?;
        let address = found.next().ok_or_else(|| unknown(std::io::ErrorKind::NotFound.into()))?;
        if !allow_remote && !address.ip().to_canonical().is_loopback() {
            return Err(LoadError::Remote { address });
        }
        // A process that runs again at once begins at other addresses than the one before.
        let begin = std::process::id().wrapping_mul(PER_ADDRESS);
        Ok(Self { address, security, opened: AtomicU32::new(begin) })
    }

    /// Where that is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// In a word.
    pub(crate) fn word(&self) -> &'static str {
        self.security.word()
    }

    /// One more connection.
    pub(crate) async fn open(&self) -> Result<Box<dyn Stream>, LoadError> {
        let address = self.address;
        let dialled = self.dial().await.map_err(|source| LoadError::Dial { address, source })?;
        match &self.security {
            Security::Plain => Ok(Box::new(dialled)),
            Security::Tls(connector, name) => {
                let shaken = connector.connect(name.clone(), dialled).await;
                Ok(Box::new(shaken.map_err(|source| LoadError::Dial { address, source })?))
            }
        }
    }

    async fn dial(&self) -> std::io::Result<TcpStream> {
        let socket = if self.address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(source) = source_of(self.address, self.opened.fetch_add(1, Ordering::Relaxed)) {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        socket.set_nodelay(true)?;
        socket.connect(self.address).await
    }
}

/// The address from which connection number `n` comes; the system chooses where there is but one.
fn source_of(target: SocketAddr, n: u32) -> Option<IpAddr> {
    match target.ip() {
        IpAddr::V4(address) if address.is_loopback() => {
            let place = n / PER_ADDRESS;
            let byte = |number: u32| u8::try_from(number % 250 + 1).unwrap_or(1);
            Some(Ipv4Addr::new(127, 200, byte(place / 250), byte(place)).into())
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_connections_come_from_many_addresses() {
        let from = |target: &str, n| source_of(target.parse().unwrap(), n).map(|address| address.to_string());
        assert_eq!(from("127.0.0.1:8883", 0).as_deref(), Some("127.200.1.1"));
        assert_eq!(from("127.0.0.1:8883", PER_ADDRESS - 1).as_deref(), Some("127.200.1.1"));
        assert_eq!(from("127.9.9.9:8883", PER_ADDRESS).as_deref(), Some("127.200.1.2"));
        assert_eq!(from("127.0.0.1:8883", 250 * PER_ADDRESS).as_deref(), Some("127.200.2.1"));
        assert_eq!(from("127.0.0.1:8883", u32::MAX).map(|text| text.starts_with("127.200.")), Some(true));
        assert_eq!(from("[::1]:8883", 1), None);
        assert_eq!(from("192.0.2.1:8883", 1), None);
    }

    #[tokio::test]
    async fn another_machine_is_let_be() {
        let find = |host: &'static str, allow| Target::find(host, 1883, Security::Plain, allow);
        assert!(matches!(find("192.0.2.1", false).await, Err(LoadError::Remote { .. })));
        assert!(find("192.0.2.1", true).await.is_ok());
        assert!(find("127.0.0.1", false).await.is_ok());
    }
}

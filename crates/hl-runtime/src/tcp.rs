use std::io;
use std::sync::Arc;

use hl_core::seam::{BoxFuture, BoxListener, BoxStream, Endpoint, Listener, Net};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// TCP, and TLS over it with the certificate roots of the Mozilla programme. Certificates are always verified.
#[derive(Clone)]
pub struct TcpNet {
    tls: TlsConnector,
}

impl TcpNet {
    /// A network with the built-in certificate roots.
    #[must_use]
    pub fn new() -> Self {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Self { tls: TlsConnector::from(Arc::new(config)) }
    }
}

impl Default for TcpNet {
    fn default() -> Self {
        Self::new()
    }
}

impl Net for TcpNet {
    fn connect<'a>(&'a self, to: &'a Endpoint) -> BoxFuture<'a, io::Result<BoxStream>> {
        Box::pin(async move {
            let tcp = TcpStream::connect((to.host.as_str(), to.port)).await?;
            tcp.set_nodelay(true)?;
            if !to.tls {
                return Ok(Box::new(tcp) as BoxStream);
            }
            let name = ServerName::try_from(to.host.clone())
                .map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
            Ok(Box::new(self.tls.connect(name, tcp).await?) as BoxStream)
        })
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<BoxListener>> {
        Box::pin(async move {
            let listener = TcpListener::bind(address).await?;
            let local = listener.local_addr()?;
            let endpoint = Endpoint { host: local.ip().to_string(), port: local.port(), tls: false };
            Ok(Box::new(Tcp { listener, endpoint }) as BoxListener)
        })
    }
}

struct Tcp {
    listener: TcpListener,
    endpoint: Endpoint,
}

impl Listener for Tcp {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(async move {
            let (tcp, _) = self.listener.accept().await?;
            tcp.set_nodelay(true)?;
            Ok(Box::new(tcp) as BoxStream)
        })
    }

    fn endpoint(&self) -> Endpoint {
        self.endpoint.clone()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn bytes_go_both_ways() {
        let net = TcpNet::new();
        let mut listener = net.listen("127.0.0.1:0").await.unwrap();
        let endpoint = listener.endpoint();
        let (client, server) = tokio::join!(net.connect(&endpoint), listener.accept());
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        client.write_all(b"ping").await.unwrap();
        let mut seen = [0; 4];
        server.read_exact(&mut seen).await.unwrap();
        assert_eq!(&seen, b"ping");
    }

    #[tokio::test]
    async fn plain_text_is_not_accepted_where_tls_is_asked_for() {
        let net = TcpNet::new();
        let mut listener = net.listen("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint { tls: true, ..listener.endpoint() };
        let (client, ()) = tokio::join!(net.connect(&endpoint), async {
            let mut server = listener.accept().await.unwrap();
            server.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        });
        assert!(client.is_err());
    }
}

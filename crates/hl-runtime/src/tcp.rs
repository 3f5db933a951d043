use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hl_core::seam::{BoxFuture, BoxListener, BoxStream, Endpoint, Listener, Net};
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error as TlsError, RootCertStore};

/// TCP, and TLS over it with the certificate roots of the Mozilla programme. Certificates are always verified.
#[derive(Clone)]
pub struct TcpNet {
    tls: TlsConnector,
    /// What connections go out from; none: as the system routes.
    local: Option<IpAddr>,
}

impl TcpNet {
    /// A network with the built-in certificate roots.
    #[must_use]
    pub fn new() -> Self {
        Self::trusting(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
    }

    /// The same, with connections that go out from an address of this machine.
    ///
    /// # Errors
    /// Where this machine has no such address.
    pub fn from_address(local: IpAddr) -> io::Result<Self> {
        socket(local)?;
        Ok(Self { local: Some(local), ..Self::new() })
    }

    async fn open(&self, found: &[SocketAddr]) -> io::Result<TcpStream> {
        let Some(local) = self.local else { return TcpStream::connect(found).await };
        let mut failed = None;
        for to in found.iter().filter(|to| to.is_ipv4() == local.is_ipv4()) {
            match socket(local)?.connect(*to).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = Some(error),
            }
        }
        let words = format!("{local} is of another family than every address of the host");
        Err(failed.unwrap_or_else(|| io::Error::new(io::ErrorKind::AddrNotAvailable, words)))
    }

    fn trusting(roots: RootCertStore) -> Self {
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Self { tls: TlsConnector::from(Arc::new(config)), local: None }
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
            let found =
                lookup_host((to.host.as_str(), to.port)).await.map_err(|e| unresolved(&to.host, &e))?;
            let tcp = self.open(&found.collect::<Vec<_>>()).await?;
            tcp.set_nodelay(true)?;
            if !to.tls {
                return Ok(Box::new(tcp) as BoxStream);
            }
            let name = ServerName::try_from(to.host.clone())
                .map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
            let tls = self.tls.connect(name, tcp).await.map_err(|e| distrusted(&to.host, e))?;
            Ok(Box::new(tls) as BoxStream)
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

/// A socket that goes out from `local`.
fn socket(local: IpAddr) -> io::Result<TcpSocket> {
    let socket = if local.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(local, 0))?;
    Ok(socket)
}

fn unresolved(host: &str, error: &io::Error) -> io::Error {
    let words = format!(
        "the name {host} cannot be resolved: check it, and the name servers of this machine ({error})"
    );
    io::Error::new(error.kind(), words)
}

/// A certificate that is not accepted, in words that say what may be behind it. Nothing was sent then.
fn distrusted(host: &str, error: io::Error) -> io::Error {
    let Some(TlsError::InvalidCertificate(reason)) = error.get_ref().and_then(|e| e.downcast_ref()) else {
        return error;
    };
    let words = match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the certificate of {host} has expired, or the clock of this machine is wrong")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the certificate of {host} is not valid yet, or the clock of this machine is wrong")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("who answers for {host} has the certificate of another name: a proxy, or a hijacked name")
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            format!(
                "the certificate of {host} is signed by no known authority: a proxy in between, or a hijacked name"
            )
        }
        other => format!("the certificate of {host} is not accepted: {other}"),
    };
    io::Error::new(error.kind(), words)
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
    use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;

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

    /// An authority, and what it signs.
    struct Authority(Issuer<'static, KeyPair>, Certificate);

    impl Authority {
        fn new() -> Self {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let certificate = params.self_signed(&key).unwrap();
            Self(Issuer::new(params, key), certificate)
        }

        fn net(&self) -> TcpNet {
            let mut roots = RootCertStore::empty();
            roots.add(self.1.der().clone()).unwrap();
            TcpNet::trusting(roots)
        }

        /// A server with a certificate for `name` that expires in `year`, signed by this authority.
        fn server(&self, name: &str, year: i32) -> TlsAcceptor {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new([name.to_owned()]).unwrap();
            params.not_after = date_time_ymd(year, 1, 1);
            let certificate = params.signed_by(&key, &self.0).unwrap();
            let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            let config = ServerConfig::builder()
                .with_no_client_auth()
                .with_single_cert(vec![certificate.der().clone()], key)
                .unwrap();
            TlsAcceptor::from(Arc::new(config))
        }
    }

    #[tokio::test]
    async fn connections_go_out_from_the_address_that_was_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let endpoint = Endpoint { host: "127.0.0.1".into(), port, tls: false };
        let local: IpAddr = "127.0.0.2".parse().unwrap();
        let net = TcpNet::from_address(local).unwrap();
        let (connected, accepted) = tokio::join!(net.connect(&endpoint), listener.accept());
        assert!(connected.is_ok());
        assert_eq!(accepted.unwrap().1.ip(), local);

        let other = TcpNet::from_address("::1".parse().unwrap()).unwrap();
        let error = other.connect(&endpoint).await.err().unwrap().to_string();
        assert!(error.contains("of another family"), "{error}");
        assert!(TcpNet::from_address("192.0.2.1".parse().unwrap()).is_err(), "no address of this machine");
    }

    /// What becomes of a connection to `server` by the name of `localhost`, on both sides.
    async fn shaken(net: &TcpNet, server: TlsAcceptor) -> (io::Result<BoxStream>, bool) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let endpoint = Endpoint { host: "localhost".into(), port, tls: true };
        tokio::join!(net.connect(&endpoint), async {
            let (tcp, _) = listener.accept().await.unwrap();
            server.accept(tcp).await.is_ok()
        })
    }

    #[tokio::test]
    async fn only_a_certificate_for_the_name_that_has_not_expired_and_is_signed_by_somebody_known_is_accepted()
     {
        let (known, unknown) = (Authority::new(), Authority::new());
        let net = known.net();
        let (client, _) = shaken(&net, known.server("localhost", 4000)).await;
        assert!(client.is_ok(), "{:?}", client.err());
        for (server, words) in [
            (known.server("localhost", 2020), "has expired, or the clock"),
            (known.server("example.org", 4000), "certificate of another name"),
            (unknown.server("localhost", 4000), "signed by no known authority"),
        ] {
            let (client, served) = shaken(&net, server).await;
            let error = client.err().unwrap().to_string();
            assert!(error.contains(words) && error.contains("localhost"), "{error}");
            assert!(!served, "nothing may be sent");
        }
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_is_named() {
        let endpoint = Endpoint { host: "nowhere.invalid".into(), port: 443, tls: true };
        let error = TcpNet::new().connect(&endpoint).await.err().unwrap().to_string();
        assert!(error.contains("the name nowhere.invalid cannot be resolved"), "{error}");
    }
}

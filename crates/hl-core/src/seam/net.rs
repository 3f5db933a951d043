use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::str::FromStr;

use tokio::io::{AsyncRead, AsyncWrite};

/// A boxed future, for traits that are used as objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Something that bytes flow through both ways: TCP, TLS over TCP, or memory.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// A boxed [`ByteStream`].
pub type BoxStream = Box<dyn ByteStream>;
/// A boxed [`Listener`].
pub type BoxListener = Box<dyn Listener>;

/// Where to connect: host, port, and whether TLS is spoken.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Endpoint {
    /// A host name or an IP address, without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// Whether the connection is wrapped in TLS, with the certificate checked against `host`.
    pub tls: bool,
}

/// The text is no base URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a base URL: {reason}; write it like https://host or http://127.0.0.1:4001")]
pub struct EndpointError {
    /// What was given, user and password masked: errors end up in logs.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Parses a base URL: `http`, `https`, `ws` or `wss`, a host, an optional port, no path.
impl FromStr for Endpoint {
    type Err = EndpointError;
    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let fail = |reason| EndpointError { text: without_credentials(text), reason };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| fail("it has no scheme"))?;
        let tls = match scheme {
            "http" | "ws" => false,
            "https" | "wss" => true,
            _ => return Err(fail("the scheme is not http, https, ws or wss")),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#', '@']) {
            return Err(fail("only a host and a port may follow the scheme"));
        }
        let default_port = if tls { 443 } else { 80 };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| fail("the port is no number from 0 to 65535"))?)
            }
            _ => (authority, default_port),
        };
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() {
            return Err(fail("it has no host"));
        }
        Ok(Self { host: host.to_owned(), port, tls })
    }
}

fn without_credentials(text: &str) -> String {
    let Some(at) = text.rfind('@') else { return text.to_owned() };
    let scheme = text.find("://").map_or(0, |scheme| scheme + 3);
    format!("{}***{}", &text[..scheme.min(at)], &text[at..])
}

impl Endpoint {
    /// The value of a `Host` header.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }
}

/// The network: gives byte streams, and holds no decision.
pub trait Net: Send + Sync + 'static {
    /// Opens a connection, TLS handshake included where the endpoint asks for it. Dropping the future abandons
    /// the attempt. The caller sets the time limit.
    fn connect<'a>(&'a self, to: &'a Endpoint) -> BoxFuture<'a, io::Result<BoxStream>>;

    /// Listens on `host:port`, without TLS. Port 0 takes a free one; the listener tells which.
    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<BoxListener>>;
}

/// A bound port.
pub trait Listener: Send {
    /// The next connection. Safe to drop and call again.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<BoxStream>>;

    /// The endpoint that reaches this listener.
    fn endpoint(&self) -> Endpoint;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls() {
        let parse = |s: &str| s.parse::<Endpoint>();
        assert_eq!(
            parse("https://api.hyperliquid.xyz").unwrap(),
            Endpoint { host: "api.hyperliquid.xyz".into(), port: 443, tls: true }
        );
        assert_eq!(parse("http://127.0.0.1:4001/").unwrap().to_string(), "http://127.0.0.1:4001");
        assert_eq!(parse("http://[::1]:80").unwrap().authority(), "[::1]");
        for bad in ["127.0.0.1:4001", "ftp://x", "http://", "http://a/b", "http://a:99999", "http://u:p@a"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        for bad in ["https://me:secret@host", "me:secret@host", "https://me:sec/r@et@host/x"] {
            let said = parse(bad).unwrap_err().to_string();
            assert!(said.contains("***@host") && !said.contains("sec"), "{said}");
        }
    }
}

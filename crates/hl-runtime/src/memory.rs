use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use hl_core::seam::{BoxFuture, BoxListener, BoxStream, Endpoint, Listener, Net};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

/// Bytes that a connection buffers each way before a writer waits.
const BUFFER: usize = 256 * 1024;
/// Connections that may wait to be accepted.
const BACKLOG: usize = 64;

/// A network inside the process: listeners have names, connections are pairs of buffers. Under a paused clock it is
/// deterministic. Host names are arbitrary; the port tells listeners of one host apart.
#[derive(Clone, Default)]
pub struct MemoryNet {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    listeners: BTreeMap<(String, u16), mpsc::Sender<DuplexStream>>,
    last_port: u16,
}

impl MemoryNet {
    /// A network with no listeners.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Net for MemoryNet {
    fn connect<'a>(&'a self, to: &'a Endpoint) -> BoxFuture<'a, io::Result<BoxStream>> {
        Box::pin(async move {
            let key = (to.host.clone(), to.port);
            let queue = {
                let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.listeners.get(&key).cloned()
            };
            let refused =
                || io::Error::new(io::ErrorKind::ConnectionRefused, format!("nobody listens on {to}"));
            let (ours, theirs) = tokio::io::duplex(BUFFER);
            queue.ok_or_else(refused)?.send(theirs).await.map_err(|_| refused())?;
            Ok(Box::new(ours) as BoxStream)
        })
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<BoxListener>> {
        Box::pin(async move {
            let invalid =
                || io::Error::new(io::ErrorKind::InvalidInput, format!("{address:?} is no host:port"));
            let (host, port) = address.rsplit_once(':').ok_or_else(invalid)?;
            let mut port: u16 = port.parse().map_err(|_| invalid())?;
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if port == 0 {
                state.last_port = state.last_port.wrapping_add(1).max(1);
                port = state.last_port;
            }
            let key = (host.to_owned(), port);
            if state.listeners.get(&key).is_some_and(|queue| !queue.is_closed()) {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, format!("{address} is taken")));
            }
            let (queue, incoming) = mpsc::channel(BACKLOG);
            state.listeners.insert(key, queue);
            let endpoint = Endpoint { host: host.to_owned(), port, tls: false };
            Ok(Box::new(Memory { incoming, endpoint }) as BoxListener)
        })
    }
}

struct Memory {
    incoming: mpsc::Receiver<DuplexStream>,
    endpoint: Endpoint,
}

impl Listener for Memory {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(async move {
            match self.incoming.recv().await {
                Some(stream) => Ok(Box::new(stream) as BoxStream),
                None => Err(io::Error::new(io::ErrorKind::NotConnected, "the network is gone")),
            }
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

    #[tokio::test(start_paused = true)]
    async fn connects_only_where_somebody_listens() {
        let net = MemoryNet::new();
        let nobody = Endpoint { host: "sim".into(), port: 7, tls: false };
        let error = net.connect(&nobody).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);

        let mut listener = net.listen("sim:0").await.unwrap();
        let endpoint = listener.endpoint();
        let mut client = net.connect(&endpoint).await.unwrap();
        let mut server = listener.accept().await.unwrap();
        server.write_all(b"hello").await.unwrap();
        let mut seen = [0; 5];
        client.read_exact(&mut seen).await.unwrap();
        assert_eq!(&seen, b"hello");

        assert_eq!(net.listen(&endpoint.authority()).await.err().unwrap().kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        assert!(net.connect(&endpoint).await.is_err());
        assert!(net.listen(&endpoint.authority()).await.is_ok(), "a dropped listener frees its name");
    }
}

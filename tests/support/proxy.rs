//! A peer that turns bad on demand: it stands between daemon and exchange, and harms the connections that pass.
//!
//! What lives here: bytes over TCP, and as much of WebSocket framing as is needed to put something between two frames
//! of a live socket. Harms to the exchange's own behaviour (refusals, wrong answers) are the simulated exchange's.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How much a bad peer sends where it sends too much, bytes.
pub(crate) const FLOOD: usize = 100 << 20;
const CHUNK: usize = 64 << 10;
/// The pause between two bytes of [`Harm::Drip`].
const DRIP: Duration = Duration::from_secs(1);

/// What is done to a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Harm {
    /// Nothing.
    #[default]
    None,
    /// Connections are dropped, new ones before an answer.
    Cut,
    /// Whatever is sent is swallowed, either way, and nobody hangs up. Such a connection never speaks again.
    Silent,
    /// Answers come one byte a second.
    Drip,
    /// A frame of 100 MB.
    GiantFrame,
    /// A message of 100 MB in fragments, the last of which never comes.
    Fragments,
    /// A compressed frame; nobody has agreed on compression.
    CompressedFrame,
    /// An answer of 100 MB that says so.
    LongAnswer,
    /// An answer of 100 MB in chunks.
    ChunkedAnswer,
    /// A compressed answer; nobody has asked for one.
    CompressedAnswer,
    /// An answer whose head never ends.
    EndlessHead,
}

/// What is done to sockets, and to requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Harms {
    pub(crate) ws: Harm,
    pub(crate) rest: Harm,
}

/// The proxy. Its connections end with it.
pub(crate) struct Proxy {
    /// Its base URL.
    pub(crate) base: String,
    harms: watch::Sender<Harms>,
    counts: Arc<Counts>,
    _tasks: JoinSet<()>,
}

/// What was done.
#[derive(Default)]
struct Counts {
    harmed: AtomicU64,
    flooded: AtomicU64,
}

impl Proxy {
    /// Stands before the exchange at `base`.
    pub(crate) async fn before(base: &str) -> Self {
        let target = base.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let harms = watch::Sender::new(Harms::default());
        let counts = Arc::new(Counts::default());
        let mut tasks = JoinSet::new();
        let (of_harms, of_counts) = (harms.subscribe(), counts.clone());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (target, harms, counts) = (target.clone(), of_harms.clone(), of_counts.clone());
                connections.spawn(async move {
                    // Either side may go at any time: that is what this is for.
                    let _ = carry(client, &target, harms, &counts).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { base, harms, counts, _tasks: tasks }
    }

    /// Does this from now on, to connections that are open and to new ones.
    pub(crate) fn harm(&self, harms: Harms) {
        self.harms.send_replace(harms);
    }

    /// Does no more harm to new connections.
    pub(crate) fn relent(&self) {
        self.harm(Harms::default());
    }

    /// How many connections were harmed so far.
    pub(crate) fn harmed(&self) -> u64 {
        self.counts.harmed.load(Ordering::Relaxed)
    }

    /// How many bytes of floods went out so far.
    pub(crate) fn flooded(&self) -> u64 {
        self.counts.flooded.load(Ordering::Relaxed)
    }
}

/// One connection, from its first request to its end.
async fn carry(
    mut client: TcpStream,
    target: &str,
    mut harms: watch::Receiver<Harms>,
    counts: &Counts,
) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let is_ws = head.starts_with(b"GET /ws");
    let of = |harms: &Harms| if is_ws { harms.ws } else { harms.rest };
    let mut harm = of(&harms.borrow_and_update());
    let mut server = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let mut frames = Frames::default();
    let mut request = head;
    let mut answer = Vec::new();
    let (mut asked, mut answered) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut seen = Harm::None;
    loop {
        if harm != seen && harm != Harm::None {
            counts.harmed.fetch_add(1, Ordering::Relaxed);
        }
        seen = harm;
        match harm {
            Harm::None | Harm::Drip => server.write_all(&request).await?,
            Harm::Cut => return Ok(()),
            Harm::Silent => return swallow(&mut client, &mut server).await,
            // Between two frames, the harm is done at once; otherwise at the end of the frame.
            Harm::GiantFrame | Harm::Fragments | Harm::CompressedFrame => {
                server.write_all(&request).await?;
                if frames.between() {
                    flood_socket(&mut client, harm, counts).await?;
                    return hold(&mut client).await;
                }
            }
            Harm::LongAnswer | Harm::ChunkedAnswer | Harm::CompressedAnswer | Harm::EndlessHead => {
                if !request.is_empty() {
                    flood_answer(&mut client, harm, counts).await?;
                    return hold(&mut client).await;
                }
            }
        }
        request.clear();
        let drips = harm == Harm::Drip && !answer.is_empty();
        tokio::select! {
            biased;
            changed = harms.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                harm = of(&harms.borrow_and_update());
                if harm != Harm::Drip && !answer.is_empty() {
                    client.write_all(&answer).await?;
                    answer.clear();
                }
            }
            read = client.read(&mut asked) => match read? {
                0 => return Ok(()),
                n => request.extend_from_slice(&asked[..n]),
            },
            () = tokio::time::sleep(DRIP), if drips => {
                client.write_all(&answer[..1]).await?;
                answer.remove(0);
            }
            read = server.read(&mut answered), if !drips => match read? {
                0 => return Ok(()),
                n => {
                    if is_ws {
                        frames.pass(&answered[..n]);
                    }
                    match harm {
                        Harm::Drip => answer.extend_from_slice(&answered[..n]),
                        _ => client.write_all(&answered[..n]).await?,
                    }
                }
            },
        }
    }
}

/// Half-open: both sides are read, nothing is passed on. Ends when the client hangs up.
async fn swallow(client: &mut TcpStream, server: &mut TcpStream) -> io::Result<()> {
    let (mut a, mut b) = ([0; 4096], [0; 4096]);
    let mut server_open = true;
    loop {
        tokio::select! {
            biased;
            read = client.read(&mut a) => if read? == 0 { return Ok(()) },
            read = server.read(&mut b), if server_open => server_open = matches!(read, Ok(1..)),
        }
    }
}

/// Waits until the client hangs up.
async fn hold(client: &mut TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    while client.read(&mut buffer).await? > 0 {}
    Ok(())
}

async fn flood_socket(client: &mut TcpStream, harm: Harm, counts: &Counts) -> io::Result<()> {
    match harm {
        Harm::GiantFrame => {
            let mut head = vec![0x81, 127];
            head.extend_from_slice(&(FLOOD as u64).to_be_bytes());
            client.write_all(&head).await?;
            flood(client, &[b'1'; CHUNK], counts).await
        }
        Harm::Fragments => {
            let mut fragment = vec![0x01, 127];
            fragment.extend_from_slice(&(CHUNK as u64).to_be_bytes());
            fragment.resize(fragment.len() + CHUNK, b'1');
            client.write_all(&fragment).await?;
            fragment[0] = 0x00;
            flood(client, &fragment, counts).await
        }
        // RSV1, with what would inflate to far more.
        _ => client.write_all(&[0xc1, 4, 0x4b, 0x04, 0x00, 0x00]).await,
    }
}

async fn flood_answer(client: &mut TcpStream, harm: Harm, counts: &Counts) -> io::Result<()> {
    let start = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    match harm {
        Harm::LongAnswer => {
            client.write_all(format!("{start}content-length: {FLOOD}\r\n\r\n").as_bytes()).await?;
            flood(client, &[b'['; CHUNK], counts).await
        }
        Harm::ChunkedAnswer => {
            client.write_all(format!("{start}transfer-encoding: chunked\r\n\r\n").as_bytes()).await?;
            let mut chunk = format!("{CHUNK:x}\r\n").into_bytes();
            chunk.resize(chunk.len() + CHUNK, b'[');
            chunk.extend_from_slice(b"\r\n");
            flood(client, &chunk, counts).await
        }
        Harm::EndlessHead => {
            client.write_all(start.as_bytes()).await?;
            flood(client, format!("x-{}: 1\r\n", "y".repeat(1_000)).as_bytes(), counts).await
        }
        // The first bytes of a gzip stream, and some more.
        _ => {
            let body = [&[0x1f, 0x8b, 0x08, 0, 0, 0, 0, 0, 0, 0x03][..], &[0xff; 90]].concat();
            let head = format!("{start}content-encoding: gzip\r\ncontent-length: {}\r\n\r\n", body.len());
            client.write_all(&[head.as_bytes(), &body].concat()).await
        }
    }
}

/// Sends the piece again and again, until there is enough of it or the client hangs up.
async fn flood(client: &mut TcpStream, piece: &[u8], counts: &Counts) -> io::Result<()> {
    for _ in 0..FLOOD / piece.len() {
        client.write_all(piece).await?;
        counts.flooded.fetch_add(piece.len() as u64, Ordering::Relaxed);
    }
    Ok(())
}

/// Where in the server's half of a socket the bytes have come to: the frames of a server are not masked.
#[derive(Default)]
struct Frames {
    /// The end of the answer to the handshake, as far as it was seen.
    head: Vec<u8>,
    upgraded: bool,
    /// The head of the frame that has begun.
    begun: Vec<u8>,
    /// Bytes of its payload still to come.
    left: u64,
}

impl Frames {
    fn between(&self) -> bool {
        self.upgraded && self.begun.is_empty() && self.left == 0
    }

    fn pass(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if !self.upgraded {
                self.head.push(byte);
                self.upgraded = self.head.ends_with(b"\r\n\r\n");
            } else if self.left > 0 {
                let n = usize::try_from(self.left).unwrap().min(bytes.len() - at);
                self.left -= n as u64;
                at += n;
                continue;
            } else {
                self.begun.push(byte);
                if let Some(length) = length(&self.begun) {
                    self.left = length;
                    self.begun.clear();
                }
            }
            at += 1;
        }
    }
}

/// The length of the payload, once the head of the frame is complete.
fn length(head: &[u8]) -> Option<u64> {
    match *head.get(1)? & 0x7f {
        126 => Some(u64::from(u16::from_be_bytes(head.get(2..4)?.try_into().unwrap()))),
        127 => Some(u64::from_be_bytes(head.get(2..10)?.try_into().unwrap())),
        short => Some(u64::from(short)),
    }
}

//! The way to a member, which can be cut.
//!
//! A member of a set is known to everybody, the other members included, by the address of its wire: a proxy that passes
//! on what it is sent. A process that is *cut off* is one whose connections stand still, both ways, and whose new ones are
//! not answered; nobody is told, and once it is back what was under way arrives, as packets do that were sent again and
//! again. That needs no root, as name spaces would, and a client keeps the URI of the whole set: whose a connection is,
//! the system says by its port.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

const CHUNK: usize = 64 << 10;

/// Who is cut off.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Cut {
    /// Processes, wherever they connect to.
    pub(crate) pids: BTreeSet<u32>,
    /// Members, whoever connects to them.
    pub(crate) members: BTreeSet<usize>,
    /// Answers that are not passed on.
    pub(crate) withheld: Option<Withheld>,
}

/// Answers to requests with a word in them. Once this order is over, their connections are hung up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Withheld {
    pub(crate) word: &'static str,
    /// Tells this order from those before.
    pub(crate) number: u64,
}

/// A wire. Its connections end with it.
pub(crate) struct Wire {
    pub(crate) address: String,
    _task: JoinSet<()>,
}

impl Wire {
    /// Leads to member `index`, at `port`.
    pub(crate) async fn to(
        index: usize,
        port: u16,
        cut: watch::Receiver<Cut>,
        withheld: watch::Sender<u64>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?.to_string();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, from)) = listener.accept().await {
                let gate = Gate {
                    cut: cut.clone(),
                    withheld: withheld.clone(),
                    member: index,
                    owner: owner(from.port()),
                    is_doomed: Arc::default(),
                };
                connections.spawn(async move {
                    // Either side may go at any time: that is what this is for.
                    let _ = carry(client, port, gate).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, _task: task })
    }
}

/// What lets one connection pass, or one direction of it.
#[derive(Clone)]
struct Gate {
    cut: watch::Receiver<Cut>,
    /// The last order under which an answer was withheld, on any wire.
    withheld: watch::Sender<u64>,
    member: usize,
    owner: Option<u32>,
    /// Whether something was asked whose answer is withheld.
    is_doomed: Arc<AtomicBool>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

impl Gate {
    async fn open(&mut self) {
        let (member, owner) = (self.member, self.owner);
        let is_open = |cut: &Cut| {
            !cut.members.contains(&member) && owner.is_none_or(|owner| !cut.pids.contains(&owner))
        };
        // Where nobody can cut any more it stays as it is, until the wire ends.
        let _ = self.cut.wait_for(is_open).await;
    }

    async fn allow(&mut self, way: Way, bytes: &[u8]) -> io::Result<()> {
        self.open().await;
        if way == Way::There && self.withholds(bytes) {
            self.is_doomed.store(true, Ordering::Relaxed);
        }
        if way == Way::Back && self.is_doomed.load(Ordering::Relaxed) {
            let order = self.cut.borrow().withheld;
            if let Some(order) = order {
                self.withheld.send_replace(order.number);
                let _ = self.cut.wait_for(|cut| cut.withheld != Some(order)).await;
            }
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }

    /// Whether the answer to this request is withheld. A request that matters here comes in one piece.
    fn withholds(&self, request: &[u8]) -> bool {
        let order = self.cut.borrow().withheld;
        let word = order.map(|order| order.word);
        word.is_some_and(|word| request.windows(word.len()).any(|part| part == word.as_bytes()))
    }
}

async fn carry(client: TcpStream, port: u16, mut gate: Gate) -> io::Result<()> {
    gate.open().await;
    let server = TcpStream::connect(("127.0.0.1", port)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let there = pass(Way::There, from_client, to_server, gate.clone());
    let back = pass(Way::Back, from_server, to_client, gate);
    tokio::try_join!(there, back).map(drop)
}

/// One direction, to its end, which is passed on as well.
async fn pass(way: Way, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut gate: Gate) -> io::Result<()> {
    let mut bytes = vec![0; CHUNK];
    loop {
        let n = from.read(&mut bytes).await?;
        gate.allow(way, &bytes[..n]).await?;
        if n == 0 {
            return to.shutdown().await;
        }
        to.write_all(&bytes[..n]).await?;
    }
}

/// The process behind a port of this machine.
fn owner(port: u16) -> Option<u32> {
    let sockets = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let port = format!(":{port:04X}");
    let inode = sockets.lines().skip(1).find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        words.nth(1)?.ends_with(&port).then(|| words.nth(7))?
    })?;
    let socket = format!("socket:[{inode}]");
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        has(&process.path(), &socket).then_some(pid)
    })
}

fn has(process: &Path, socket: &str) -> bool {
    // A process that has gone meanwhile, or is another user's, has it not.
    let Ok(files) = std::fs::read_dir(process.join("fd")) else { return false };
    files.flatten().any(|file| std::fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == socket))
}

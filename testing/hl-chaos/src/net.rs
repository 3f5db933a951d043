//! Weather on the network: a layer over any [`Net`] through which connections are slow, cut off, or dead without a word.
//!
//! Only the client's side wears it, so a delay is that of the whole round, put on the way in. Nothing is ever lost
//! inside a connection that goes on: as with TCP, bytes come late or the connection is dead.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hl_core::seam::{BoxFuture, BoxListener, BoxStream, Endpoint, Net};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes taken from the inner stream at once.
const CHUNK: usize = 16 * 1024;
/// Bytes on their way at most; behind them the sender waits.
const IN_FLIGHT: usize = 1 << 20;

/// What the network does to its connections now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weather {
    /// Bytes arrive so many milliseconds late.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// Bytes arrive a few at a time.
    Drip {
        /// Bytes a step.
        bytes: usize,
        /// Milliseconds between two steps.
        every_ms: u64,
    },
    /// Nothing passes, and connecting takes until it is over. What was sent arrives afterwards.
    Partition,
    /// The connections open now are dead, and nobody is told: what is written vanishes, and nothing ever comes.
    HalfOpen,
}

#[derive(Default)]
struct Sky {
    weather: Option<(Weather, Instant)>,
    /// Connections opened before this number are dead.
    dead_below: u64,
    opened: u64,
}

impl Sky {
    fn now(&self) -> Option<(Weather, Instant)> {
        self.weather.filter(|&(_, until)| Instant::now() < until)
    }
}

/// A network with weather.
#[derive(Clone)]
pub struct WeatherNet<N> {
    inner: N,
    sky: Arc<Mutex<Sky>>,
}

fn lock(sky: &Mutex<Sky>) -> MutexGuard<'_, Sky> {
    sky.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<N> WeatherNet<N> {
    /// The network `inner`, in fair weather.
    #[must_use]
    pub fn new(inner: N) -> Self {
        Self { inner, sky: Arc::default() }
    }

    /// The same network, under a sky of its own.
    #[must_use]
    pub fn elsewhere(&self) -> Self
    where
        N: Clone,
    {
        Self::new(self.inner.clone())
    }

    /// The weather changes for `for_ms` milliseconds, and replaces what was.
    pub fn strike(&self, weather: Weather, for_ms: u64) {
        let mut sky = lock(&self.sky);
        match weather {
            Weather::HalfOpen => sky.dead_below = sky.opened,
            weather => sky.weather = Some((weather, Instant::now() + Duration::from_millis(for_ms))),
        }
    }
}

impl<N: Net> Net for WeatherNet<N> {
    fn connect<'a>(&'a self, to: &'a Endpoint) -> BoxFuture<'a, io::Result<BoxStream>> {
        Box::pin(async move {
            loop {
                let until = match lock(&self.sky).now() {
                    Some((Weather::Partition, until)) => until,
                    _ => break,
                };
                sleep_until(until).await;
            }
            let inner = self.inner.connect(to).await?;
            let number = {
                let mut sky = lock(&self.sky);
                sky.opened += 1;
                sky.opened - 1
            };
            Ok(Box::new(Wire {
                inner,
                sky: self.sky.clone(),
                number,
                in_flight: VecDeque::new(),
                bytes: 0,
                ended: false,
                wait: None,
            }) as BoxStream)
        })
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<BoxListener>> {
        self.inner.listen(address)
    }
}

/// One connection. Bytes pass straight through in fair weather.
struct Wire {
    inner: BoxStream,
    sky: Arc<Mutex<Sky>>,
    number: u64,
    /// Arrived at the near end of the inner stream, due at a time.
    in_flight: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    /// The inner stream has ended.
    ended: bool,
    wait: Option<Pin<Box<Sleep>>>,
}

impl Wire {
    /// Whether it is dead, and the weather.
    fn sky(&self) -> (bool, Option<(Weather, Instant)>) {
        let sky = lock(&self.sky);
        (self.number < sky.dead_below, sky.now())
    }

    /// Wakes the task at a time.
    fn wake_at(&mut self, at: Instant, cx: &mut Context<'_>) {
        let wait = self.wait.insert(Box::pin(sleep_until(at)));
        if wait.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    /// Takes what the inner stream has into flight.
    fn take(&mut self, due: Instant, cx: &mut Context<'_>) -> io::Result<()> {
        let mut chunk = [0; CHUNK];
        while !self.ended && self.bytes < IN_FLIGHT {
            let mut buf = ReadBuf::new(&mut chunk);
            match Pin::new(&mut self.inner).poll_read(cx, &mut buf) {
                Poll::Pending => break,
                Poll::Ready(result) => result?,
            }
            if buf.filled().is_empty() {
                self.ended = true;
            } else {
                self.bytes += buf.filled().len();
                // In order, whatever the weather was when they came.
                let due = self.in_flight.back().map_or(due, |(last, _)| due.max(*last));
                self.in_flight.push_back((due, buf.filled().to_vec()));
            }
        }
        Ok(())
    }

    /// Gives at most `most` bytes of what is due.
    fn give(&mut self, buf: &mut ReadBuf<'_>, most: usize) {
        let Some((_, front)) = self.in_flight.front_mut() else { return };
        let n = front.len().min(buf.remaining()).min(most);
        buf.put_slice(&front[..n]);
        front.drain(..n);
        self.bytes -= n;
        if front.is_empty() {
            self.in_flight.pop_front();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let (dead, weather) = this.sky();
        if dead {
            return Poll::Pending;
        }
        if weather.is_none() && this.in_flight.is_empty() {
            this.wait = None;
            return if this.ended {
                Poll::Ready(Ok(()))
            } else {
                Pin::new(&mut this.inner).poll_read(cx, buf)
            };
        }
        let now = Instant::now();
        let due = match weather {
            Some((Weather::Delay { ms }, _)) => now + Duration::from_millis(ms),
            _ => now,
        };
        this.take(due, cx)?;
        let first = match (this.in_flight.front(), weather) {
            (None, _) if this.ended => return Poll::Ready(Ok(())),
            (None, _) => return Poll::Pending,
            (Some(_), Some((Weather::Partition, until))) => until,
            (Some((due, _)), _) => *due,
        };
        if now < first {
            this.wake_at(first, cx);
            return Poll::Pending;
        }
        match weather {
            Some((Weather::Drip { bytes, every_ms }, _)) => {
                this.give(buf, bytes);
                let next = now + Duration::from_millis(every_ms);
                if let Some((due, _)) = this.in_flight.front_mut() {
                    *due = (*due).max(next);
                }
            }
            _ => this.give(buf, usize::MAX),
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match this.sky() {
            (true, _) => Poll::Ready(Ok(buf.len())),
            (false, Some((Weather::Partition, until))) => {
                this.wake_at(until, cx);
                Poll::Pending
            }
            _ => Pin::new(&mut this.inner).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.sky().0 { Poll::Ready(Ok(())) } else { Pin::new(&mut this.inner).poll_flush(cx) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.sky().0 {
            return Poll::Ready(Ok(()));
        }
        ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use hl_runtime::MemoryNet;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::timeout;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    async fn pair() -> (WeatherNet<MemoryNet>, BoxStream, BoxStream, Endpoint) {
        let net = WeatherNet::new(MemoryNet::new());
        let mut listener = net.listen("sim:0").await.unwrap();
        let endpoint = listener.endpoint();
        let client = net.connect(&endpoint).await.unwrap();
        let server = listener.accept().await.unwrap();
        // Kept by nobody: later connections are refused, which is all that the tests need of them.
        (net, client, server, endpoint)
    }

    async fn read(stream: &mut BoxStream) -> (String, Duration) {
        let begun = Instant::now();
        let mut buf = [0; 5];
        stream.read_exact(&mut buf).await.unwrap();
        (String::from_utf8_lossy(&buf).into_owned(), begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn delayed_bytes_come_late_in_order_and_none_is_lost() {
        let (net, mut client, mut server, _) = pair().await;
        net.strike(Weather::Delay { ms: 700 }, 1_000);
        server.write_all(b"first").await.unwrap();
        assert_eq!(read(&mut client).await, ("first".into(), Duration::from_millis(700)));
        server.write_all(b"later").await.unwrap();
        assert_eq!(read(&mut client).await.0, "later");
        tokio::time::sleep(SECOND).await;
        server.write_all(b"again").await.unwrap();
        assert_eq!(read(&mut client).await, ("again".into(), Duration::ZERO), "fair weather");
    }

    #[tokio::test(start_paused = true)]
    async fn a_partition_holds_both_ways_and_connecting_too() {
        let (net, mut client, mut server, endpoint) = pair().await;
        net.strike(Weather::Partition, 5_000);
        server.write_all(b"late!").await.unwrap();
        assert!(timeout(SECOND, client.write_all(b"x")).await.is_err());
        assert!(timeout(SECOND, net.connect(&endpoint)).await.is_err());
        assert_eq!(read(&mut client).await, ("late!".into(), Duration::from_secs(3)));
        client.write_all(b"there").await.unwrap();
        assert_eq!(read(&mut server).await.0, "there");
    }

    #[tokio::test(start_paused = true)]
    async fn a_half_open_connection_never_speaks_again() {
        let (net, mut client, mut server, _) = pair().await;
        net.strike(Weather::HalfOpen, 0);
        server.write_all(b"hello").await.unwrap();
        client.write_all(b"hello").await.unwrap();
        assert!(timeout(SECOND * 100, read(&mut client)).await.is_err());
        assert!(timeout(SECOND * 100, read(&mut server)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_drip_takes_its_time() {
        let (net, mut client, mut server, _) = pair().await;
        net.strike(Weather::Drip { bytes: 1, every_ms: 100 }, 60_000);
        server.write_all(b"slow.").await.unwrap();
        assert_eq!(read(&mut client).await, ("slow.".into(), Duration::from_millis(400)));
    }
}

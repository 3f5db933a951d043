//! Where blocking storage work runs: on a thread of its own, or in place under a simulated clock.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hl_core::store::StoreError;
use tokio::sync::{mpsc, oneshot};

/// Requests that may wait for the thread. A request holds one batch at most, so this bounds memory as well.
const QUEUE: usize = 64;

/// Where a store does its blocking work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Writer {
    /// On a thread of its own, fed by a bounded queue: production.
    Thread,
    /// In place, then a wait of so many milliseconds on tokio's clock before the answer: simulation, where a real
    /// thread would let the virtual clock run ahead.
    Inline {
        /// Modelled time of one request, ms.
        delay_ms: u64,
    },
}

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// The one owner of some blocking state `S`. Requests run one after another, in the order in which they were made;
/// dropping the future of a request that has been taken in does not cancel it.
pub struct Worker<S> {
    mode: Mode<S>,
}

enum Mode<S> {
    Thread(Mutex<Option<Thread<S>>>),
    Inline { state: Mutex<Option<S>>, delay: Duration },
}

struct Thread<S> {
    queue: mpsc::Sender<Job<S>>,
    /// Resolves when the thread has dropped its state.
    ended: oneshot::Receiver<()>,
    handle: JoinHandle<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: Send + 'static> Worker<S> {
    /// Makes the state with `init`, where the work will be done, and starts.
    ///
    /// # Errors
    /// What `init` says, or that no thread could be started.
    pub async fn start(
        writer: Writer,
        name: &str,
        init: impl FnOnce() -> Result<S, StoreError> + Send + 'static,
    ) -> Result<Self, StoreError> {
        let mode = match writer {
            Writer::Inline { delay_ms } => {
                Mode::Inline { state: Mutex::new(Some(init()?)), delay: Duration::from_millis(delay_ms) }
            }
            Writer::Thread => Mode::Thread(Mutex::new(Some(Self::spawn(name, init).await?))),
        };
        Ok(Self { mode })
    }

    async fn spawn(
        name: &str,
        init: impl FnOnce() -> Result<S, StoreError> + Send + 'static,
    ) -> Result<Thread<S>, StoreError> {
        let failed =
            |error| StoreError::Temporary { step: "starting the storage thread", source: Box::new(error) };
        let (queue, mut jobs) = mpsc::channel::<Job<S>>(QUEUE);
        let (started, ready) = oneshot::channel();
        let (ending, ended) = oneshot::channel();
        let body = move || {
            match init() {
                Ok(mut state) => {
                    let _ = started.send(Ok(()));
                    while let Some(job) = jobs.blocking_recv() {
                        job(&mut state);
                    }
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                }
            }
            let _ = ending.send(());
        };
        let handle = std::thread::Builder::new().name(name.to_owned()).spawn(body).map_err(failed)?;
        match ready.await {
            Ok(started) => started.map(|()| Thread { queue, ended, handle }),
            Err(_) => Err(failed(std::io::Error::other("it died"))),
        }
    }

    /// Runs `job` on the state.
    ///
    /// # Errors
    /// [`StoreError::Closed`] after [`Worker::finish`].
    pub async fn call<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut S) -> R + Send + 'static,
    ) -> Result<R, StoreError> {
        match &self.mode {
            Mode::Inline { state, delay } => {
                let answer = lock(state).as_mut().map(job).ok_or(StoreError::Closed);
                tokio::time::sleep(*delay).await;
                answer
            }
            Mode::Thread(thread) => {
                let queue = lock(thread).as_ref().map(|t| t.queue.clone()).ok_or(StoreError::Closed)?;
                Self::ask(&queue, job).await
            }
        }
    }

    async fn ask<R: Send + 'static>(
        queue: &mpsc::Sender<Job<S>>,
        job: impl FnOnce(&mut S) -> R + Send + 'static,
    ) -> Result<R, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job: Job<S> = Box::new(move |state| {
            let _ = answer.send(job(state));
        });
        queue.send(job).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)
    }

    /// Runs what is queued, then `last`, then drops the state and joins the thread.
    ///
    /// # Errors
    /// [`StoreError::Closed`] when that was done already.
    pub async fn finish<R: Send + 'static>(
        &self,
        last: impl FnOnce(&mut S) -> R + Send + 'static,
    ) -> Result<R, StoreError> {
        match &self.mode {
            Mode::Inline { state, delay } => {
                let answer = lock(state).take().map(|mut state| last(&mut state)).ok_or(StoreError::Closed);
                tokio::time::sleep(*delay).await;
                answer
            }
            Mode::Thread(thread) => {
                let Thread { queue, ended, handle } = lock(thread).take().ok_or(StoreError::Closed)?;
                let answer = Self::ask(&queue, last).await;
                drop(queue);
                let _ = ended.await;
                let _ = handle.join();
                answer
            }
        }
    }
}

impl<S> Drop for Worker<S> {
    /// Runs what is queued and joins the thread.
    fn drop(&mut self) {
        if let Mode::Thread(thread) = &mut self.mode
            && let Some(Thread { queue, handle, .. }) =
                thread.get_mut().unwrap_or_else(PoisonError::into_inner).take()
        {
            drop(queue);
            let _ = handle.join();
        }
    }
}

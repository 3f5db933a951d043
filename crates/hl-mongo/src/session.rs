//! A session: its lease document, and the transactions that hold it.
//!
//! A session lives while its document in `members` is there. Each of its transactions updates that document, under the
//! nonce that only this session knows, and with it renews the lease; so whoever deletes the document has ended the
//! session for good: none of its writes can be committed after. Only a session whose lease has run out by the server's
//! clock is ended by others, and only by one that was itself in touch with the server all the while.

use std::future::IntoFuture as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use hl_core::Token;
use hl_core::seam::Clock;
use hl_core::store::StoreError;
use mongodb::bson::{Bson, Document, doc, oid::ObjectId};
use mongodb::options::{ReadConcern, ReturnDocument, WriteConcern};
use mongodb::{Client, ClientSession, Database};
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use crate::alerts;
use crate::documents::{self, Read, date};
use crate::error::{MongoError, Remedy};
use crate::known::Known;
use crate::schema::{DAYS, GAPS, MEMBERS, META, NOTES, STREAMS};
use crate::tx::Tx;

/// How long one attempt at a transaction may take.
const ATTEMPT: Duration = Duration::from_secs(10);
/// How long the server may take to end a session.
const KILL: Duration = Duration::from_secs(2);
/// For how long a transaction is tried again before its step fails.
const GIVE_UP: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// Sessions that are remembered until they are killed.
const ORPHANS: usize = 16;
/// How often a commit of unknown outcome is sent again.
const COMMITS: u32 = 10;

/// What a transaction does. It may run more than once, and the last time counts.
#[async_trait]
pub(crate) trait Work: Send + Sync {
    /// What it gives.
    type Answer: Send;
    /// Whether it leaves leases, ledger and rows as they are, or keeps what is known of them up to date.
    const KEEPS_KNOWN: bool = false;
    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Answer, MongoError>;
}

/// Who writes.
pub(crate) struct Session {
    client: Client,
    db: Database,
    pub(crate) token: Token,
    clock: Arc<dyn Clock>,
    nonce: ObjectId,
    lease: Duration,
    is_replicated: bool,
    /// Whether it was closed.
    pub(crate) is_finished: bool,
    /// None on a standalone server.
    session: Option<ClientSession>,
    /// Sessions of ours whose transaction may still stand open on the server, the newest last.
    orphans: Vec<Document>,
    /// As of the last transaction.
    known: Known,
    /// When the request that is being worked on was made.
    pub(crate) asked: Instant,
    /// When the server last had no answer to the question whether our old transactions are ended.
    silent: Option<Instant>,
    /// Since when the lease was renewed in time, again and again.
    steady: Instant,
    renewed: Instant,
}

impl Session {
    /// Takes a token and a lease.
    pub(crate) async fn open(
        client: Client,
        db: Database,
        options: &crate::MongoOptions,
    ) -> Result<Self, MongoError> {
        let hello = client.database("admin").run_command(doc! { "hello": 1 }).await?;
        let is_replicated =
            hello.contains_key("setName") || hello.get_str("msg").is_ok_and(|kind| kind == "isdbgrid");
        crate::schema::prepare(&db).await?;
        let session = match is_replicated {
            true => Some(client.start_session().await?),
            false => None,
        };
        let token = next_token(&db).await?;
        let nonce = ObjectId::new();
        let now = Instant::now();
        let opened = Self {
            client,
            db,
            token,
            clock: Arc::clone(&options.clock),
            nonce,
            lease: options.lease,
            is_replicated,
            is_finished: false,
            session,
            orphans: Vec::new(),
            known: Known::default(),
            asked: now,
            silent: None,
            steady: now,
            renewed: now,
        };
        if !is_replicated {
            // Nothing is fenced there: the only session is the only writer.
            let others = doc! { "$expr": { "$gt": ["$until", "$$NOW"] } };
            if let Some(other) = opened.members().find_one(others).await? {
                let other = documents::holder(&other)?;
                return Err(MongoError::Standalone(other.to_string()));
            }
            warn!(
                "a standalone MongoDB serves one process, and a crash may cut a batch in two; use a replica set"
            );
        }
        let member = doc! {
            "nonce": nonce, "lsid": opened.lsid(), "sequence": 0_i64, "until": opened.until(),
            "pid": i64::from(options.pid), "host": { "$literal": &options.host },
            "role": { "$literal": &options.role }, "since": date(options.clock.now()),
        };
        opened
            .members()
            .update_one(doc! { "_id": i64::from(token.0) }, vec![doc! { "$set": member }])
            .upsert(true)
            .await?;
        Ok(opened)
    }

    fn members(&self) -> mongodb::Collection<Document> {
        self.db.collection(MEMBERS)
    }

    fn lsid(&self) -> Bson {
        self.session.as_ref().map_or(Bson::Null, |session| Bson::Document(session.id().clone()))
    }

    /// When a lease that is taken or renewed now runs out, as the server reckons it.
    fn until(&self) -> Document {
        doc! { "$add": ["$$NOW", i64::try_from(self.lease.as_millis()).unwrap_or(i64::MAX)] }
    }

    /// Runs `work` in one transaction with the lease document.
    pub(crate) async fn transact<W: Work>(
        &mut self,
        step: &'static str,
        work: &W,
    ) -> Result<W::Answer, StoreError> {
        let give_up = Instant::now() + GIVE_UP;
        let (mut pause, mut careful) = (FIRST_PAUSE, false);
        loop {
            let error = match self.kill_orphans().await {
                // It would have none for a transaction either, and that takes longer to find out.
                Err(error) if error.is_silence() => return Err(error.at(step)),
                Err(error) if error.is_cut() => error,
                // The server is there; where it does not end sessions, the transaction may still do.
                _ => match timeout(ATTEMPT, self.attempt(work, careful)).await {
                    Ok(Ok(answer)) => return Ok(answer),
                    Ok(Err((error, remedy))) => {
                        match remedy {
                            Remedy::Careful if !careful => careful = true,
                            Remedy::Again => {}
                            _ => return Err(error.at(step)),
                        }
                        error
                    }
                    Err(_) => {
                        self.abandon();
                        return Err(MongoError::Late(ATTEMPT.as_secs()).at(step));
                    }
                },
            };
            if Instant::now() >= give_up {
                return Err(error.at(step));
            }
            sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    async fn attempt<W: Work>(&mut self, work: &W, careful: bool) -> Result<W::Answer, (MongoError, Remedy)> {
        let known = |error: MongoError| {
            let remedy = error.remedy();
            (error, remedy)
        };
        let driver = |error| known(MongoError::Driver(error));
        if self.is_replicated && self.session.is_none() {
            self.session = Some(self.client.start_session().await.map_err(driver)?);
        }
        if let Some(session) = &mut self.session {
            session
                .start_transaction()
                .read_concern(ReadConcern::snapshot())
                .write_concern(WriteConcern::majority())
                .await
                .map_err(driver)?;
        }
        let done = self.fenced(work, careful).await;
        let Some(session) = &mut self.session else {
            // What was written before an error stays written: nothing is known for sure.
            let (answer, _) = done.map_err(known)?;
            self.mark_renewed();
            return Ok(answer);
        };
        let (answer, learnt) = match done {
            Ok(done) => done,
            Err(error) => {
                // What cannot be aborted ends with its session, or when the server's patience does.
                if session.abort_transaction().await.is_err() {
                    self.abandon();
                }
                return Err(known(error));
            }
        };
        let mut left = COMMITS;
        loop {
            let Err(error) = session.commit_transaction().await else { break };
            left -= 1;
            match MongoError::remedy_of_commit(&error) {
                Remedy::CommitAgain if left > 0 => sleep(FIRST_PAUSE).await,
                remedy => {
                    self.abandon();
                    return Err((MongoError::Driver(error), remedy));
                }
            }
        }
        self.mark_renewed();
        self.known = learnt;
        Ok(answer)
    }

    /// Holds the lease document, then works. What is known is gone until the transaction is known to be committed.
    async fn fenced<W: Work>(&mut self, work: &W, careful: bool) -> Result<(W::Answer, Known), MongoError> {
        let fence = self.renewal();
        let known = std::mem::take(&mut self.known);
        let careful = careful || !self.is_replicated;
        let mut tx = Tx {
            db: &self.db,
            session: self.session.as_mut(),
            token: self.token,
            now: self.clock.now(),
            careful,
            living: None,
            known: if W::KEEPS_KNOWN && !careful { known } else { Known::default() },
        };
        if tx.update(MEMBERS, vec![fence]).await? == 0 {
            return Err(MongoError::Superseded);
        }
        let answer = work.run(&mut tx).await?;
        Ok((answer, tx.known))
    }

    fn renewal(&self) -> Document {
        let sequence = doc! { "$add": ["$sequence", 1_i64] };
        let renewed = doc! { "sequence": sequence, "lsid": self.lsid(), "until": self.until() };
        doc! {
            "q": { "_id": i64::from(self.token.0), "nonce": self.nonce },
            "u": [{ "$set": renewed }],
        }
    }

    fn mark_renewed(&mut self) {
        let now = Instant::now();
        if now - self.renewed > self.lease {
            self.steady = now;
        }
        self.renewed = now;
    }

    /// Gives up on what the client session was doing.
    fn abandon(&mut self) {
        if let Some(session) = self.session.take() {
            // While the server is away one is added every few seconds; it forgets the old ones by itself.
            if self.orphans.len() == ORPHANS {
                self.orphans.remove(0);
            }
            self.orphans.push(session.id().clone());
            // A new one is made by the next attempt, which says where it cannot be had.
            drop(session);
        }
    }

    /// Ends our old transactions. Where the server has no answer to that, nobody who was waiting already asks it again.
    async fn kill_orphans(&mut self) -> Result<(), MongoError> {
        if self.orphans.is_empty() {
            return Ok(());
        }
        if self.silent.is_some_and(|silent| silent >= self.asked) {
            return Err(MongoError::Late(KILL.as_secs()));
        }
        let killed = self.kill(self.orphans.clone()).await;
        match &killed {
            Ok(()) => self.orphans.clear(),
            Err(error) if error.is_silence() => self.silent = Some(Instant::now()),
            Err(_) => {}
        }
        killed
    }

    async fn kill(&self, sessions: Vec<Document>) -> Result<(), MongoError> {
        let admin = self.client.database("admin");
        let kill = admin.run_command(doc! { "killSessions": sessions });
        // Its own limit: a server that accepts and never answers must not hold up whoever only wants to be sure.
        match timeout(KILL, kill.into_future()).await {
            Ok(killed) => killed.map(drop).map_err(MongoError::from),
            Err(_) => Err(MongoError::Late(KILL.as_secs())),
        }
    }

    /// Renews the lease.
    pub(crate) async fn renew(&mut self) -> Result<(), StoreError> {
        self.asked = Instant::now();
        self.transact("renewing the lease", &Nothing).await
    }

    /// Ends the sessions whose lease has run out, where this one is fit to judge.
    pub(crate) async fn bury(&mut self) -> Result<(), MongoError> {
        match timeout(ATTEMPT, self.bury_expired()).await {
            Ok(buried) => buried,
            Err(_) => {
                self.abandon();
                Err(MongoError::Late(ATTEMPT.as_secs()))
            }
        }
    }

    async fn bury_expired(&mut self) -> Result<(), MongoError> {
        let now = Instant::now();
        let is_in_touch = self.orphans.is_empty() && now - self.renewed <= self.lease;
        let is_fit = is_in_touch && now - self.steady >= self.lease;
        if !is_fit {
            return Ok(());
        }
        let expired =
            doc! { "$expr": { "$lte": ["$until", "$$NOW"] }, "_id": { "$ne": i64::from(self.token.0) } };
        let expired: Vec<Document> = self.members().find(expired).await?.try_collect().await?;
        for member in expired {
            let holder = documents::holder(&member)?;
            // An open transaction of the dead would hold its lease document for a minute.
            if let Ok(lsid) = member.get_document("lsid") {
                self.kill(vec![lsid.clone()]).await?;
            }
            warn!(
                token = holder.token.0,
                role = holder.role,
                host = holder.host,
                "a session whose lease has run out is ended"
            );
            let sequence = Read::of(MEMBERS, &member).int("sequence")?;
            match self
                .transact("ending a session whose lease has run out", &Bury { token: holder.token, sequence })
                .await
            {
                Ok(()) => {}
                Err(error) => warn!(%error, "it could not be ended"),
            }
        }
        Ok(())
    }

    /// Gives up everything that the session holds.
    pub(crate) async fn finish(&mut self) -> Result<(), StoreError> {
        self.transact("closing the session", &Finish).await
    }
}

async fn next_token(db: &Database) -> Result<Token, MongoError> {
    let counter = db
        .collection::<Document>(META)
        .find_one_and_update(doc! { "_id": "token" }, doc! { "$inc": { "last": 1_i64 } })
        .upsert(true)
        .return_document(ReturnDocument::After)
        .write_concern(WriteConcern::majority())
        .await?
        .unwrap_or_default();
    let last = Read::of(META, &counter).int("last")?;
    let token = i32::try_from(last).ok().and_then(|last| u32::try_from(last).ok());
    token.map(Token).ok_or(MongoError::NoMoreTokens)
}

struct Nothing;

#[async_trait]
impl Work for Nothing {
    type Answer = ();
    const KEEPS_KNOWN: bool = true;

    async fn run(&self, _: &mut Tx<'_>) -> Result<(), MongoError> {
        Ok(())
    }
}

struct Bury {
    token: Token,
    /// Of the lease that was seen to have run out.
    sequence: i64,
}

#[async_trait]
impl Work for Bury {
    type Answer = ();
    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), MongoError> {
        let expired = doc! {
            "_id": i64::from(self.token.0), "sequence": self.sequence,
            "$expr": { "$lte": ["$until", "$$NOW"] },
        };
        if tx.delete_one(MEMBERS, expired).await? {
            // Its token stays in `streams`: until somebody takes such a stream, what it spooled may still be written.
            forget(tx, self.token).await?;
        }
        Ok(())
    }
}

struct Finish;

#[async_trait]
impl Work for Finish {
    type Answer = ();
    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), MongoError> {
        let token = i64::from(tx.token.0);
        tx.clear(STREAMS, doc! { "token": token }, "token").await?;
        tx.delete_one(MEMBERS, doc! { "_id": token }).await?;
        forget(tx, tx.token).await
    }
}

/// Removes what a session leaves behind.
async fn forget(tx: &mut Tx<'_>, token: Token) -> Result<(), MongoError> {
    let first = i64::from(token.0) << 32;
    let of_token = doc! { "$gte": first, "$lt": first + (1 << 32) };
    tx.clear(GAPS, doc! { "claim": of_token.clone() }, "claim").await?;
    tx.delete_all(NOTES, doc! { "_id": { "$regex": format!("/{}$", token.0) } }).await?;
    tx.delete_all(DAYS, doc! { "epoch": of_token }).await?;
    alerts::end(tx, token).await
}

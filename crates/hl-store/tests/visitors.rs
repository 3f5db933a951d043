//! Other programs open, change, move and remove the files of a store that is in use: sqlite3, Python, mv, rm.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
#![cfg(unix)]

mod common;

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use common::{block, open, span, trades};
use hl_core::Token;
use hl_core::ledger::{Cause, Span};
use hl_core::store::prelude::*;
use hl_core::store::{BatchQueue as _, StoreError};
use hl_store::{Inspect as _, Spool, SqliteStore, Writer};
use tempfile::TempDir;

/// Far beyond what any wait takes on a busy machine: reaching it means "never".
const NEVER: Duration = Duration::from_secs(120);

fn beside(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

/// The files of a database: which they are, not what they are called.
fn inodes(path: &Path) -> [u64; 2] {
    [path.to_owned(), beside(path, "-wal")].map(|path| std::fs::metadata(path).unwrap().ino())
}

/// The files whose names begin with that of `path`.
fn files(path: &Path) -> Vec<std::ffi::OsString> {
    let name = path.file_name().unwrap().to_str().unwrap();
    let all = std::fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
    all.filter(|file| file.to_str().unwrap().starts_with(name)).collect()
}

/// Runs a program on the database to its end, and returns what it says.
fn sqlite3(path: &Path, words: &str) -> String {
    let output = Command::new("sqlite3").arg(path).arg(words).output().unwrap();
    String::from_utf8(if output.status.success() { output.stdout } else { output.stderr }).unwrap()
}

fn python(path: &Path, script: &str) -> String {
    let script = format!("import sqlite3, sys\nc = sqlite3.connect(sys.argv[1])\n{script}\nc.close()");
    let output = Command::new("python3").arg("-c").arg(script).arg(path).output().unwrap();
    String::from_utf8(if output.status.success() { output.stdout } else { output.stderr }).unwrap()
}

/// A Python program that has a transaction open on the database until it is dropped.
struct Reader(Child);

impl Reader {
    fn begin(path: &Path, sql: &str) -> Self {
        let script = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
                      c.execute(sys.argv[2])\nc.execute('SELECT count(*) FROM trades').fetchall()\n\
                      print('open', flush=True)\nsys.stdin.read()";
        let mut child = Command::new("python3")
            .args(["-c", script])
            .arg(path)
            .arg(sql)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "open\n");
        Self(child)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

/// A store with the lease of a stream, and how far its blocks have come.
struct Writing {
    _folder: TempDir,
    path: PathBuf,
    store: SqliteStore,
    edge: i64,
}

impl Writing {
    async fn begin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hl.db");
        let store = open(&path).await.unwrap();
        store.lease(&[trades()]).await.unwrap();
        Self { _folder: folder, path, store, edge: 0 }
    }

    async fn try_block(&mut self) -> Result<(), StoreError> {
        let batch = block(self.store.token(), self.edge, self.edge + 10);
        let ack = self.store.commit(Arc::new(batch)).await?;
        assert_eq!((ack.inserted, ack.superseded), (3, vec![]));
        self.edge += 10;
        Ok(())
    }

    /// Commits a block as the daemon does: a failure that may pass is tried again with the same batch.
    async fn block(&mut self) {
        let tries = async {
            while let Err(error) = self.try_block().await {
                assert!(error.is_temporary(), "{error}");
            }
        };
        tokio::time::timeout(NEVER, tries).await.unwrap();
    }

    /// Keeps small notes until it is so.
    async fn until(&self, is_so: impl Fn() -> bool) {
        let tries = async {
            while !is_so() {
                // A log that is full refuses them for a while.
                let _ = self.store.put_note("small", "x").await;
            }
        };
        tokio::time::timeout(NEVER, tries).await.unwrap();
    }

    /// The blocks that another program sees.
    fn seen(&self) -> i64 {
        let rows = sqlite3(&self.path, "SELECT count(*) FROM trades");
        rows.trim().parse::<i64>().unwrap_or_else(|_| panic!("{rows}")) / 3
    }

    async fn gaps(&self) -> Vec<(Span, Cause)> {
        let inspect = SqliteStore::inspect(&self.path).unwrap();
        assert_eq!(inspect.audit().await.unwrap().problems, []);
        inspect.gaps(None).await.unwrap().into_iter().map(|gap| (gap.span, gap.cause)).collect()
    }
}

type Visit<'a> = &'a dyn Fn(&Path) -> String;

#[tokio::test]
async fn visitors_leave_the_log_of_a_store_in_use_in_place() {
    let mut writing = Writing::begin().await;
    let copy = beside(&writing.path, ".copy");
    let visits: [(&str, Visit<'_>); 9] = [
        ("read", &|path| sqlite3(path, "SELECT count(*) FROM trades")),
        ("backup", &|path| sqlite3(path, &format!(".backup {}", copy.display()))),
        ("dump", &|path| sqlite3(path, ".dump notes")),
        ("vacuum", &|path| sqlite3(path, "VACUUM")),
        ("checkpoint", &|path| sqlite3(path, "PRAGMA wal_checkpoint(TRUNCATE)")),
        ("journal mode", &|path| sqlite3(path, "PRAGMA journal_mode=DELETE")),
        ("Python reads", &|path| python(path, "c.execute('SELECT * FROM trades').fetchall()")),
        ("Python writes", &|path| python(path, "c.execute('UPDATE notes SET text = text'); c.commit()")),
        ("Python gives up", &|path| python(path, "c.execute('DELETE FROM trades'); c.rollback()")),
    ];
    writing.block().await;
    let before = inodes(&writing.path);
    for (name, visit) in &visits {
        // As the daemon's own readers do.
        let inspect = SqliteStore::inspect(&writing.path).unwrap();
        inspect.unfilled().await.unwrap();
        drop(inspect);
        let said = visit(&writing.path);
        writing.block().await;
        assert_eq!(inodes(&writing.path), before, "{name}: {said}");
        assert_eq!(writing.seen(), writing.edge / 10, "{name}: {said}");
    }
    assert_eq!(writing.store.condition().replaced, 0);
    assert_eq!(writing.gaps().await, []);
}

#[tokio::test]
async fn a_second_way_into_the_store_leaves_the_log_in_place() {
    let mut writing = Writing::begin().await;
    let before = inodes(&writing.path);
    for _ in 0..3 {
        // Another session of this process, and its spool, come and go.
        let second = open(&writing.path).await.unwrap();
        let spool = Spool::open_beside(&writing.path, Writer::Thread, 1 << 20).await.unwrap();
        spool.push(&block(Token(1), 0, 10)).await.unwrap();
        let mine = Spool::beside(&writing.path, 0);
        assert!(Spool::open(mine.clone(), Writer::Thread, 1).await.is_err(), "a spool has one user");
        assert!(sqlite3(&mine, "SELECT count(*) FROM spool").contains("locked"), "the lock still stands");
        while let Some((number, _)) = spool.peek().await.unwrap() {
            spool.pop(number).await.unwrap();
        }
        spool.close().await.unwrap();
        second.close().await.unwrap();
        writing.block().await;
        assert_eq!((inodes(&writing.path), writing.seen()), (before, writing.edge / 10));
    }
}

#[tokio::test]
async fn rows_that_went_with_a_deleted_log_become_a_gap() {
    let mut writing = Writing::begin().await;
    writing.block().await;
    sqlite3(&writing.path, "PRAGMA wal_checkpoint(TRUNCATE)");
    let kept = SqliteStore::inspect(&writing.path).unwrap();
    writing.block().await;
    // As a program does that takes itself for the last one.
    for suffix in ["-wal", "-shm"] {
        std::fs::remove_file(beside(&writing.path, suffix)).unwrap();
    }
    // A reader that is kept, and not used, gives the deleted log up.
    writing.block().await;
    kept.unfilled().await.unwrap();
    writing.block().await;
    assert_eq!(writing.seen(), 3, "the first block, and the two since");
    assert_eq!(writing.store.condition().replaced, 1);
    assert_eq!(writing.gaps().await, [(span(10, 20), Cause::StoreLost)]);
    // It has a log of its own again, which stands a visit.
    let before = inodes(&writing.path);
    writing.block().await;
    assert_eq!((inodes(&writing.path), writing.seen()), (before, 4));
}

#[tokio::test]
async fn an_older_copy_in_the_place_of_the_database_goes_on_with_a_gap() {
    for is_of_an_earlier_run in [false, true] {
        let mut writing = Writing::begin().await;
        writing.block().await;
        let copy = beside(&writing.path, ".copy");
        sqlite3(&writing.path, &format!(".backup {}", copy.display()));
        if is_of_an_earlier_run {
            writing.store.close().await.unwrap();
            writing.store = open(&writing.path).await.unwrap();
            writing.store.lease(&[trades()]).await.unwrap();
        }
        writing.block().await;
        std::fs::rename(&copy, &writing.path).unwrap();
        writing.block().await;
        assert_eq!(writing.seen(), 2);
        assert_eq!(writing.gaps().await, [(span(10, 20), Cause::StoreLost)]);
        let next = open(&writing.path).await.unwrap();
        assert!(next.token() > writing.store.token(), "a token is never given out twice");
    }
}

#[tokio::test]
async fn what_is_not_this_store_is_left_alone() {
    let mut writing = Writing::begin().await;
    writing.store.put_note("network", "mainnet").await.unwrap();
    writing.block().await;
    let (away, other) = (beside(&writing.path, ".away"), beside(&writing.path, ".other"));
    let foreign = beside(&writing.path, ".foreign");
    sqlite3(&foreign, "CREATE TABLE mine (x)");
    let copy_of = |from: &Path, to: &Path| assert!(std::fs::copy(from, to).unwrap() > 0);
    let others: [&dyn Fn(&Path); 4] = [
        &|path| std::fs::write(path, "").unwrap(),
        &|path| std::fs::write(path, "time,px\n1,2\n".repeat(500)).unwrap(),
        &|path| copy_of(&foreign, path),
        &|path| copy_of(&other, path),
    ];
    let second = open(&other).await.unwrap();
    second.put_note("network", "testnet").await.unwrap();
    second.close().await.unwrap();
    for put in others {
        std::fs::rename(&writing.path, &away).unwrap();
        put(&writing.path);
        let before = std::fs::read(&writing.path).unwrap();
        for _ in 0..2 {
            let error = writing.try_block().await.unwrap_err();
            assert!(error.is_temporary() && error.to_string().contains("is not this store"), "{error}");
        }
        assert!(writing.store.condition().gone.is_some());
        assert_eq!(std::fs::read(&writing.path).unwrap(), before, "untouched");
        std::fs::rename(&away, &writing.path).unwrap();
        writing.block().await;
        assert_eq!((writing.store.condition().gone, writing.gaps().await), (None, vec![]));
    }
}

#[tokio::test]
async fn a_session_whose_token_another_one_has_is_over() {
    let mut writing = Writing::begin().await;
    writing.block().await;
    for suffix in ["", "-wal", "-shm"] {
        std::fs::remove_file(beside(&writing.path, suffix)).unwrap();
    }
    std::fs::remove_dir_all(beside(&writing.path, ".locks")).unwrap();
    let second = open(&writing.path).await.unwrap();
    assert_eq!(second.token(), writing.store.token());
    assert_eq!(second.lease(&[trades()]).await.unwrap().granted.len(), 1);
    assert!(matches!(writing.try_block().await, Err(StoreError::Superseded)));
    second.commit(Arc::new(block(second.token(), 0, 10))).await.unwrap();
    assert_eq!(writing.seen(), 1);
}

#[tokio::test]
async fn a_database_that_was_moved_away_is_whole_there_and_goes_on_when_it_is_back() {
    let mut writing = Writing::begin().await;
    writing.block().await;
    let away = beside(&writing.path, ".away");
    std::fs::rename(&writing.path, &away).unwrap();
    for _ in 0..2 {
        let error = writing.try_block().await.unwrap_err();
        assert!(error.is_temporary() && error.to_string().contains("put it back"), "{error}");
    }
    let gone = writing.store.condition().gone.unwrap();
    assert!(gone.contains(writing.path.to_str().unwrap()), "{gone}");
    assert_eq!(sqlite3(&away, "SELECT count(*) FROM trades").trim(), "3", "without its log");
    assert!(!writing.path.exists(), "no new one is made in its place");
    // What waits for it in a spool keeps a new one from being begun.
    let spool = Spool::open_beside(&writing.path, Writer::Thread, 1 << 20).await.unwrap();
    let refused = async || open(&writing.path).await.err().unwrap().to_string();
    assert!(refused().await.contains(".spool-0"), "a process has it open");
    spool.push(&block(writing.store.token(), 10, 20)).await.unwrap();
    spool.close().await.unwrap();
    let error = refused().await;
    assert!(error.contains(".spool-0") && error.contains("put the database back"), "{error}");
    std::fs::rename(&away, &writing.path).unwrap();
    writing.block().await;
    assert_eq!((writing.seen(), writing.gaps().await), (2, vec![]));
    let condition = writing.store.condition();
    assert_eq!((condition.gone, condition.replaced), (None, 0), "it is the same file");
}

#[tokio::test]
async fn a_deleted_database_is_told_until_the_end() {
    let mut writing = Writing::begin().await;
    writing.block().await;
    std::fs::remove_file(&writing.path).unwrap();
    writing.try_block().await.unwrap_err();
    let error = writing.store.close().await.unwrap_err().to_string();
    assert!(error.contains("deleted or moved"), "{error}");
}

#[tokio::test]
async fn what_is_spooled_outlives_the_file_that_it_lay_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = Spool::beside(&folder.path().join("hl.db"), 0);
    let spool = Spool::open(path.clone(), Writer::Thread, 1 << 20).await.unwrap();
    let push = async |number| spool.push(&block(Token(1), number, number)).await.unwrap();
    push(1).await;
    std::fs::remove_file(beside(&path, "-wal")).unwrap();
    push(2).await;
    std::fs::remove_file(&path).unwrap();
    push(3).await;
    std::fs::remove_dir_all(folder.path()).unwrap();
    spool.close().await.unwrap();
    let again = Spool::open(path, Writer::Thread, 1 << 20).await.unwrap();
    for number in 1..=3 {
        let (entry, batch) = again.peek().await.unwrap().unwrap();
        assert_eq!(batch, block(Token(1), number, number));
        again.pop(entry).await.unwrap();
    }
    assert_eq!(again.peek().await.unwrap(), None);
}

#[tokio::test]
async fn two_names_of_a_database_are_one_store() {
    let writing = Writing::begin().await;
    let link = beside(&writing.path, ".link");
    symlink(&writing.path, &link).unwrap();
    let second = open(&link).await.unwrap();
    let leases = second.lease(&[trades()]).await.unwrap();
    assert_eq!((leases.granted, leases.held.len()), (vec![], 1), "the first one holds it");
    assert!(!beside(&link, ".locks").exists());
    second.close().await.unwrap();
    std::fs::hard_link(&writing.path, beside(&writing.path, ".hard")).unwrap();
    let error = open(&beside(&writing.path, ".hard")).await.err().unwrap();
    assert!(!error.is_temporary() && error.to_string().contains("hard links"), "{error}");
}

#[tokio::test]
async fn a_log_that_a_reader_holds_is_told_and_its_space_is_given_back() {
    let mut writing = Writing::begin().await;
    writing.block().await;
    let reader = Reader::begin(&writing.path, "BEGIN");
    let log = || std::fs::metadata(beside(&writing.path, "-wal")).unwrap().len();
    for n in 0..24 {
        let text = n.to_string().repeat(1 << 20);
        writing.store.put_note("large", &text).await.unwrap();
    }
    assert!(log() > 16 << 20, "{}", log());
    writing.until(|| writing.store.condition().log_held_since.is_some()).await;
    let condition = writing.store.condition();
    assert!(condition.log_bytes > 16 << 20);
    if cfg!(target_os = "linux") {
        assert_eq!(condition.log_held_by, [format!("python3 (pid {})", reader.0.id())]);
    }
    drop(reader);
    writing.until(|| writing.store.condition().log_held_since.is_none()).await;
    assert!(log() <= 8 << 20, "the space is given back: {}", log());
}

#[tokio::test]
async fn a_log_that_a_reader_holds_does_not_grow_for_ever() {
    let mut writing = Writing::begin().await;
    writing.block().await;
    let reader = Reader::begin(&writing.path, "BEGIN");
    let large = |n: u8| char::from(b'a' + n).to_string().repeat(128 << 20);
    let full = loop {
        let n = writing.edge.unsigned_abs().to_le_bytes()[0] % 2;
        match writing.store.put_note("large", &large(n)).await {
            Ok(()) => writing.edge += 1,
            Err(error) => break error,
        }
    };
    assert!(full.is_temporary() && full.to_string().contains("keeps a transaction open"), "{full}");
    let log = || std::fs::metadata(beside(&writing.path, "-wal")).unwrap().len();
    assert!((1 << 30..3 << 29).contains(&log()), "{}", log());
    drop(reader);
    // The space is given back.
    writing.until(|| log() < 1 << 20).await;
}

#[tokio::test]
async fn a_writer_that_does_not_end_is_waited_for_and_nothing_is_lost() {
    let mut writing = Writing::begin().await;
    writing.block().await;
    let visitor = Reader::begin(&writing.path, "BEGIN IMMEDIATE");
    let error = writing.try_block().await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    drop(visitor);
    writing.block().await;
    assert_eq!((writing.seen(), writing.gaps().await), (2, vec![]));
}

#[tokio::test]
async fn a_backup_is_one_state_of_a_store_in_use() {
    let mut writing = Writing::begin().await;
    let copy = beside(&writing.path, ".copy");
    for _ in 0..20 {
        writing.block().await;
        let before = writing.edge;
        let progress = Arc::default();
        let path = writing.path.clone();
        let backup = SqliteStore::backup(&path, &copy, true, Arc::clone(&progress));
        // Written to while it is made.
        let (made, ()) = tokio::join!(backup, async {
            for _ in 0..5 {
                writing.block().await;
            }
        });
        let made = made.unwrap();
        let trades = made.rows.iter().find(|(table, _)| table == "trades").unwrap().1;
        let edge: i64 = sqlite3(&copy, "SELECT edge FROM streams").trim().parse().unwrap();
        assert!((before..=writing.edge).contains(&edge), "{before} {edge} {}", writing.edge);
        assert_eq!(i64::try_from(trades).unwrap(), edge / 10 * 3, "rows and ledger of one moment");
        assert_eq!(made.bytes, std::fs::metadata(&copy).unwrap().len());
        assert!(progress.is_checking() && progress.pages().0 == progress.pages().1);
        assert_eq!(files(&copy), [copy.file_name().unwrap()], "one file");
    }
    let inspect = SqliteStore::inspect(&copy).unwrap();
    assert_eq!(inspect.audit().await.unwrap().problems, []);
    assert_eq!(inspect.holders().await.unwrap(), [], "no process works on the copy");
    // It is a store: collecting goes on where it ended.
    let store = open(&copy).await.unwrap();
    assert!(store.lease(&[trades()]).await.unwrap().granted[0].edge.is_some());
    store.close().await.unwrap();
    // Of a database whose program was killed: SQLite would take it for that of the copy.
    std::fs::write(beside(&copy, "-wal"), "x").unwrap();
    let in_use = SqliteStore::backup(&writing.path, &copy, true, Arc::default()).await.unwrap_err();
    assert!(in_use.to_string().contains("-wal belongs to a database"), "{in_use}");
    std::fs::remove_file(beside(&copy, "-wal")).unwrap();
    let again = SqliteStore::backup(&writing.path, &copy, false, Arc::default()).await.unwrap_err();
    assert!(again.to_string().contains("exists"), "{again}");
    let itself = SqliteStore::backup(&writing.path, &writing.path, true, Arc::default()).await;
    assert!(itself.is_err(), "it never replaces the store itself");
    assert_eq!(inodes(&writing.path)[0], std::fs::metadata(&writing.path).unwrap().ino());
}

#[tokio::test]
async fn a_backup_that_is_given_up_leaves_nothing() {
    let mut writing = Writing::begin().await;
    writing.block().await;
    let copy = beside(&writing.path, ".copy");
    {
        let mut backup = Box::pin(SqliteStore::backup(&writing.path, &copy, false, Arc::default()));
        let polled = std::future::poll_fn(|context| std::task::Poll::Ready(backup.as_mut().poll(context)));
        assert!(polled.await.is_pending(), "it has only begun");
    }
    assert!(files(&copy).is_empty());
}

#[tokio::test]
async fn a_damaged_database_is_refused_at_the_start() {
    let mut writing = Writing::begin().await;
    for _ in 0..200 {
        writing.block().await;
    }
    let Writing { store, path, _folder, .. } = writing;
    store.close().await.unwrap();
    let root: u64 =
        sqlite3(&path, "SELECT rootpage FROM sqlite_master WHERE name = 'trades'").trim().parse().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let from = usize::try_from((root - 1) * 4096).unwrap();
    bytes[from..from + 4096].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let error = open(&path).await.err().unwrap();
    assert!(!error.is_temporary() && error.to_string().contains(".recover"), "{error}");
}

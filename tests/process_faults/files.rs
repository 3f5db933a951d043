//! Database files that cannot be used: read-only, damaged, of a newer schema.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use hl_store::Spool;
use rusqlite::Connection;

use crate::show;
use crate::support::process::{Exchange, StoreFile, all_over_ws, command, counter, output};

/// Nothing decodes to this.
const GARBAGE: u8 = 0xa5;

/// Collects a little into a file, and ends in order.
async fn collected(exchange: &Exchange) -> StoreFile {
    let store = StoreFile::new();
    let mut daemon = store.daemon(exchange, &["--coin", "BTC"]);
    store.until_live("rows are there", |live| all_over_ws(live) && counter(live, "rows_inserted") > 40).await;
    assert_eq!(daemon.terminate().await.code(), Some(0), "{}", daemon.log());
    store
}

fn copy_of(store: &StoreFile) -> StoreFile {
    let copy = StoreFile::new();
    std::fs::copy(store.path(), copy.path()).unwrap();
    copy
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

fn overwrite(path: &Path, from: u64, bytes: u64) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&vec![GARBAGE; usize::try_from(bytes).unwrap()], from).unwrap();
}

/// The first page of a table.
fn damage_table(path: &Path, table: &str) {
    let conn = Connection::open(path).unwrap();
    let read = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, u32>(0).map(u64::from)).unwrap();
    let size = read("PRAGMA page_size");
    let page = read(&format!("SELECT rootpage FROM sqlite_master WHERE name = '{table}'"));
    conn.close().unwrap();
    overwrite(path, (page - 1) * size, size);
}

struct Damage {
    name: &'static str,
    inflict: fn(&Path),
    /// What the daemon says, beside the path.
    says: &'static [&'static str],
}

const DAMAGES: [Damage; 7] = [
    Damage {
        name: "header",
        inflict: |path| overwrite(path, 0, 100),
        says: &["is not a SQLite database", "move the file away"],
    },
    Damage {
        name: "no database",
        inflict: |path| std::fs::write(path, "time,px\n1,2\n".repeat(500)).unwrap(),
        says: &["is not a SQLite database", "move the file away"],
    },
    Damage {
        name: "middle page",
        inflict: |path| damage_table(path, "trades"),
        says: &["is damaged", ".recover"],
    },
    Damage {
        name: "ledger page",
        inflict: |path| damage_table(path, "streams"),
        says: &["is damaged", ".recover"],
    },
    Damage {
        name: "truncated",
        inflict: |path| {
            let half = std::fs::metadata(path).unwrap().len() / 2;
            OpenOptions::new().write(true).open(path).unwrap().set_len(half).unwrap();
        },
        says: &["is damaged", ".recover"],
    },
    Damage {
        name: "newer schema",
        inflict: |path| {
            Connection::open(path).unwrap().pragma_update(None, "user_version", 99).unwrap();
        },
        says: &["has schema 99", "run the release that wrote it"],
    },
    Damage {
        name: "spool",
        inflict: |path| std::fs::write(Spool::beside(path, 0), [GARBAGE; 8_192]).unwrap(),
        says: &[".spool-0", "is not a SQLite database", "move the file away"],
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_used_is_refused_with_what_to_do() {
    let exchange = Exchange::start(&["--coins", "2", "--seed", "27"]).await;
    let whole = collected(&exchange).await;
    for damage in &DAMAGES {
        let name = damage.name;
        let store = copy_of(&whole);
        (damage.inflict)(&store.path());
        let mut daemon = store.daemon(&exchange, &["--coin", "BTC"]);
        let status = daemon.ended().await;
        let log = daemon.log();
        let last = log.lines().last().unwrap_or_default();
        println!("{name}: {last}");
        assert_eq!(status.code(), Some(1), "{name}: {log}");
        assert!(
            last.starts_with("hl-daemon: ") && last.contains(store.path().to_str().unwrap()),
            "{name}: {last}"
        );
        assert!(damage.says.iter().all(|words| last.contains(words)), "{name}: {last}");
    }
}

/// What a crash of the machine may leave of the log that SQLite had not checkpointed: the rows that are gone are gone
/// together with the edges, so the next start records them as missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_log_takes_rows_and_edges_together() {
    let exchange = Exchange::start(&["--coins", "2", "--seed", "28"]).await;
    let store = StoreFile::new();
    let daemon = store.daemon(&exchange, &["--coin", "BTC"]);
    let live = store
        .until_live("rows are there", |live| all_over_ws(live) && counter(live, "rows_inserted") > 100)
        .await;
    daemon.kill().await;
    let log = beside(&store.path(), "-wal");
    let bytes = std::fs::metadata(&log).unwrap().len();
    assert!(bytes > 0, "nothing is in the log");
    overwrite(&log, bytes * 3 / 4, bytes / 4);

    let mut daemon = store.daemon(&exchange, &["--coin", "BTC"]);
    store
        .until_live("it collects again", |next| {
            next["at"].as_i64() > live["at"].as_i64() && all_over_ws(next)
        })
        .await;
    assert_eq!(daemon.terminate().await.code(), Some(0), "{}", daemon.log());
    let report = store.verified(&exchange).await;
    show(&report);
}

/// Before a program: rights as those of any user, where the test runs as the superuser, whom no permission stops.
fn without_privilege() -> &'static [&'static str] {
    match rustix::process::geteuid().is_root() {
        true => &["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner"],
        false => &[],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_cannot_be_written_to_is_named_with_what_to_do() {
    let exchange = Exchange::start(&["--coins", "2", "--seed", "29"]).await;
    let whole = collected(&exchange).await;
    let daemon = async |store: &StoreFile| {
        let mut daemon = store.daemon_with(&exchange, &["--coin", "BTC"], without_privilege());
        let status = daemon.ended().await;
        let log = daemon.log();
        let last = log.lines().last().unwrap_or_default().to_owned();
        println!("{last}");
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(last.contains(store.path().to_str().unwrap()), "{last}");
        assert!(last.contains("give this user write permission"), "{last}");
    };
    let permit = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();

    let store = copy_of(&whole);
    permit(&store.path(), 0o444);
    daemon(&store).await;

    // SQLite's log and the lock files have to be made beside it.
    let store = copy_of(&whole);
    permit(store.folder(), 0o555);
    daemon(&store).await;
    // Reading needs no such permission.
    let words = ["coverage", "--store", &store.uri, "--json"];
    let before: Vec<_> = without_privilege().iter().map(|&word| word.to_owned()).collect();
    let read = output(&mut command(&before, "hl-cli", &words)).await;
    assert_eq!(read.status.code(), Some(0), "{}", String::from_utf8_lossy(&read.stderr));
    permit(store.folder(), 0o755);

    // As soon as the permission is given, it goes on where it stopped.
    let mut next = store.daemon(&exchange, &["--coin", "BTC"]);
    store.until_live("it collects", all_over_ws).await;
    assert_eq!(next.terminate().await.code(), Some(0), "{}", next.log());
    store.verified(&exchange).await;
}

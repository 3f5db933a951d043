//! Moving house with `hl-cli copy`: what arrives, what an interruption costs, what is refused, and what is noticed.

use std::path::Path;
use std::sync::Arc;

use hl_core::store::prelude::*;
use hl_runtime::SystemClock;
use hl_store::{SqliteOptions, SqliteStore};
use mongodb::bson::{Document, doc};
use rusqlite::Connection;
use rusqlite::types::Value;
use serde_json::Value as Json;

use crate::support::furnished::{START, furnish};
use crate::support::process::{Process, StoreFile, answer, run, until};

/// Everything in a SQLite store that is data and not a process, as text. What numbers its own rows is left out.
fn dump(path: &Path) -> String {
    let conn = Connection::open(path).unwrap();
    let mut dump = String::new();
    for (table, columns) in [
        ("trades", "*"),
        ("books", "*"),
        ("bbo", "*"),
        ("candles", "*"),
        ("mids", "*"),
        ("contexts", "*"),
        ("funding", "*"),
        ("streams", "*"),
        ("coverage", "*"),
        ("gaps", "stream, from_time, to_time, cause, state, opened_at, closed_at, claim"),
        ("archive_parts", "*"),
        ("job_runs", "*"),
        ("statistics", "*"),
        ("statistics_series", "*"),
        ("alerts", "token, kind, subject, severity, raised, last_seen, times, resolved, words"),
        ("notes WHERE name <> 'copy'", "*"),
    ] {
        let mut statement = conn.prepare(&format!("SELECT {columns} FROM {table}")).unwrap();
        let width = statement.column_count();
        let rows = statement.query_map([], |row| (0..width).map(|at| row.get::<_, Value>(at)).collect());
        let mut rows: Vec<String> =
            rows.unwrap().map(|row: rusqlite::Result<Vec<Value>>| format!("{:?}", row.unwrap())).collect();
        assert!(!rows.is_empty(), "the store has nothing in {table}");
        rows.sort();
        dump += &format!("{table}\n{}\n", rows.join("\n"));
    }
    dump
}

async fn copy(from: &str, to: &str, words: &[&str]) -> (Option<i32>, Json, String) {
    let words = [&["copy", "--from", from, "--to", to, "--json"], words].concat();
    let output = run("hl-cli", &words, &[]).await;
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default(), said)
}

async fn copied(from: &str, to: &str) -> Json {
    let (code, answer, said) = copy(from, to, &[]).await;
    assert_eq!(code, Some(0), "{answer:#}\n{said}");
    assert_eq!((&answer["equal"], &answer["differences"]), (&true.into(), &Json::Array(Vec::new())));
    answer
}

/// What the commands say of a store, in which nothing may depend on where it lies.
async fn answers(uri: &str) -> Vec<String> {
    let mut said = Vec::new();
    let archive = ["--archive", "/nowhere"];
    for (words, more) in [
        (&["coverage"][..], &[][..]),
        (&["verify"], &archive),
        (&["jobs", "history"], &[]),
        (&["alerts", "--all"], &[]),
        (&["archive", "list"], &archive),
    ] {
        let mut said_here = answer(&[words, &["--store", uri], more].concat()).await;
        // When it was asked.
        said_here.as_object_mut().unwrap().remove("at");
        said.push(format!("{words:?} {said_here:#}"));
    }
    for stream in ["book/BTC", "mids", "candle/BTC/1m"] {
        let words = ["export", "--stream", stream, "--format", "ndjson", "--store", uri];
        let output = run("hl-cli", &words, &[]).await;
        let (code, holds) = (output.status.code(), String::from_utf8(output.stderr).unwrap());
        assert!(matches!(code, Some(0 | 4)), "{holds}");
        said.push(format!("{code:?} {holds} {}", String::from_utf8(output.stdout).unwrap()));
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn to_mongodb_and_back_everything_arrives() {
    let (source, back) = (StoreFile::new(), StoreFile::new());
    furnish(&source.path(), 3_000).await;
    let mongo = hl_mongod::fresh_database();
    let there = copied(&source.uri, &mongo).await;
    assert_eq!(there["archive_files_not_copied"], 1);
    copied(&mongo, &back.uri).await;
    assert_eq!(dump(&back.path()), dump(&source.path()));
    let ours = answers(&source.uri).await;
    for uri in [&mongo, &back.uri] {
        for (theirs, ours) in answers(uri).await.iter().zip(&ours) {
            assert_eq!(theirs, ours);
        }
    }

    // What comes later has a token that nobody had in the source, and finds every stream free.
    let tokens = |path: &Path| -> i64 {
        let conn = Connection::open(path).unwrap();
        conn.query_row("SELECT last FROM token_counter", [], |r| r.get(0)).unwrap()
    };
    assert!(tokens(&back.path()) > tokens(&source.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_the_archive_that_is_damaged_is_told() {
    let (source, beside) = (StoreFile::new(), StoreFile::new());
    furnish(&source.path(), 100).await;
    let there = copied(&source.uri, &beside.uri).await;
    assert_eq!(
        (&there["archive_files_not_there"], &there["archive_files_damaged"]),
        (&1.into(), &Json::Array(Vec::new()))
    );

    let recorded: String = Connection::open(source.path())
        .unwrap()
        .query_row("SELECT path FROM archive_parts WHERE path IS NOT NULL", [], |row| row.get(0))
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(recorded);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "another one").unwrap();
    let archive = ["--archive", folder.path().to_str().unwrap()];
    let (code, answer, said) = copy(&source.uri, &beside.uri, &archive).await;
    assert_eq!((code, &answer["equal"]), (Some(1), &true.into()), "{said}");
    let words = answer["archive_files_damaged"][0].as_str().unwrap();
    assert!(words.contains(file.to_str().unwrap()) && words.contains("from a backup"), "{words}");
    assert!(said.contains(words), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn to_another_store_of_the_same_kind() {
    let (source, beside) = (StoreFile::new(), StoreFile::new());
    furnish(&source.path(), 100).await;
    copied(&source.uri, &beside.uri).await;
    assert_eq!(dump(&beside.path()), dump(&source.path()));
    let (mongo, other, back) = (hl_mongod::fresh_database(), hl_mongod::fresh_database(), StoreFile::new());
    copied(&source.uri, &mongo).await;
    copied(&mongo, &other).await;
    copied(&other, &back.uri).await;
    assert_eq!(dump(&back.path()), dump(&source.path()));
}

/// How many items the target's record of the copy counts.
async fn recorded(target: &StoreFile) -> u64 {
    let record = match target.uri.starts_with("sqlite:") {
        true => Connection::open(target.path())
            .and_then(|conn| {
                conn.query_row("SELECT text FROM notes WHERE name = 'copy'", [], |r| r.get::<_, String>(0))
            })
            .ok(),
        false => {
            let client = mongodb::Client::with_uri_str(&target.uri).await.unwrap();
            let notes = client.default_database().unwrap().collection::<Document>("notes");
            let note = notes.find_one(doc! { "_id": "copy" }).await.unwrap();
            note.map(|note| note.get_str("text").unwrap().to_owned())
        }
    };
    let record: Json = record.map(|text| serde_json::from_str(&text).unwrap()).unwrap_or_default();
    record["items"].as_u64().unwrap_or(0)
}

async fn killed_and_resumed(source: &str, target: &StoreFile) {
    let words = ["copy", "--from", source, "--to", &target.uri, "--page", "3"];
    let copying = Process::start("hl-cli", &words);
    until("some of it is copied", async || (recorded(target).await > 60).then_some(())).await;
    copying.kill().await;
    let reached = recorded(target).await;

    // Nobody takes it for a store meanwhile.
    let words = ["--network", "sim", "--coin", "BTC", "--store", &target.uri];
    let output = run("hl-daemon", &words, &[]).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("not finished"), "{said}");

    // Nor for one to copy. On MongoDB the lease of who was killed may still stand.
    let (code, _, said) = copy(&target.uri, &StoreFile::new().uri, &[]).await;
    match code {
        Some(1) => assert!(said.contains("the source is a copy of sqlite:"), "{said}"),
        _ => assert!(code == Some(3) && target.uri.starts_with("mongodb:"), "{said}"),
    }

    let (code, answer, said) = copy(source, &target.uri, &[]).await;
    assert_eq!(code, Some(0), "{answer:#}\n{said}");
    assert_eq!(answer["resumed"], reached, "it goes on where it stopped");
    assert!(answer["written"].as_u64().unwrap() > 0, "it was killed before its end");
    assert_eq!(answer["compared"].as_u64(), Some(reached + answer["written"].as_u64().unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_killed_goes_on_where_it_stopped() {
    let (source, target, back) = (StoreFile::new(), StoreFile::new(), StoreFile::new());
    furnish(&source.path(), 3_000).await;
    killed_and_resumed(&source.uri, &target).await;
    assert_eq!(dump(&target.path()), dump(&source.path()));

    let mongo = StoreFile::in_mongodb(hl_mongod::fresh_database());
    killed_and_resumed(&source.uri, &mongo).await;
    copied(&mongo.uri, &back.uri).await;
    assert_eq!(dump(&back.path()), dump(&source.path()));
}

async fn refused(from: &str, to: &str, code: i32, reason: &str) {
    let (ended, answer, said) = copy(from, to, &[]).await;
    assert_eq!(ended, Some(code), "{answer:#}\n{said}");
    assert!(said.contains(reason), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_right_is_refused() {
    let (source, other) = (StoreFile::new(), StoreFile::new());
    furnish(&source.path(), 100).await;
    furnish(&other.path(), 50).await;
    let before = dump(&other.path());
    refused(&source.uri, &other.uri, 1, "holds data already (bbo/BTC); give one that is empty").await;
    assert_eq!(dump(&other.path()), before);
    refused(&source.uri, &source.uri, 2, "that is the store to copy itself").await;

    // One link further it is still the same.
    let link = source.folder().join("link.db");
    std::os::unix::fs::symlink(source.path(), &link).unwrap();
    refused(&source.uri, &format!("sqlite:{}", link.display()), 2, "itself").await;

    let missing = StoreFile::new();
    refused(&missing.uri, &hl_mongod::fresh_database(), 1, "does not exist").await;
    assert!(!missing.path().exists(), "a source is not made");

    let target = StoreFile::new();
    copied(&source.uri, &target.uri).await;
    refused(&other.uri, &target.uri, 1, "holds a copy of sqlite:").await;

    // In another spelling it is the same database all the same.
    let mongo = hl_mongod::fresh_database();
    copied(&source.uri, &mongo).await;
    refused(&mongo, &format!("{mongo}&appName=again"), 3, "the source is in use by hl-cli copy").await;

    // Whoever wrote to the source took a token, whatever was written.
    let options = SqliteOptions::of_this_process(source.path(), "test", Arc::new(SystemClock));
    SqliteStore::open(options).await.unwrap().close().await.unwrap();
    for to in [&target.uri, &mongo] {
        refused(&source.uri, to, 1, "the source was written to since this copy began").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_in_use_is_left_alone() {
    let exchange = crate::support::process::Exchange::start(&["--coins", "1"]).await;
    let (live, target) = (StoreFile::new(), StoreFile::new());
    let mut daemon = live.daemon(&exchange, &["--coin", "BTC"]);
    live.until_live("it collects", crate::support::process::all_over_ws).await;
    refused(&live.uri, &target.uri, 3, "the source is in use by hl-daemon").await;
    assert!(!target.path().exists(), "nothing is made of a target for nothing");
    let furnished = StoreFile::new();
    furnish(&furnished.path(), 50).await;
    refused(&furnished.uri, &live.uri, 3, "the target is in use by hl-daemon").await;
    assert_eq!(daemon.terminate().await.code(), Some(0), "{}", daemon.log());

    // The collector moves along with its store, and goes on where it ended.
    copied(&live.uri, &target.uri).await;
    let mut moved = target.daemon(&exchange, &["--coin", "BTC"]);
    target.until_live("it collects", crate::support::process::all_over_ws).await;
    assert_eq!(moved.terminate().await.code(), Some(0), "{}", moved.log());
    target.verified(&exchange).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_changed_behind_its_back_is_found() {
    let (source, target) = (StoreFile::new(), StoreFile::new());
    furnish(&source.path(), 100).await;
    let before = dump(&source.path());
    let mongo = hl_mongod::fresh_database();
    for to in [&target.uri, &mongo] {
        copied(&source.uri, to).await;
        let again = copied(&source.uri, to).await;
        assert_eq!(again["written"], 0, "what is finished is compared only");
    }

    let time = START + 100;
    let conn = Connection::open(target.path()).unwrap();
    let sql = "UPDATE books SET asks = replace(asks, '66500.00', '66500.0') WHERE time = ?1";
    assert_eq!(conn.execute(sql, [time]).unwrap(), 1);
    let client = mongodb::Client::with_uri_str(&mongo).await.unwrap();
    let books = client.default_database().unwrap().collection::<Document>("books");
    let which = doc! { "_id.time": mongodb::bson::DateTime::from_millis(time) };
    let changed = books.update_one(which, doc! { "$set": { "asks.0.n": 3_i64 } }).await.unwrap();
    assert_eq!(changed.modified_count, 1);
    for to in [&target.uri, &mongo] {
        let (code, answer, said) = copy(&source.uri, to, &[]).await;
        assert_eq!(code, Some(1), "{said}");
        let expected = serde_json::json!([{
            "what": "rows", "stream": "book/BTC", "day": "2026-11-01", "source": 40, "target": 40,
        }]);
        assert_eq!((&answer["equal"], &answer["differences"]), (&false.into(), &expected));
    }
    assert_eq!(dump(&source.path()), before, "the source is only read");
}

//! Polars, pandas and DuckDB read the archive: rows, exact sums, dates and the names of coins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use hl_core::{Decimal, Records};
use serde_json::Value;

use crate::support::process::{StoreFile, answer};
use crate::{ALL, coins, collected, days_ago, told};

/// An environment with the readers, made once.
fn python() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/readers");
    let python = folder.join("bin/python");
    let has_all = |python: &Path| {
        let mut looks = Command::new(python);
        looks
            .args(["-c", "import polars, pandas, pyarrow, duckdb, matplotlib"])
            .output()
            .is_ok_and(|out| out.status.success())
    };
    if !has_all(&python) {
        let made = Command::new("python3").args(["-m", "venv"]).arg(&folder).status().unwrap();
        assert!(made.success(), "python3 makes an environment");
        let packages = ["polars", "pandas", "pyarrow", "duckdb", "matplotlib"];
        let got = Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(packages).status();
        assert!(got.unwrap().success(), "pip installs {packages:?}");
    }
    python
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ten_lines_of_the_readme_draw_the_store() {
    let store = StoreFile::new();
    collected(&store, &coins(&["BTC"]), days_ago(1), days_ago(0)).await;
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let block = readme.split("```python\n").find(|block| block.contains("plt.savefig")).unwrap();
    let lines = block.split("```").next().unwrap();
    assert_eq!(lines.trim().lines().count(), 10, "{lines}");
    // Where the README has it.
    let data = store.folder().join("data");
    std::fs::create_dir(&data).unwrap();
    std::os::unix::fs::symlink(store.path(), data.join("hyperliquid.db")).unwrap();
    let mut drawing = Command::new(python());
    let out =
        drawing.args(["-c", lines]).current_dir(store.folder()).env("MPLBACKEND", "agg").output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let picture = std::fs::read(store.folder().join("btc.png")).unwrap();
    assert!(picture.starts_with(b"\x89PNG") && picture.len() > 10_000, "{} bytes", picture.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn polars_pandas_and_duckdb_read_the_archive() {
    let store = StoreFile::new();
    let names = ["BTC", "xyz:NVDA", "@107", "kPEPE"];
    let (from, to) = (days_ago(4), days_ago(1));
    collected(&store, &coins(&names), from, days_ago(0)).await;
    let words = [&["archive", "run", "--store", &store.uri, "--retention", "book=1d"][..], &ALL[..]].concat();
    let done = answer(&words).await;
    assert!(done["total"]["archived"].as_u64().unwrap() > 0, "{done:#}");
    // What was set aside counts for none of them.
    let listed = answer(&["archive", "list", "--store", &store.uri]).await;
    for part in listed["parts"].as_array().unwrap() {
        let part = store.folder().join("archive").join(part["path"].as_str().unwrap());
        let name = part.file_name().unwrap().to_str().unwrap();
        std::fs::copy(&part, part.with_file_name(format!("_{name}.unrecorded"))).unwrap();
    }
    let listed = answer(&["archive", "list", "--store", &store.uri]).await;
    assert_eq!(listed["aside"].as_array().unwrap().len(), listed["parts"].as_array().unwrap().len());
    let exported = store.folder().join("trades.parquet");
    let export = [
        "export", "--store", &store.uri, "--stream", "trades", "--coin", "BTC", "--format", "parquet",
        "--out",
    ];
    answer(&[&export[..], &[exported.to_str().unwrap()]].concat()).await;
    let exact = store.folder().join("exact.parquet");
    answer(&[&export[..], &[exact.to_str().unwrap(), "--numbers", "exact"]].concat()).await;

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/archive/readers.py");
    let out = Command::new(python())
        .arg(script)
        .arg(store.folder().join("archive"))
        .arg(&exported)
        .arg(&exact)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let said: Value = serde_json::from_slice(&out.stdout).unwrap();

    let mut expected = serde_json::Map::new();
    for coin in coins(&names) {
        let Records::Trades(trades) = told(coin, from, to).remove(0).1 else { panic!() };
        let sum: Decimal = trades.iter().map(|trade| trade.px * trade.sz).sum();
        let of = serde_json::json!([trades.len(), sum.normalize().to_string()]);
        expected.insert(coin.to_string(), of);
    }
    let days: Vec<String> = (0..3)
        .map(|n| hl_core::archive::Day::of(hl_core::TimeMs(from + n * hl_core::time::DAY_MS)).to_string())
        .collect();
    // All of the archive at once, by the names that the streams have everywhere.
    let mut streams = BTreeMap::<String, u64>::new();
    for part in listed["parts"].as_array().unwrap() {
        *streams.entry(part["stream"].as_str().unwrap().to_owned()).or_default() +=
            part["rows"].as_u64().unwrap();
    }
    for reader in ["polars", "pandas", "duckdb"] {
        let said = &said[reader];
        assert_eq!(said["streams"], serde_json::json!(streams), "{reader}");
        assert_eq!(said["trades"], Value::Object(expected.clone()), "{reader}");
        assert_eq!(said["dates"], serde_json::json!(days), "{reader}");
        assert_eq!(said["first"], from + 1_000, "{reader}: the time of the first trade");
        assert_eq!(said["mids"], 4 * 3 * 144, "{reader}: mids of every coin");
        assert_eq!(said["mid_coins"], serde_json::json!(["@107", "BTC", "kPEPE", "xyz:NVDA"]), "{reader}");
        // Three bids and two asks a book, 72 books a day.
        assert_eq!(said["levels"], 4 * 3 * 72 * 5, "{reader}: levels of books");
        assert_eq!(said["no_bid"], 4 * 3 * 48, "{reader}: sides that are absent");
        assert_eq!(
            said["types"],
            serde_json::json!(["float", "decimal"]),
            "{reader}: the prices of both exports"
        );
        assert_eq!(said["exported"], 4 * 2 * 1_440, "{reader}: the export of one coin, hot and archived");
    }
}

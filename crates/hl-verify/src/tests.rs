//! The whole walk, over a store and a truth in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;

use hl_core::archive::{Part, Provenance, StoredRows};
use hl_core::ledger::{Cause, GapState};
use hl_core::record::Mid;
use hl_core::row::Arrival;
use hl_core::runs::Row;
use hl_core::seam::BoxFuture;
use hl_core::store::Holder;
use hl_core::{Coin, Decimal, Epoch, Origin};
use hl_store::{AlertRow, Audit, CoverageRow, LeaseRow, Problem};

use super::*;

type Rows = BTreeMap<StreamKey, Records>;

fn cut(rows: &Rows, stream: StreamKey, span: Span) -> Records {
    let mut records = rows[&stream].clone();
    records.retain_time(|time| span.contains(time));
    records
}

#[derive(Default)]
struct Memory {
    rows: Rows,
    gaps: Vec<GapRow>,
    problems: Vec<Problem>,
    edge: i64,
}

impl Inspect for Memory {
    fn streams(&self) -> BoxFuture<'_, Result<Vec<StreamRow>, StoreError>> {
        let row = |(&stream, records): (&StreamKey, &Records)| StreamRow {
            stream,
            edge: Some(TimeMs(self.edge)),
            ended: None,
            first: Some(TimeMs(0)),
            rows: records.len() as u64,
            archived: 0,
            oldest: None,
            newest: None,
            holder: None,
        };
        Box::pin(async move { Ok(self.rows.iter().map(row).collect()) })
    }
    fn leases(&self) -> BoxFuture<'_, Result<Vec<LeaseRow>, StoreError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
    fn coverage(&self, _: Option<StreamKey>) -> BoxFuture<'_, Result<Vec<CoverageRow>, StoreError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
    fn gaps(&self, _: Option<StreamKey>) -> BoxFuture<'_, Result<Vec<GapRow>, StoreError>> {
        Box::pin(async { Ok(self.gaps.clone()) })
    }
    fn rows(&self, stream: StreamKey, span: Span) -> BoxFuture<'_, Result<Records, StoreError>> {
        Box::pin(async move { Ok(cut(&self.rows, stream, span)) })
    }
    fn stored_rows(&self, stream: StreamKey, span: Span) -> BoxFuture<'_, Result<StoredRows, StoreError>> {
        let records = cut(&self.rows, stream, span);
        let from = Provenance { origin: Origin::Ws, epoch: Epoch::default() };
        let provenance = vec![from; records.len()];
        Box::pin(async { Ok(StoredRows { records, provenance }) })
    }
    fn parts(&self, _: Option<StreamKey>, _: Span) -> BoxFuture<'_, Result<Vec<Part>, StoreError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
    fn audit(&self) -> BoxFuture<'_, Result<Audit, StoreError>> {
        Box::pin(async { Ok(Audit { problems: self.problems.clone(), ..Audit::default() }) })
    }
    fn job_runs<'a>(&'a self, _: Option<&'a str>, _: u32) -> BoxFuture<'a, Result<Vec<Row>, StoreError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
    fn note<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        Box::pin(async { Ok(None) })
    }
    fn alerts(&self, _: bool, _: u32) -> BoxFuture<'_, Result<Vec<AlertRow>, StoreError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
    fn holders(&self) -> BoxFuture<'_, Result<Vec<Holder>, StoreError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

struct MemoryTruth {
    rows: Rows,
    oldest: i64,
    longest: Mutex<i64>,
}

impl MemoryTruth {
    fn of(rows: &Rows, oldest: i64) -> Self {
        Self { rows: rows.clone(), oldest, longest: Mutex::new(0) }
    }
}

impl Truth for MemoryTruth {
    fn falsified(&self, _: StreamKey) -> BoxFuture<'_, Result<Falsified, TruthError>> {
        Box::pin(async { Ok(Falsified::default()) })
    }
    fn load(&self) -> BoxFuture<'_, Result<Load, TruthError>> {
        Box::pin(async { Ok(Load { now: TimeMs(self.oldest), peak_weight: 0, rate_limited: 0 }) })
    }
    fn oldest(&self) -> BoxFuture<'_, Result<TimeMs, TruthError>> {
        Box::pin(async { Ok(TimeMs(self.oldest)) })
    }
    fn rows(&self, stream: StreamKey, span: Span) -> BoxFuture<'_, Result<Records, TruthError>> {
        let mut longest = self.longest.lock().unwrap();
        *longest = span.ms().max(*longest);
        // One mid a minute: what held at the beginning began at most a minute before.
        let from = if stream == StreamKey::MIDS { span.from - MINUTE } else { span.from };
        Box::pin(async move { Ok(cut(&self.rows, stream, Span { from, ..span })) })
    }
}

const MINUTE: i64 = 60_000;

/// An hour of mids, one a minute, of one coin.
fn mids() -> (StreamKey, Vec<Mid>) {
    let coin = Coin::new("BTC").unwrap();
    let at = |minute| Mid {
        coin,
        time: TimeMs(minute * MINUTE),
        px: Decimal::from(minute),
        arrival: Arrival::default(),
    };
    (StreamKey::MIDS, (0..60).map(at).collect())
}

/// An hour of trades, one a second.
fn trades() -> (StreamKey, Vec<hl_core::record::Trade>) {
    let coin = Coin::new("BTC").unwrap();
    let json = |second: i64| {
        format!(
            r#"{{"coin":"BTC","time":{},"tid":7,"px":"1.0","sz":"2.5","side":"A","hash":"0x{}","users":["0x{}","0x{}"]}}"#,
            second * 1_000,
            "0".repeat(64),
            "1".repeat(40),
            "2".repeat(40),
        )
    };
    let trade = |second| serde_json::from_str::<wire::Trade>(&json(second)).unwrap().into();
    (StreamKey::Trades(coin), (0..3_600).map(trade).collect())
}

fn gap(stream: StreamKey, from: i64, to: i64) -> GapRow {
    let span = Span::new(TimeMs(from), TimeMs(to));
    GapRow { stream, span, cause: Cause::Outage, state: GapState::Unrecoverable }
}

#[tokio::test]
async fn an_hour_that_agrees_is_clean_and_comes_in_pages() {
    let (mids_key, mids) = mids();
    let (trades_key, trades) = trades();
    let rows = Rows::from([(mids_key, Records::Mids(mids)), (trades_key, Records::Trades(trades))]);
    let truth = MemoryTruth::of(&rows, 0);
    let store = Memory { rows, edge: 59 * MINUTE, ..Memory::default() };
    let report = verify(&store, Some(&truth), None).await.unwrap();
    assert!(report.clean, "{report:#?}");
    let compared: Vec<_> = report.streams.iter().filter_map(|s| s.compared.clone()).collect();
    assert_eq!(compared.len(), 2);
    let of = |key| report.streams.iter().find(|s| s.stream == key).unwrap().compared.clone().unwrap();
    assert_eq!((of(trades_key).truth, of(trades_key).missing), (59 * 60 + 1, Some(0)));
    // The mids of the first two seconds cannot be judged: what held before them is not known.
    assert_eq!((of(mids_key).truth, of(mids_key).missing), (59, None));
    assert!(
        *truth.longest.lock().unwrap() <= PAGE_MS + compare::STAMP_MS + compare::EARLY_MS,
        "never an hour at once"
    );
}

#[tokio::test]
async fn what_is_missing_outside_a_gap_is_not_clean_and_inside_one_is() {
    let (key, trades) = trades();
    let truth = MemoryTruth::of(&Rows::from([(key, Records::Trades(trades.clone()))]), 0);
    let mut stored = trades;
    // Across the border of two pages.
    stored.retain(|t| !(590_000..=610_000).contains(&t.time.0));
    let rows = Rows::from([(key, Records::Trades(stored))]);
    let mut store = Memory { rows, edge: 59 * MINUTE, ..Memory::default() };
    let report = verify(&store, Some(&truth), None).await.unwrap();
    assert!(!report.clean);
    assert_eq!(report.problems.len(), 1);
    assert_eq!((report.problems[0].check, report.problems[0].count), ("missing", 21));
    assert_eq!(report.problems[0].example, "first at 590000, 1970-01-01T00:09:50.000Z");

    store.gaps = vec![gap(key, 589_000, 611_000)];
    let report = verify(&store, Some(&truth), None).await.unwrap();
    assert!(report.clean, "{report:#?}");
    let compared = report.streams[0].compared.clone().unwrap();
    assert_eq!((compared.missing, compared.missing_in_gaps), (Some(0), 21));
    assert_eq!(report.gaps.len(), 1, "gaps are shown even where all is clean");
}

#[tokio::test]
async fn the_truth_is_not_asked_for_what_it_has_forgotten() {
    let (key, trades) = trades();
    let rows = Rows::from([(key, Records::Trades(trades))]);
    let mut known = rows.clone();
    known.get_mut(&key).unwrap().retain_time(|time| time.0 >= 30 * MINUTE);
    let truth = MemoryTruth::of(&known, 30 * MINUTE);
    let store = Memory { rows, edge: 59 * MINUTE, ..Memory::default() };
    let report = verify(&store, Some(&truth), None).await.unwrap();
    assert!(report.clean, "{report:#?}");
    let compared = report.streams[0].compared.clone().unwrap();
    assert_eq!(compared.span.from, TimeMs(30 * MINUTE), "and the report says from where on");
}

#[tokio::test]
async fn without_a_truth_the_audit_decides() {
    let (key, trades) = trades();
    let problem = Problem { check: "rows_in_gap", stream: Some(key), count: 3, example: "one".to_owned() };
    let rows = Rows::from([(key, Records::Trades(trades))]);
    let mut store = Memory { rows, edge: 1, problems: vec![problem], ..Memory::default() };
    let report = verify(&store, None, None).await.unwrap();
    assert!(!report.clean && report.streams[0].compared.is_none());
    let found = &report.problems[0];
    assert_eq!((found.check, found.stream, found.count), ("rows_in_gap", Some(key), 3));
    store.problems.clear();
    let clean = verify(&store, None, None).await.unwrap();
    let json = serde_json::to_value(&clean).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "clean": true, "duplicates": 0, "overlapping_claims": 0, "minutes_compared": 0, "minutes_unknown": 0,
            "unread": 0, "problems": [],
            "gaps": [], "streams": [{"stream": "trades/BTC", "rows": 3600, "duplicates": 0}],
        })
    );
    let with_truth = verify(&store, Some(&MemoryTruth::of(&store.rows, 0)), None).await.unwrap();
    let json = serde_json::to_value(&with_truth.streams[0]).unwrap();
    for key in ["truth", "missing", "missing_in_gaps", "extra", "different", "pending"] {
        assert!(json[key].is_u64(), "{key}: {json}");
    }
}

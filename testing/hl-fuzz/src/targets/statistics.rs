//! Files of daily statistics, cut anywhere.
//!
//! Promised: no panic; where a file is cut changes nothing; figures are finite, and names bounded.

use hl_core::TimeMs;
use hl_core::decode::statistics::Reader;
use hl_core::statistics::{Figure, Shape};

use crate::{Target, text};

pub(crate) const TARGET: Target =
    Target { name: "statistics", about: "files of daily statistics, cut anywhere", seeds, run, short: 4_000 };

const FILES: [&str; 3] = [
    r#"{"chart_data":[{"time":"2026-11-01T00:00:00","coin":"BTC","open_interest":1.5e9},{"time":"2026-11-02T00:00:00","coin":"ETH","open_interest":null}]}"#,
    r#"{"chart_data":{"BTC":[{"time":"2026-11-01T00:00:00","mid_price":1.5,"median_liquidity":7}],"ETH":[]}}"#,
    r#"{"table_data":[{"name":"0x0000000000000000000000000000000000000001","value":-0.25}]}"#,
];

fn seeds() -> Vec<Vec<u8>> {
    FILES.iter().map(|file| [b"\x07".as_slice(), &text::to_input(file)].concat()).collect()
}

fn run(input: &[u8]) {
    let Some((first, rest)) = input.split_first() else { return };
    let file = text::of_input(rest, &FILES);
    for shape in [Shape::Days, Shape::Top] {
        let whole = read(shape, &file, usize::MAX);
        assert_eq!(
            whole,
            read(shape, &file, usize::from(*first).max(1)),
            "where a file is cut changes nothing"
        );
        for figure in whole.unwrap_or_default() {
            assert!(figure.value.is_finite() && figure.name.len() <= 80 && figure.subject.len() <= 80);
        }
    }
}

fn read(shape: Shape, file: &[u8], piece: usize) -> Option<Vec<Figure>> {
    let (mut reader, mut figures) = (Reader::new(shape, TimeMs(0)), Vec::new());
    for piece in file.chunks(piece) {
        reader.push(piece, &mut figures).ok()?;
    }
    reader.end(&mut figures).ok()?;
    Some(figures)
}

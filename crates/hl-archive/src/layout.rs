//! Where parts lie.

use std::path::{Component, Path, PathBuf};

use hl_core::archive::Day;
use hl_core::stream::Owner;
use hl_core::{Dex, Epoch, Interval, StreamKey};

use crate::ArchiveError;

/// The end of the name of a file that is not complete.
pub(crate) const UNFINISHED: &str = ".tmp";

/// In the name of a file that was set aside.
const ASIDE: &str = ".unrecorded";

/// The folder of a day, relative to the archive: two keys, the same for every stream, so that a reader takes all of it in at
/// once. Minutes and months differ in the case of a letter, which not every file system tells apart.
pub(crate) fn folder(stream: StreamKey, day: Day) -> String {
    let name = escaped(&stream.to_string());
    let name = match stream {
        StreamKey::Candle(_, Interval::Month) => name.trim_end_matches('M').to_owned() + "%4D",
        _ => name,
    };
    format!("stream={name}/date={day}")
}

/// The folder of a day as earlier releases laid it: what one of them left when it was killed is still there. None of a stream
/// that they had not.
pub(crate) fn earlier_folder(stream: StreamKey, day: Day) -> Option<String> {
    let kind = match stream {
        StreamKey::Candle(_, Interval::Month) => "candle-1month".to_owned(),
        StreamKey::Candle(_, interval) => format!("candle-{interval}"),
        _ => stream.kind().spec().word.replace('/', "-"),
    };
    match stream.owner() {
        Owner::Coin(coin) => Some(format!("stream={kind}/coin={}/date={day}", escaped(coin.as_str()))),
        Owner::Dex(Dex::First) | Owner::All => Some(format!("stream={kind}/date={day}")),
        Owner::Dex(Dex::Builder(_)) | Owner::User(_) => None,
    }
}

/// The file of a claim's part, relative to the archive. A store never mints an epoch twice; one that was put back from a
/// backup does, so that the name may be taken.
pub(crate) fn file(stream: StreamKey, day: Day, epoch: Epoch, number: u32) -> String {
    format!("{}/part-{}-{}-{number}.parquet", folder(stream, day), epoch.token.0, epoch.local)
}

/// Whether it is the name of a file that this program may have left.
pub(crate) fn is_ours(name: &str) -> bool {
    let name = name.strip_suffix(UNFINISHED).unwrap_or(name);
    name.strip_prefix("part-").is_some_and(|rest| rest.ends_with(".parquet"))
}

/// Where a part goes that no record names: a name that neither this program nor another reader takes for a part. Those
/// that read whole folders pass over names with an underscore in front.
pub(crate) fn aside(name: &str, number: u32) -> String {
    match number {
        ..=1 => format!("_{name}{ASIDE}"),
        _ => format!("_{name}{ASIDE}-{number}"),
    }
}

/// Whether it is a name of [`aside`].
pub(crate) fn is_aside(name: &str) -> bool {
    let name = name.strip_prefix('_').and_then(|name| name.rsplit_once(ASIDE));
    name.is_some_and(|(name, number)| is_ours(name) && (number.is_empty() || number.starts_with('-')))
}

fn escaped(name: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for byte in name.bytes() {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'_' | b'.' => out.push(char::from(byte)),
            // Writing to a string cannot fail.
            _ => _ = write!(out, "%{byte:02X}"),
        }
    }
    out
}

/// The file of a recorded part.
pub(crate) fn inside(root: &Path, relative: &str) -> Result<PathBuf, ArchiveError> {
    let path = Path::new(relative);
    let stays = path.components().all(|part| matches!(part, Component::Normal(_)));
    if stays && !relative.is_empty() {
        Ok(root.join(path))
    } else {
        Err(ArchiveError::Path(relative.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use hl_core::{TimeMs, Token};

    use super::*;

    #[test]
    fn every_stream_has_a_place_of_its_own() {
        let day = Day::of(TimeMs(1_793_491_200_000));
        let folder = |name: &str| folder(name.parse().unwrap(), day);
        for (name, word) in [
            ("candle/BTC/1m", "candle%2FBTC%2F1m"),
            ("candle/BTC/1M", "candle%2FBTC%2F1%4D"),
            ("book/xyz:NVDA/fast", "book%2Fxyz%3ANVDA%2Ffast"),
            ("bbo/@107", "bbo%2F%40107"),
            ("trades/PURR/USDC", "trades%2FPURR%2FUSDC"),
            ("mids", "mids"),
            ("mids/xyz", "mids%2Fxyz"),
        ] {
            assert_eq!(folder(name), format!("stream={word}/date=2026-11-01"));
        }
        let earlier = |name: &str| earlier_folder(name.parse().unwrap(), day);
        for (name, path) in [
            ("candle/BTC/1m", "stream=candle-1m/coin=BTC"),
            ("candle/BTC/1M", "stream=candle-1month/coin=BTC"),
            ("book/xyz:NVDA/fast", "stream=book-fast/coin=xyz%3ANVDA"),
            ("trades/PURR/USDC", "stream=trades/coin=PURR%2FUSDC"),
            ("mids", "stream=mids"),
        ] {
            assert_eq!(earlier(name), Some(format!("{path}/date=2026-11-01")));
        }
        assert_eq!(earlier("mids/xyz"), None, "what lies in that folder is of the first dex");
        let epoch = Epoch { token: Token(7), local: 3 };
        let name = file("trades/BTC".parse().unwrap(), day, epoch, 2);
        assert_eq!(name, "stream=trades%2FBTC/date=2026-11-01/part-7-3-2.parquet");
    }

    #[test]
    fn a_recorded_path_stays_inside() {
        let root = Path::new("/a");
        assert_eq!(inside(root, "b/c").unwrap(), PathBuf::from("/a/b/c"));
        for bad in ["", "../b", "/b", "b/../../c", "./b"] {
            assert!(inside(root, bad).is_err(), "{bad}");
        }
        assert!(is_ours("part-1-2-3.parquet") && is_ours("part-1-2-3.parquet.tmp"));
        assert!(!is_ours("notes.txt") && !is_ours("mine.parquet"));
        for number in [1, 2, 10] {
            let name = aside("part-1-2-3.parquet", number);
            assert!(is_aside(&name) && !is_ours(&name) && !name.ends_with(".parquet"), "{name}");
        }
        assert!(!is_aside("part-1-2-3.parquet") && !is_aside("_notes.unrecorded"));
    }
}

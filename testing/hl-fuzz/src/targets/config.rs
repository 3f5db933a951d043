//! The configuration of the daemon: arguments, environment and file, together.
//!
//! Promised: no panic; what is refused is said in words; what is accepted and printed says the same when it is read
//! again.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use arbitrary::{Result, Unstructured};
use hl_cli::config::{Coins, Config, Files, Holds, load};
use hl_core::Coin;

use crate::{Target, text};

pub(crate) const TARGET: Target = Target {
    name: "config",
    about: "arguments, environment and configuration file: hl_cli::config",
    seeds: Vec::new,
    run: |input| crate::script(input, try_input),
    short: 3_000,
};

const NAMES: [&str; 15] = [
    "network",
    "coin",
    "streams",
    "intervals",
    "store",
    "for",
    "sim-seed",
    "sim-coins",
    "log",
    "log-json",
    "json",
    "config",
    "print-config",
    "help",
    "nonsense",
];

const VALUES: [&str; 34] = [
    "sim",
    "mainnet",
    "testnet",
    "http://127.0.0.1:4001",
    "https://exchange:0/path",
    "http://[::1]:80",
    "http://",
    "BTC",
    "all",
    "@107,kPEPE",
    "trades,book,book/fast",
    "candles",
    "1m,1M",
    "sqlite:a.db",
    "sqlite:",
    "sqlite:./a b.db?x=1#y",
    "mongodb://user:password@host/database",
    "90s",
    "1h30m",
    "0s",
    "99999999999999999999h",
    "18446744073709551615s",
    "0",
    "-1",
    "7",
    "18446744073709551615",
    "18446744073709551616",
    "info",
    "true",
    "",
    ",",
    "a\"b'c\\",
    "\u{0}",
    "\u{e4}\u{202e}",
];

const FILES: [&str; 5] = [
    "",
    "network = 'sim'\ncoin = ['BTC', \"ETH\"]\nfor = '5m'\nsim-seed = 7\njson = true\n",
    "# a comment\nstreams = [\n  'trades',\n  'book',\n]\nintervals = '1m, 1h'\nstore = 'sqlite:a.db'\n",
    "log = \"debug\"\nlog-json = false\nsim-coins = 1000\nsim-seed = '18446744073709551615'\n",
    "[network]\nname = 2026-01-01\ncoin = { a = 1.5, b = inf }\n[[store]]\n",
];

fn try_input(u: &mut Unstructured<'_>) -> Result<()> {
    let mut arguments = vec![OsString::from("hl-daemon")];
    for _ in 0..u.int_in_range(0..=5)? {
        let name = format!("--{}", u.choose(&NAMES)?);
        match u.int_in_range(0..=3)? {
            0 => arguments.push(name.into()),
            1 => arguments.push(value(u)?),
            2 => arguments.extend([name.into(), value(u)?]),
            _ => {
                let mut joined = OsString::from(name + "=");
                joined.push(value(u)?);
                arguments.push(joined);
            }
        }
    }
    let mut environment = Vec::new();
    for _ in 0..u.int_in_range(0..=3)? {
        let name = u.choose(&NAMES)?.to_uppercase().replace('-', "_");
        environment.push((OsString::from(format!("HL_{name}")), value(u)?));
    }
    if u.ratio(3, 4)? {
        environment.push(("HL_CONFIG".into(), "hl.toml".into()));
    }
    let file = if u.ratio(1, 4)? {
        u.arbitrary::<String>()?
    } else {
        let valid = *u.choose(&FILES)?;
        String::from_utf8_lossy(&text::change(valid.as_bytes(), u)).into_owned()
    };
    check(&arguments, &environment, &file);
    Ok(())
}

fn value(u: &mut Unstructured<'_>) -> Result<OsString> {
    Ok(match u.int_in_range(0..=7)? {
        0 => u.arbitrary::<String>()?.into(),
        1 => bytes(u.arbitrary::<[u8; 4]>()?.to_vec()),
        2 => OsString::from(format!("{},{}", u.choose(&VALUES)?, u.choose(&VALUES)?)),
        _ => u.choose(&VALUES)?.into(),
    })
}

/// A text of the operating system, which need not be Unicode.
#[cfg(unix)]
fn bytes(bytes: Vec<u8>) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes)
}

#[cfg(not(unix))]
fn bytes(bytes: Vec<u8>) -> OsString {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

/// A machine with one file, under one name.
struct Machine<'a> {
    name: &'a str,
    text: &'a str,
}

impl Files for Machine<'_> {
    fn read(&self, path: &Path) -> io::Result<String> {
        match path.to_str() {
            Some(name) if name == self.name => Ok(self.text.to_owned()),
            _ => Err(io::Error::from(io::ErrorKind::NotFound)),
        }
    }

    fn holds(&self, _: &Path) -> Holds {
        Holds::Nothing
    }
}

fn check(arguments: &[OsString], environment: &[(OsString, OsString)], file: &str) {
    let files = Machine { name: "hl.toml", text: file };
    let loaded = match load(arguments.to_vec(), environment.to_vec(), &files) {
        Ok(loaded) => loaded,
        Err(error) => {
            assert!(!error.to_string().trim().is_empty(), "an error has words: {error:?}");
            return;
        }
    };
    let coin = Coin::new("BTC").expect("a coin");
    assert!(!loaded.config.stream_keys(&[coin]).is_empty(), "something to collect: {:?}", loaded.config);
    let asked = arguments.iter().cloned().chain(["--print-config".into()]);
    // Where it was asked for already, asking once more is an error.
    let printed = match loaded.print {
        Some(printed) => printed,
        None => match load(asked, environment.to_vec(), &files) {
            Ok(loaded) => loaded.print.expect("it was asked for"),
            // What follows `--` is no flag.
            Err(_) => return,
        },
    };
    let arguments = ["hl-daemon", "--config", "printed.toml"].map(OsString::from);
    let again = load(arguments, [], &Machine { name: "printed.toml", text: &printed });
    let again = again.unwrap_or_else(|error| panic!("{error}: what was printed is read again:\n{printed}"));
    // A password is not printed.
    if !printed.contains("***") {
        assert_eq!(plain(again.config), plain(loaded.config), "the same again:\n{printed}");
    }
}

/// Without the places, which are others.
fn plain(mut config: Config) -> (Config, Vec<Coin>) {
    let named = match &config.coins {
        Coins::Named(named) | Coins::All(named) => named.iter().map(|named| named.coin).collect(),
        Coins::Default => return (config, Vec::new()),
    };
    let all = matches!(config.coins, Coins::All(_));
    config.coins = if all { Coins::All(Vec::new()) } else { Coins::Named(Vec::new()) };
    (config, named)
}

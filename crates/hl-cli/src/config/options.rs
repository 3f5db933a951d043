//! The options of `hl-daemon`, one a row: flag, key in the file and variable are made from the same name.

use clap::{Arg, ArgAction, Command};

use super::alerts::DEFAULT_HTTP;

/// One option.
pub(super) struct Opt {
    /// `sim-seed`: the flag `--sim-seed`, the key `sim-seed`, the variable `HL_SIM_SEED`.
    pub(super) key: &'static str,
    pub(super) takes: Takes,
    /// What holds where nothing is said; none where saying nothing means something else.
    pub(super) default: Option<&'static str>,
    /// The word for the value in the help.
    value: &'static str,
    pub(super) help: &'static str,
}

/// What an option takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Takes {
    Word,
    /// A word that may be left out: the flag alone has a meaning.
    Address,
    Number,
    /// Words: commas separate them, an array in the file.
    List,
    /// Texts, each with its own commas; an array in the file.
    Texts,
    Switch,
}

impl Takes {
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Word | Self::Address => "a string",
            Self::Number => "a whole number",
            Self::List | Self::Texts => "a string or an array of strings",
            Self::Switch => "true or false",
        }
    }
}

pub(super) const OPTIONS: [Opt; 31] = [
    Opt {
        key: "network",
        takes: Takes::Word,
        default: Some("mainnet"),
        value: "NETWORK",
        help: "The exchange: mainnet, testnet, sim (a simulated one inside this process), or the base URL of another",
    },
    Opt {
        key: "coin",
        takes: Takes::List,
        default: None,
        value: "COIN",
        help: "A coin to collect; repeat it for more. `all`: every live perpetual of the first dex, and what is named \
               beside it [default: BTC; with --network sim: all; with --dex, --spot or --outcomes: none]",
    },
    Opt {
        key: "dex",
        takes: Takes::List,
        default: None,
        value: "DEX",
        help: "Every perpetual of a dex that a builder runs, such as xyz, those to come included; '*': of every dex, the \
               first one too. Repeat it for more [default: none]",
    },
    Opt {
        key: "spot",
        takes: Takes::Switch,
        default: Some("false"),
        value: "",
        help: "Every spot pair, those to come included",
    },
    Opt {
        key: "outcomes",
        takes: Takes::Switch,
        default: Some("false"),
        value: "",
        help: "Every outcome, those to come included; what settles ends",
    },
    Opt {
        key: "streams",
        takes: Takes::List,
        default: Some("trades,book,bbo,candle,mids,context"),
        value: "STREAMS",
        help: "What to collect of each coin: trades, book, book/fast, book/5, book/4, book/3, bbo, candle, \
               mids, context, predicted_funding, markets",
    },
    Opt {
        key: "intervals",
        takes: Takes::List,
        default: Some("1m"),
        value: "INTERVALS",
        help: "Intervals of the candles, 1m to 1M",
    },
    Opt {
        key: "backfill",
        takes: Takes::Word,
        default: None,
        value: "DURATION",
        help: "Also fetch the candles of so much of the past, such as 3d, as far as the exchange still has them; a \
               new store has them within the first minute [default: none]",
    },
    Opt {
        key: "standby",
        takes: Takes::List,
        default: None,
        value: "COIN",
        help: "A coin whose trades must be complete: they are subscribed a second time, on another socket, which takes \
               over without a loss when the first one dies. Costs one more subscription of 900 a coin; repeat it for \
               more, `all`: every coin collected [default: none]",
    },
    Opt {
        key: "job",
        takes: Takes::Texts,
        default: None,
        value: "ID=SCHEDULE",
        help: "When a planned job runs, UTC: collect_funding='every 8h', a cron expression with seconds, or off; repeat \
               it for more [default: as `hl-cli jobs list` shows]",
    },
    Opt {
        key: "min-trade",
        takes: Takes::Word,
        default: None,
        value: "USD",
        help: "Leave out trades of less than so many USD. What is left out is gone, and bars cannot be checked against trades \
               any more [default: store all]",
    },
    Opt {
        key: "book-on-move",
        takes: Takes::Word,
        default: None,
        value: "PERCENT",
        help: "Store a book only when its mid has moved by so many percent since the last that was stored; with \
               --book-every also when it is time [default: store all]",
    },
    Opt {
        key: "book-every",
        takes: Takes::Word,
        default: None,
        value: "DURATION",
        help: "Store a book only so often, such as 10s; with --book-on-move also when it has moved [default: store all]",
    },
    Opt {
        key: "store",
        takes: Takes::Word,
        default: None,
        value: "URI",
        help: "Where to keep the data: sqlite:PATH or mongodb://HOST/DATABASE [default: sqlite:./data/hyperliquid.db; \
               other networks have files of their own, such as hyperliquid-sim.db]",
    },
    Opt {
        key: "weight",
        takes: Takes::Number,
        default: None,
        value: "N",
        help: "Share the streams with the other daemons of the store, this one's part being N, 1 to 100 [default: 1 with \
               mongodb://; with sqlite: not shared, it collects what no other process holds]",
    },
    Opt {
        key: "name",
        takes: Takes::Word,
        default: None,
        value: "NAME",
        help: "What this machine is called in the store, another name on each: by it streams are given out, and with \
               mongodb:// request weight is counted [default: the host name]",
    },
    Opt {
        key: "local-address",
        takes: Takes::Word,
        default: None,
        value: "IP",
        help: "Reach the exchange from this address of this machine; what the exchange allows is counted for each address \
               [default: as the system routes]",
    },
    Opt {
        key: "http",
        takes: Takes::Address,
        default: None,
        value: "ADDRESS",
        help: "Answer over HTTP on this address: /healthz, /v1/processes, /v1/alerts; without an address on \
               127.0.0.1:9847. There is no password [default: off]",
    },
    Opt {
        key: "webhook",
        takes: Takes::Word,
        default: None,
        value: "URL",
        help: "POST alerts to this URL as JSON when they rise and when they are over [default: none]",
    },
    Opt {
        key: "archive",
        takes: Takes::Word,
        default: None,
        value: "DIR",
        help: "Where old rows go, as Parquet files [default: archive beside the store; beside hyperliquid-sim.db \
               archive-sim]",
    },
    Opt {
        key: "retention",
        takes: Takes::Texts,
        default: None,
        value: "KIND=DAYS",
        help: "How long rows stay in the store before they go to the archive: trades=90d, candle/1m=7d, bbo=7d:delete \
               (deleted, not archived), or off (for ever); repeat it for more [default: trades=90d, book=7d, \
               book/fast=7d, book/5=7d, book/4=7d, book/3=7d, bbo=7d, candle/1m=7d, candle/3m=7d, candle/5m=30d, \
               candle/15m=90d, mids=30d, context=30d, predicted_funding=90d, leaderboard=30d, signals=30d; the rest off]",
    },
    Opt {
        key: "track",
        takes: Takes::Number,
        default: None,
        value: "N",
        help: "Read the leaderboard daily (15 to 35 MB), and choose from it the N best traders to track, 1 to 100000. \
               Their positions are followed by the trades of every perpetual of the first dex, which are collected \
               for it; hl-cli traders list shows them [default: off]",
    },
    Opt {
        key: "track-rule",
        takes: Takes::Texts,
        default: None,
        value: "NAME=VALUE",
        help: "A rule by which --track chooses: minimum_score=60, always=0x… (tracked whatever the score), never=0x…, \
               score.month_roi.most=30; repeat it for more. or what their positions say: signals.recommend_above=0.7. \
               hl-cli traders rules lists all of them [default: a score of \
               at least 50]",
    },
    Opt {
        key: "for",
        takes: Takes::Word,
        default: None,
        value: "DURATION",
        help: "Stop after this time, such as 90s, 5m or 2h [default: run until stopped]",
    },
    Opt {
        key: "sim-seed",
        takes: Takes::Number,
        default: Some("7"),
        value: "SEED",
        help: "Seed of the simulated market; the same seed gives the same market",
    },
    Opt {
        key: "sim-coins",
        takes: Takes::Number,
        default: Some("5"),
        value: "N",
        help: "Coins of the simulated market, 1 to 1000",
    },
    Opt {
        key: "log",
        takes: Takes::Word,
        default: Some("info"),
        value: "LEVEL",
        help: "How much to log, on standard error: error, warn, info, debug or trace",
    },
    Opt {
        key: "log-json",
        takes: Takes::Switch,
        default: Some("false"),
        value: "",
        help: "Log lines as JSON",
    },
    Opt {
        key: "json",
        takes: Takes::Switch,
        default: Some("false"),
        value: "",
        help: "Status on standard output as JSON, one object a line, instead of the table",
    },
    Opt {
        key: "stdout",
        takes: Takes::List,
        default: None,
        value: "FILTER",
        help: "Write what is stored to standard output, one JSON object a line, instead of the table: of a stream such as \
               trades/BTC, of a kind such as trades, or all; repeat it for more. Gaps and changes of the source are told \
               too, and who reads too slowly is told how much was left out [default: off]",
    },
    Opt {
        key: "socket",
        takes: Takes::Word,
        default: None,
        value: "PATH",
        help: "Write every event to each program that connects to this Unix socket, from then on, one JSON object a line; 32 programs at a time [default: off]",
    },
];

impl Opt {
    /// Its environment variable.
    pub(super) fn variable(&self) -> String {
        format!("HL_{}", self.key.to_uppercase().replace('-', "_"))
    }

    /// What saying nothing means, in the words of the help.
    pub(super) fn unsaid(&self) -> &'static str {
        let words = self.help.rsplit_once("[default: ").map(|(_, words)| words);
        words.and_then(|words| words.strip_suffix(']')).unwrap_or_default()
    }

    fn arg(&self) -> Arg {
        let default = match (self.takes, self.default) {
            (Takes::Switch, _) | (_, None) => String::new(),
            (_, Some(text)) => format!(" [default: {text}]"),
        };
        let arg = Arg::new(self.key).long(self.key).help(format!(
            "{}{default} [env: {}]",
            self.help,
            self.variable()
        ));
        match self.takes {
            Takes::Switch => arg.action(ArgAction::SetTrue),
            Takes::List | Takes::Texts => arg.action(ArgAction::Append).value_name(self.value),
            Takes::Address => arg
                .action(ArgAction::Set)
                .num_args(0..=1)
                .default_missing_value(DEFAULT_HTTP)
                .value_name(self.value),
            Takes::Word | Takes::Number => arg.action(ArgAction::Set).value_name(self.value),
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  hl-daemon --network sim                         a simulated exchange, nothing leaves this machine
  hl-daemon --coin BTC --coin ETH --for 1h        an hour of two coins
  hl-daemon --coin all --streams trades,candle    every live perpetual of the first dex
  hl-daemon --dex xyz --outcomes --streams trades every market of a dex and every outcome, those to come too
  hl-daemon --coin BTC --backfill 3d              with the candles of the last three days
  hl-daemon --coin BTC --coin ETH --standby BTC   a second connection stands by for Bitcoin's trades
  hl-daemon --store mongodb://db/hl --coin all    shares them with the other daemons of that store
  hl-daemon --stdout trades/BTC | jq -r .px       prices as they are stored, one event a line
  hl-daemon --config hl.toml --print-config       what holds, and where it was said

A flag overrules the variable, the variable the file, the file the default.
The keys of the file are the flags without the dashes in front: network = \"sim\", coin = [\"BTC\", \"ETH\"], sim-seed = 7.

Ctrl-C, SIGTERM and SIGHUP end it cleanly, with a summary; a second one ends it at once.

Exit codes: 0 done and clean, 1 failed or unclean, 2 usage, 3 held by another
process, 6 nothing was collected in the time that --for gave, 130 ended at once.";

/// The command line of `hl-daemon`.
pub(super) fn command() -> Command {
    Command::new("hl-daemon")
        .about("Collects market data of Hyperliquid; what is missing is known and written down")
        .version(env!("CARGO_PKG_VERSION"))
        .args(OPTIONS.iter().map(Opt::arg))
        .arg(
            Arg::new(CONFIG)
                .long(CONFIG)
                .value_name("FILE")
                .help("Read options from this TOML file [env: HL_CONFIG]"),
        )
        .arg(
            Arg::new(PRINT_CONFIG)
                .long(PRINT_CONFIG)
                .action(ArgAction::SetTrue)
                .help("Print the effective configuration as TOML, with where each value came from, and exit"),
        )
        .after_help(EXAMPLES)
}

/// The flag for the file.
pub(super) const CONFIG: &str = "config";
/// Its variable.
pub(super) const CONFIG_VARIABLE: &str = "HL_CONFIG";
/// The flag for showing the configuration.
pub(super) const PRINT_CONFIG: &str = "print-config";

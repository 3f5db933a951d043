//! What users are promised about configuration.

use super::*;
use std::path::Path;

/// A machine with one file, `hl.toml`, and the stores that are named, each with the network whose data it holds.
struct Machine<'a> {
    file: &'a str,
    stores: &'a [(&'a str, &'a str)],
}

impl Files for Machine<'_> {
    fn read(&self, path: &Path) -> std::io::Result<String> {
        match path.to_str() {
            Some("hl.toml") => Ok(self.file.to_owned()),
            _ => Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
        }
    }

    fn holds(&self, store: &Path) -> Holds {
        let found = self.stores.iter().find(|(path, _)| Path::new(path) == store);
        found.map_or(Holds::Nothing, |(_, network)| Holds::Network((*network).to_owned()))
    }
}

fn load_with(arguments: &[&str], environment: &[(&str, &str)], file: &str) -> Result<Loaded, ConfigError> {
    let arguments = ["hl-daemon"].iter().chain(arguments).map(OsString::from);
    let environment = environment.iter().map(|&(name, value)| (name.into(), value.into()));
    load(arguments, environment, &Machine { file, stores: &[] })
}

fn config(arguments: &[&str], environment: &[(&str, &str)], file: &str) -> Config {
    load_with(arguments, environment, file).unwrap_or_else(|e| panic!("{e}")).config
}

fn error(arguments: &[&str], environment: &[(&str, &str)], file: &str) -> String {
    load_with(arguments, environment, file).map(|l| l.config).unwrap_err().to_string()
}

#[test]
fn defaults_collect_bitcoin_from_the_exchange() {
    let config = config(&[], &[], "");
    assert_eq!((config.network, config.coins, config.run_for), (Network::Mainnet, Coins::Default, None));
    assert_eq!(config.store.to_string(), "sqlite:./data/hyperliquid.db");
    let names: Vec<_> = config.streams.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["trades", "book", "bbo", "candle", "mids", "context"]);
    assert_eq!((config.intervals, config.standby), (vec![Interval::M1], Standby::None));
    assert_eq!((config.log.level, config.log.json, config.json), (Level::INFO, false, false));
}

#[test]
fn a_flag_overrules_the_variable_the_variable_the_file_the_file_the_default() {
    let file = "log = 'debug'\nsim-seed = 1\nsim-coins = 1\njson = true\n";
    let environment = [("HL_SIM_SEED", "2"), ("HL_SIM_COINS", "2"), ("HL_CONFIG", "hl.toml")];
    let config = config(&["--sim-seed", "3"], &environment, file);
    assert_eq!(config.sim, SimOptions { seed: Seed(3), coins: 2 });
    assert_eq!((config.log.level, config.json), (Level::DEBUG, true));
}

#[test]
fn a_list_of_a_higher_layer_replaces_the_lower_one() {
    let named = |config: Config| match config.coins {
        Coins::Named(named) => named.iter().map(|n| n.coin.to_string()).collect::<Vec<_>>().join(" "),
        other => format!("{other:?}"),
    };
    let file = "coin = ['DOGE', 'SOL']";
    let from = ["--config", "hl.toml"];
    assert_eq!(named(config(&from, &[], file)), "DOGE SOL");
    assert_eq!(named(config(&from, &[("HL_COIN", "ETH, BTC")], file)), "ETH BTC");
    let flags = ["--config", "hl.toml", "--coin", "HYPE", "--coin=@107,kPEPE", "--coin", "HYPE"];
    assert_eq!(named(config(&flags, &[("HL_COIN", "ETH")], file)), "HYPE @107 kPEPE");
    assert_eq!(named(config(&["--coin", "all"], &[], "")), "All([])");
    let beside_all = named(config(&["--coin", "all", "--coin", "xyz:NVDA"], &[], ""));
    assert!(beside_all.starts_with("All([NamedCoin") && beside_all.contains("xyz:NVDA"), "{beside_all}");
}

#[test]
fn errors_name_the_place_and_the_nearest_right_word() {
    let in_file = |file| error(&["--config", "hl.toml"], &[], file);
    assert_eq!(
        in_file("\n# a comment\nnetwrok = 'sim'"),
        r#"hl.toml:3: unknown key "netwrok"; did you mean "network"?"#
    );
    assert_eq!(
        in_file("network = 'mainet'"),
        r#"hl.toml:1: unknown network "mainet"; did you mean "mainnet"?"#
    );
    assert_eq!(
        in_file("streams = [\n  'trades',\n  'boook',\n]"),
        r#"hl.toml:3: unknown stream "boook"; did you mean "book"?"#
    );
    assert_eq!(in_file("log-json = 'yes'"), "hl.toml:1: log-json is true or false, not a string");
    assert_eq!(in_file("[store]\npath = 'x'"), "hl.toml:1: store is a string, not a table");
    assert_eq!(in_file("coin = []"), "hl.toml:1: the value is empty");
    assert!(in_file("json = true\njson = false").starts_with("hl.toml:2: "));
    assert!(in_file("json = true\nlog = ").starts_with("hl.toml:2: "));
    assert_eq!(
        error(&[], &[("HL_INTERVALS", "1m,7m")], ""),
        r#"HL_INTERVALS: unknown interval "7m"; the exchange has 1m 3m 5m 15m 30m 1h 2h 4h 8h 12h 1d 3d 1w 1M"#
    );
    assert_eq!(
        error(&[], &[("HL_NETWROK", "sim")], ""),
        r#"HL_NETWROK: unknown variable "HL_NETWROK"; did you mean "HL_NETWORK"?"#
    );
    assert_eq!(error(&[], &[("HL_COIN", "")], ""), "HL_COIN: the value is empty");
    assert_eq!(
        error(&["--for", "90"], &[], ""),
        r#"--for: "90" is not a duration; write it like 90s, 5m, 2h or 1h30m"#
    );
    assert_eq!(
        error(&["--sim-coins", "0"], &[], ""),
        r#"--sim-coins: "0" is not a number in range; write it like 5, at most 1000"#
    );
    assert!(error(&["--netwrok", "sim"], &[], "").contains("--network"));
    assert!(error(&["--config", "none.toml"], &[], "").starts_with("none.toml: cannot be read: "));
}

#[test]
fn a_past_is_asked_for_by_its_length_and_only_with_candles() {
    let asked = |arguments: &[&str], file| config(arguments, &[], file).backfill.map(|past| past.as_secs());
    assert_eq!(asked(&[], ""), None);
    assert_eq!(asked(&["--backfill", "3d"], "backfill = '1h'"), Some(3 * 86_400));
    assert_eq!(
        error(&["--streams", "trades", "--backfill", "3d"], &[], ""),
        "--backfill: the past that can be fetched is that of candles, and --streams leaves them out"
    );
    assert!(error(&["--backfill", "yes"], &[], "").starts_with("--backfill: \"yes\" is not a duration"));
}

#[test]
fn variables_of_tests_and_of_others_are_left_alone() {
    let others = [("HL_TEST_ANYTHING", "1"), ("HL_CAPTURES_DIR", "/x"), ("PATH", "/bin"), ("XHL_COIN", "")];
    assert_eq!(config(&[], &others, ""), config(&[], &[], ""));
}

#[test]
fn help_and_version_are_answers() {
    for flag in ["--help", "--version"] {
        assert!(load_with(&[flag], &[], "").unwrap_err().is_answer(), "{flag}");
    }
    assert!(!load_with(&["--nonsense"], &[], "").unwrap_err().is_answer());
    let help = load_with(&["--help"], &[], "").unwrap_err().to_string();
    for opt in &OPTIONS {
        assert!(help.contains(opt.key) && help.contains(&opt.variable()), "{}", opt.key);
    }
}

#[test]
fn the_printed_configuration_says_the_same_again_and_where_it_came_from() {
    let file = "coin = ['BTC', 'a\"b']\nfor = '5m'";
    let arguments = ["--config", "hl.toml", "--network", "sim", "--json", "--print-config"];
    let environment = [("HL_SIM_SEED", "18446744073709551615")];
    let loaded = load_with(&arguments, &environment, file).unwrap();
    let printed = loaded.print.unwrap();
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines[0], r#"network = "sim"  # flag --network"#);
    assert!(lines[1].ends_with("# hl.toml:1"), "{}", lines[1]);
    assert!(lines.contains(&r#"for = "5m"  # hl.toml:2"#));
    assert!(lines.contains(&r#"sim-seed = "18446744073709551615"  # variable HL_SIM_SEED"#));
    assert!(lines.contains(&r#"intervals = ["1m"]  # default"#));
    let mut again = config(&["--config", "hl.toml"], &[], &printed);
    let Coins::Named(named) = &mut again.coins else { panic!("{again:?}") };
    named.iter_mut().for_each(|n| n.place = Place::File { path: "hl.toml".into(), line: 1 });
    assert_eq!(again, loaded.config);
    assert_eq!(load_with(&[], &[], "").unwrap().print, None);
}

#[test]
fn what_is_not_said_is_printed_as_it_comes_to() {
    let printed = |arguments: &[&str]| {
        let loaded = load_with(&[arguments, &["--print-config"]].concat(), &[], "").unwrap();
        loaded.print.unwrap()
    };
    let lines = |printed: &str| printed.lines().map(str::to_owned).collect::<Vec<_>>();
    let plain = lines(&printed(&[]));
    for line in [
        "# weight = not shared: it collects what no other process holds  # default",
        "# local-address = as the system routes  # default",
        "# for = run until stopped  # default",
        "# coin = BTC  # default",
        r#"store = "sqlite:./data/hyperliquid.db"  # default"#,
        r#"archive = "./data/archive"  # default"#,
    ] {
        assert!(plain.iter().any(|printed| printed == line), "{line}: {plain:#?}");
    }
    let shared = printed(&["--store", "mongodb://host/db"]);
    assert!(shared.contains("\n# weight = 1  # default\n"), "{shared}");
    let sim = printed(&["--network", "sim"]);
    for line in [
        "# coin = every coin of the simulated market  # default",
        r#"store = "sqlite:./data/hyperliquid-sim.db"  # default"#,
        r#"archive = "./data/archive-sim"  # default"#,
    ] {
        assert!(lines(&sim).iter().any(|printed| printed == line), "{line}: {sim}");
    }
    for opt in OPTIONS.iter().filter(|opt| opt.default.is_none()) {
        assert!(!opt.unsaid().is_empty(), "the help of --{} says what saying nothing means", opt.key);
    }
}

/// What a command is told by `flags`, `environment` and a file.
fn told<T>(
    config: Option<&str>,
    flags: &[Flag<'_>],
    environment: &[(&str, &str)],
    machine: &Machine<'_>,
    ask: impl FnOnce(&Told<'_>) -> Result<T, ConfigError>,
) -> Result<T, String> {
    let environment = environment.iter().map(|&(name, value)| (name.into(), value.into()));
    let told = Told::new(config, flags, environment, machine);
    told.and_then(|told| ask(&told)).map_err(|error| error.to_string())
}

#[test]
fn a_command_finds_what_the_daemon_was_told() {
    let file = "store = 'sqlite:f.db'\narchive = '/mnt/a'\nretention = ['trades=5d']\nnetwork = 'testnet'\n\
                local-address = '127.0.0.2'\ncoin = ['BTC']\nwebhook = 'https://h/x'\n";
    let machine = Machine { file, stores: &[] };
    let by_variable = [("HL_CONFIG", "hl.toml")];
    for (config, environment) in [(Some("hl.toml"), &[][..]), (None, &by_variable)] {
        let all = told(config, &[], environment, &machine, |told| {
            let store = told.store()?;
            let rule = told.retention()?.rule("trades/BTC".parse().unwrap()).to_string();
            let archive = told.archive(&store);
            Ok((store.to_string(), archive, rule, told.network()?, told.local_address()?))
        });
        let expected = ("sqlite:f.db".to_owned(), PathBuf::from("/mnt/a"), "5d".to_owned());
        let (store, archive, rule, network, local) = all.unwrap();
        assert_eq!((store, archive, rule), expected);
        assert_eq!((network, local), (Network::Testnet, Some([127, 0, 0, 2].into())));
    }
    let store = |flags: &[Flag<'_>], environment: &[(&str, &str)]| {
        told(Some("hl.toml"), flags, environment, &machine, |told| Ok(told.store()?.to_string()))
    };
    assert_eq!(store(&[], &[("HL_STORE", "sqlite:v.db")]).as_deref(), Ok("sqlite:v.db"));
    let flags = [("store", vec!["sqlite:w.db"])];
    assert_eq!(store(&flags, &[("HL_STORE", "sqlite:v.db")]).as_deref(), Ok("sqlite:w.db"));
    assert_eq!(store(&[("store", vec![" "])], &[]), Err("--store: the value is empty".to_owned()));
}

#[test]
fn a_command_refuses_what_the_daemon_refuses() {
    let store = |file: &str, environment: &[(&str, &str)]| {
        let machine = Machine { file, stores: &[] };
        told(Some("hl.toml"), &[], environment, &machine, |told| Ok(told.store()?.to_string()))
    };
    assert_eq!(store("", &[]).as_deref(), Ok("sqlite:./data/hyperliquid.db"));
    let unknown = r#"hl.toml:2: unknown key "stroe"; did you mean "store"?"#;
    assert_eq!(store("\nstroe = 'sqlite:a'", &[]), Err(unknown.to_owned()));
    assert!(store("coin = 7", &[]).unwrap_err().starts_with("hl.toml:1: coin is a string or an array"));
    assert!(store("", &[("HL_STROE", "sqlite:a")]).unwrap_err().contains("did you mean \"HL_STORE\"?"));
    let no_file =
        told(Some("none.toml"), &[], &[], &Machine { file: "", stores: &[] }, |told| told.network());
    assert!(no_file.unwrap_err().starts_with("none.toml: cannot be read: "));
}

#[test]
fn a_command_looks_into_the_store_of_the_network_or_the_only_one_that_is_there() {
    let found = |flags: &[Flag<'_>], environment: &[(&str, &str)], stores: &[(&str, &str)]| {
        let machine = Machine { file: "", stores };
        let found = told(None, flags, environment, &machine, |told| told.store_to_look_into());
        let (store, word) = found.unwrap();
        (store.to_string(), word.is_some())
    };
    let sim = [("./data/hyperliquid-sim.db", "sim")];
    assert_eq!(found(&[], &[], &sim), ("sqlite:./data/hyperliquid-sim.db".to_owned(), true));
    assert_eq!(
        found(&[], &[("HL_NETWORK", "mainnet")], &sim),
        ("sqlite:./data/hyperliquid.db".to_owned(), false)
    );
    let flags = [("network", vec!["sim"])];
    assert_eq!(found(&flags, &[], &[]), ("sqlite:./data/hyperliquid-sim.db".to_owned(), false));
    assert_eq!(found(&[("store", vec!["sqlite:x"])], &[], &sim), ("sqlite:x".to_owned(), false));
}

#[test]
fn a_standby_is_asked_for_by_coin_and_only_with_trades() {
    let file = "standby = ['BTC', 'ETH']";
    let named = |config: Config| match config.standby {
        Standby::Named(named) => named.iter().map(|n| n.coin.to_string()).collect::<Vec<_>>().join(" "),
        other => format!("{other:?}"),
    };
    assert_eq!(named(config(&["--config", "hl.toml"], &[], file)), "BTC ETH");
    assert_eq!(named(config(&["--config", "hl.toml"], &[("HL_STANDBY", "SOL")], file)), "SOL");
    assert_eq!(named(config(&["--standby", "all"], &[], "")), "All([])");
    assert_eq!(
        error(&["--streams", "mids,candles", "--standby", "BTC"], &[], ""),
        "--standby: a standby is for trades, and --streams leaves them out"
    );
}

#[test]
fn what_is_left_out_is_said_in_amounts_above_zero() {
    let words = ["--min-trade", "1000.5", "--book-on-move=0.5", "--book-every", "10m"];
    let policy = config(&words, &[], "").policy;
    assert_eq!(policy.min_trade_usd.map(|usd| usd.to_string()).as_deref(), Some("1000.5"));
    assert_eq!(policy.book_move_percent.map(|percent| percent.to_string()).as_deref(), Some("0.5"));
    assert_eq!(policy.book_every_ms, Some(600_000));
    assert_eq!(config(&[], &[], "").policy, hl_core::thinning::Policy::default());
    for words in
        [["--min-trade", "0"], ["--min-trade", "much"], ["--book-on-move", "101"], ["--book-every", "0s"]]
    {
        let error = error(&words, &[], "");
        assert!(error.starts_with(words[0]) && error.contains("write it like"), "{error}");
    }
}

#[test]
fn a_weight_is_1_to_100_and_a_local_address_an_ip() {
    let config = |arguments: &[&str]| config(arguments, &[("HL_LOCAL_ADDRESS", "::1")], "");
    let said = config(&["--weight", "100", "--local-address", "127.0.0.2"]);
    assert_eq!((said.weight, said.local_address), (Some(100), Some([127, 0, 0, 2].into())));
    let said = config(&[]);
    assert_eq!((said.weight, said.local_address.map(|ip| ip.to_string()).as_deref()), (None, Some("::1")));
    for weight in ["0", "101", "-1", "heavy"] {
        assert!(error(&[&format!("--weight={weight}")], &[], "").contains("at most 100"), "{weight}");
    }
    assert!(error(&["--local-address", "eth0"], &[], "").contains("write it like 192.0.2.7"));
}

#[test]
fn a_name_is_said_by_flag_variable_or_file() {
    let variable = [("HL_NAME", "of-the-variable")];
    let file = "name = 'of.the_file'";
    let name = |arguments: &[&str], variables| config(arguments, variables, file).name;
    assert_eq!(config(&[], &[], "").name, None, "then the machine says its own");
    assert_eq!(name(&["--config", "hl.toml"], &[]).as_deref(), Some("of.the_file"));
    assert_eq!(name(&["--config", "hl.toml"], &variable).as_deref(), Some("of-the-variable"));
    assert_eq!(name(&["--name", "box-2"], &variable).as_deref(), Some("box-2"));
    for bad in ["two words", "a/b", "", &"x".repeat(65)] {
        assert!(error(&[&format!("--name={bad}")], &[], "").starts_with("--name: "), "{bad:?}");
    }
}

#[test]
fn http_has_an_address_of_its_own_and_a_webhook_is_printed_without_its_path() {
    let http =
        |arguments: &[&str], file| config(arguments, &[], file).http.map(|address| address.to_string());
    assert_eq!(http(&[], ""), None);
    assert_eq!(http(&["--http", "--coin", "ETH"], "").as_deref(), Some("127.0.0.1:9847"));
    assert_eq!(http(&["--http", "0.0.0.0:80"], "").as_deref(), Some("0.0.0.0:80"));
    assert_eq!(http(&["--config", "hl.toml"], "http = '[::1]:81'").as_deref(), Some("[::1]:81"));
    assert!(error(&["--http", "localhost"], &[], "").contains("127.0.0.1:9847"));

    let hook = [("HL_WEBHOOK", "https://hooks.example.com/services/key")];
    let loaded = load_with(&["--print-config"], &hook, "").unwrap();
    assert_eq!(loaded.config.webhook.unwrap().path, "/services/key");
    let printed = loaded.print.unwrap();
    assert!(
        printed.contains("# webhook = \"https://hooks.example.com/***\"  # variable HL_WEBHOOK\n"),
        "{printed}"
    );
    let said = error(&[], &[("HL_WEBHOOK", "https://me:secret@hooks.example.com/key")], "");
    assert!(said.starts_with("HL_WEBHOOK: ") && !said.contains("secret") && !said.contains("key"), "{said}");
}

#[test]
fn the_store_is_named_as_hl_cli_finds_it() {
    let flags =
        |arguments: &[&str]| config(arguments, &[], "").store_flags(&Machine { file: "", stores: &[] });
    assert_eq!(flags(&[]), "");
    assert_eq!(flags(&["--network", "sim"]), " --network sim");
    assert_eq!(flags(&["--network", "sim", "--store", "sqlite:/a/b.db"]), " --store sqlite:/a/b.db");
    let with_space = flags(&["--store", "mongodb://h/x?a=1&b=it's"]);
    assert_eq!(with_space, r" --store 'mongodb://h/x?a=1&b=it'\''s'");
}

#[test]
fn each_dex_of_which_a_coin_is_collected_has_its_mids() {
    let of = |arguments: &[&str], coins: &[&str]| {
        let coins: Vec<_> = coins.iter().map(|name| Coin::new(name).unwrap()).collect();
        let streams = config(arguments, &[], "").stream_keys(&coins);
        let mids = streams.iter().filter(|stream| stream.kind() == Kind::Mids);
        mids.map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(of(&[], &["BTC", "@107", "#12090"]), "mids");
    assert_eq!(of(&["--dex", "xyz"], &["xyz:NVDA", "xyz:TSLA"]), "mids mids/xyz");
    assert_eq!(
        of(&["--dex", "*", "--streams", "mids"], &["BTC", "xyz:NVDA", "abc:X"]),
        "mids mids/abc mids/xyz"
    );
    assert_eq!(of(&["--streams", "trades"], &["xyz:NVDA"]), "");
}

#[test]
fn events_go_to_standard_output_where_they_are_asked_for() {
    assert!(config(&[], &[], "").events().is_none());
    let two = config(&["--stdout", "trades/BTC,bbo", "--coin", "BTC"], &[], "");
    let names: Vec<_> = two.stdout.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["trades/BTC", "bbo"]);
    assert!(two.events().is_some());
    let file = config(&["--config", "hl.toml"], &[], "stdout = ['all']\n");
    assert_eq!(file.stdout, [EventChoice::All]);
    assert!(!config(&["--coin", "all", "--stdout", "trades/ETH"], &[], "").stdout.is_empty());
    for of_xyz in [&["--dex", "xyz"], &["--dex", "*"], &["--coin", "xyz:NVDA"]] {
        let words = [&["--stdout", "mids/xyz,mids"][..], of_xyz].concat();
        assert_eq!(config(&words, &[], "").stdout.len(), 2, "{words:?}");
    }

    let refused = |words: &[&str]| error(words, &[], "");
    assert_eq!(
        refused(&["--stdout", "trdes"]),
        r#"--stdout: unknown stream "trdes"; did you mean "trades"?"#
    );
    let malformed = refused(&["--stdout", "trades/"]);
    assert!(malformed.contains("write it like trades/BTC"), "{malformed}");
    let never = "is not collected: see --coin, --streams and --intervals";
    for (words, what) in [
        (&["--stdout", "trades/ETH"][..], "trades/ETH"),
        (&["--stdout", "trades/ETH", "--coin", "BTC"], "trades/ETH"),
        (&["--stdout", "candle/BTC/5m"], "candle/BTC/5m"),
        (&["--stdout", "bbo", "--streams", "trades"], "bbo"),
        (&["--stdout", "mids/xyz", "--dex", "abc"], "mids/xyz"),
        (&["--stdout", "mids/xyz", "--dex", "xyz", "--streams", "trades"], "mids/xyz"),
    ] {
        assert_eq!(refused(words), format!("--stdout: {what} {never}"));
    }
    assert!(refused(&["--stdout", "all", "--json"]).contains("standard output has either events or"));
}

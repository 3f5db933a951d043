//! The programs as their users start them: what they print, and how they end.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::{Command, Output};

fn run(program: &str, words: &[&str], variables: &[(&str, &str)]) -> Output {
    let ours = std::env::vars().map(|(name, _)| name).filter(|name| name.starts_with("HL_"));
    let mut command = Command::new(program);
    ours.for_each(|name| {
        command.env_remove(name);
    });
    command.args(words).envs(variables.iter().copied()).output().unwrap()
}

fn daemon(words: &[&str], variables: &[(&str, &str)]) -> Output {
    run(env!("CARGO_BIN_EXE_hl-daemon"), words, variables)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_configuration_is_printed_and_can_be_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hl.toml");
    let from_file = |path: &std::path::Path| path.display().to_string();
    std::fs::write(&file, "coin = ['ETH']\nfor = '90s'\n").unwrap();
    let words = ["--config", &from_file(&file), "--network", "sim", "--print-config"];
    let printed = daemon(&words, &[("HL_INTERVALS", "1m,1h")]);
    assert_eq!(printed.status.code(), Some(0));
    let toml = text(&printed.stdout);
    assert!(toml.contains("network = \"sim\"  # flag --network\n"), "{toml}");
    assert!(toml.contains("intervals = [\"1m\", \"1h\"]  # variable HL_INTERVALS\n"), "{toml}");

    let again = folder.path().join("again.toml");
    std::fs::write(&again, &toml).unwrap();
    let second = daemon(&["--config", &from_file(&again), "--print-config"], &[]);
    let values = |text: &str| {
        text.lines().map(|l| l.split("  #").next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(values(&text(&second.stdout)), values(&toml));
}

#[test]
fn mistakes_are_usage_errors_on_standard_error() {
    for (words, variables, says) in [
        (
            &["--network", "mainet"][..],
            &[][..],
            "--network: unknown network \"mainet\"; did you mean \"mainnet\"?",
        ),
        (&[], &[("HL_COINS", "BTC")], "HL_COINS: unknown variable \"HL_COINS\"; did you mean \"HL_COIN\"?"),
        (&["--config", "/nowhere/hl.toml"], &[], "/nowhere/hl.toml: cannot be read: "),
        (&["--coin"], &[], "--coin <COIN>"),
    ] {
        let output = daemon(words, variables);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!((output.status.code(), out.as_str()), (Some(2), ""), "{words:?}: {err}");
        assert!(err.contains(says), "{words:?}: {err}");
    }
}

#[test]
fn help_is_an_answer() {
    for program in [env!("CARGO_BIN_EXE_hl-daemon"), env!("CARGO_BIN_EXE_hl-cli")] {
        let output = run(program, &["--help"], &[]);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains("Examples:"), "{program}");
    }
}

#[test]
fn a_store_that_is_not_there_is_said_and_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.db");
    let output =
        run(env!("CARGO_BIN_EXE_hl-cli"), &["verify", "--store", &format!("sqlite:{}", path.display())], &[]);
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.starts_with("hl-cli: ") && err.contains("none.db"), "{err}");
    assert!(!path.exists());
}

#[test]
fn signals_are_said_shown_and_said_again_of_the_past() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", folder.path().join("s.db").display());
    let words = [
        ["--network", "sim"],
        ["--coin", "BTC"],
        ["--streams", "trades,candle"],
        ["--intervals", "1m"],
        ["--track", "5"],
        ["--track-rule", "minimum_score=1"],
        ["--job", "generate_signals=every 3s"],
        ["--for", "30s"],
        ["--store", &store],
    ];
    let err = text(&daemon(&words.concat(), &[]).stderr);
    assert!(err.contains("signals generated"), "{err}");
    let shown = |words: &[&str]| {
        let output = run(env!("CARGO_BIN_EXE_hl-cli"), &[words, &["--store", &store]].concat(), &[]);
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    let (code, list) = shown(&["signals"]);
    assert!(code == Some(0) && list.contains("BTC") && list.contains("by consensus"), "{list}");
    let json = |words: &[&str]| {
        let (code, said) = shown(&[words, &["--json"]].concat());
        assert_eq!(code, Some(0), "{said}");
        serde_json::from_str::<serde_json::Value>(&said).unwrap()
    };
    let btc = json(&["signals", "--coin", "BTC"]);
    let btc = btc["signals"].as_array().unwrap();
    assert_eq!((btc.len(), btc[0]["coin"].as_str()), (1, Some("BTC")), "{btc:?}");
    let history = json(&["signals", "history", "--coin", "BTC"]);
    assert_eq!(history["signals"].as_array().unwrap().last(), Some(&btc[0]));
    let backtest =
        ["signals", "backtest", "--from", "10m ago", "--to", "now", "--every", "1s", "--horizon", "5s"];
    let (code, said) = shown(&backtest);
    assert!(code == Some(0) && said.contains("neutral"), "{said}");
    let once = json(&["signals", "backtest", "--from", "2020-01-01", "--to", "now", "--every", "1h"]);
    assert_eq!(once["strategy"], "consensus");
    for (words, says) in [
        (&["signals", "list", "--coin", "NONE"][..], "no signal of NONE"),
        (&["signals", "backtest", "--from", "2026-01-02", "--to", "2026-01-01"][..], "is not before"),
        (&["signals", "backtest", "--from", "2020-01-01", "--to", "2020-01-02"][..], "no choice of traders"),
    ] {
        let (code, said) = shown(words);
        assert!(code == Some(2) && said.contains(says), "{said}");
    }
    let (code, says) = shown(&["verify"]);
    assert_eq!(code, Some(0), "{says}");
}

#[test]
fn traders_are_chosen_kept_over_a_restart_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", folder.path().join("t.db").display());
    let collect = |words: &[&str]| {
        let usual =
            ["--network", "sim", "--coin", "BTC", "--streams", "trades", "--for", "4s", "--store", &store];
        text(&daemon(&[&usual, words].concat(), &[]).stderr)
    };
    let shown = |words: &[&str]| {
        let output = run(env!("CARGO_BIN_EXE_hl-cli"), &[words, &["--store", &store]].concat(), &[]);
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    let track = ["--track", "3", "--track-rule", "minimum_score=1"];
    // A choice that a restart keeps waiting is made by the next process.
    let err = collect(&[&track[..], &["--job", "update_tracked_traders=off"]].concat());
    assert!(err.contains("leaderboard stored"), "{err}");
    assert!(shown(&["traders", "list"]).1.contains("hl-daemon --track N"));
    let err = collect(&track);
    assert!(!err.contains("leaderboard stored") && err.contains("tracked=3"), "{err}");
    let often = ["--job", "fetch_leaderboard=off", "--job", "collect_trader_orders=every 1s"];
    let err = collect(&[&track[..], &often].concat());
    assert!(!err.contains("tracked traders chosen") && err.contains("collecting"), "{err}");
    assert!(err.contains("orders, fills and money of tracked traders: 3 "), "{err}");

    let (code, list) = shown(&["traders", "list", "--json"]);
    assert_eq!(code, Some(0));
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let traders = list["traders"].as_array().unwrap();
    let ranks: Vec<_> = traders.iter().map(|trader| trader["rank"].as_u64().unwrap()).collect();
    assert_eq!(ranks, [1, 2, 3]);
    let best = traders[0]["user"].as_str().unwrap();
    let (code, one) = shown(&["traders", "show", &best.to_uppercase()]);
    assert!(
        code == Some(0) && one.starts_with(best) && one.contains("day_pnl") && one.contains("added"),
        "{one}"
    );
    assert!(shown(&["traders", "list", "--top", "1"]).1.starts_with("1 trader of 3, chosen "));
    assert_eq!(shown(&["traders", "history"]).1.lines().count(), 4);
    assert_eq!(shown(&["traders", "list", "--tag", "whal"]).0, Some(2));
    let (code, plan) = shown(&["traders", "plan", "--json"]);
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    let counts = ["traders", "left_out", "weight_a_minute"].map(|name| plan[name].as_u64().unwrap());
    assert_eq!((code, counts), (Some(0), [3, 0, 200]));
    assert!(plan["never_read"].as_u64().unwrap() < 3, "{plan}");
    let says = shown(&["traders", "plan"]).1;
    assert!(says.starts_with("orders, fills, funding payments and movements of 3 traders: "), "{says}");
    assert_eq!(shown(&["traders", "show", "0x12"]).0, Some(2));
    let (code, says) = shown(&["verify"]);
    assert_eq!(code, Some(0), "{says}");
}

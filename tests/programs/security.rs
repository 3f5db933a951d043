//! What docs/security.md promises and no other test holds: secrets are not repeated, nothing listens beyond this
//! machine by default, and no crate of ours may be unsafe.

use std::path::Path;

use crate::support::process::{StoreFile, run};

const PASSWORD: &str = "hunter2";

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_never_repeated() {
    let folder = StoreFile::new();
    let uri = format!("mongodb://me:{PASSWORD}@db.example/hl");
    let url = format!("https://me:{PASSWORD}@exchange.example");
    let bare = format!("me:{PASSWORD}@exchange.example");
    let file = |name: &str, text: &str| {
        let path = folder.folder().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let as_value = file("value.toml", &format!("store = {uri:?}\n"));
    let unclosed = file("unclosed.toml", &format!("store = \"{uri}\n"));
    let as_key = file("key.toml", &format!("\"{uri}\" = 1\n"));
    let as_list = file("list.toml", &format!("network = [{url:?}]\n"));

    let none: &[(&str, &str)] = &[];
    for (program, words, variables) in [
        ("hl-daemon", &["--store", &uri][..], none),
        ("hl-daemon", &["--network", &url, "--print-config"], none),
        ("hl-daemon", &["--network", &bare], none),
        ("hl-daemon", &[&uri], none),
        ("hl-daemon", &["--stoer", &uri], none),
        ("hl-daemon", &[], &[("HL_STORE", &uri)]),
        ("hl-daemon", &[], &[("HL_NETWORK", &url)]),
        ("hl-daemon", &["--print-config"], &[("HL_NETWORK", &bare)]),
        ("hl-daemon", &["--config", &as_value], none),
        ("hl-daemon", &["--config", &unclosed], none),
        ("hl-daemon", &["--config", &as_key], none),
        ("hl-daemon", &["--config", &as_list], none),
        ("hl-cli", &["status", "--store", &uri], none),
        ("hl-cli", &["verify", "--truth", &url], none),
        ("hl-cli", &["verify", "--truth", &bare], none),
        ("hl-cli", &["coverage", "--stream", &uri], none),
        ("hl-cli", &[&uri], none),
    ] {
        let output = run(program, words, variables).await;
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!output.status.success() && !said.is_empty(), "{program} {words:?} {variables:?}");
        assert!(!said.contains(PASSWORD), "{program} {words:?} {variables:?}: {said}");
    }

    // What is right is shown, and masked.
    let shown = run("hl-daemon", &["--store", &uri, "--print-config"], &[]).await;
    let said = String::from_utf8([shown.stdout, shown.stderr].concat()).unwrap();
    assert!(shown.status.success() && said.contains("mongodb://***@db.example/hl"), "{said}");
    assert!(!said.contains(PASSWORD), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_simulated_exchange_listens_on_this_machine_alone_unless_told_otherwise() {
    let help = String::from_utf8(run("hl-sim", &["--help"], &[]).await.stdout).unwrap();
    assert!(help.contains("[default: 127.0.0.1:4001]"), "{help}");
}

#[test]
fn no_crate_may_be_unsafe() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = |folder: &Path| std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    // What is forbidden cannot be allowed again further down.
    assert!(manifest(root).contains("[workspace.lints.rust]\nunsafe_code = \"forbid\"\n"));
    let inside = |folder| std::fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let crates = inside("crates").chain(inside("testing"));
    let mut seen = 0;
    for folder in crates.chain([root.to_owned()]).filter(|folder| folder.join("Cargo.toml").exists()) {
        assert!(manifest(&folder).contains("\n[lints]\nworkspace = true\n"), "{}", folder.display());
        seen += 1;
    }
    assert!(seen > 5);
}

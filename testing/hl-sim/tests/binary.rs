//! Over TCP: the program, and the public clients of the exchange.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

mod clients;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use bytes::Bytes;
use hl_core::seam::{Endpoint, Net as _};
use hl_runtime::TcpNet;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use serde_json::Value;

#[tokio::test]
async fn it_serves_until_it_is_told_to_end() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_hl-sim"))
        .args(["--listen", "127.0.0.1:0", "--seed", "11", "--coins", "1", "--traders", "10"])
        .args(["--start", "1773146070000"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let endpoint: Endpoint = line.trim().rsplit(' ').next().unwrap().parse().unwrap();

    let stream = TcpNet::new().connect(&endpoint).await.unwrap();
    let (mut send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = hyper::Request::get("/sim/status").header("host", endpoint.authority());
    let response = send.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    assert!(response.headers().get("date").is_none());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let status: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&status["seed"], &status["start"]), (&11.into(), &1_773_146_070_000_i64.into()));

    let told = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(told.success());
    assert!(child.wait().unwrap().success(), "it ends in order, open connections or not");
    connection.await.unwrap().ok();
}

#[test]
fn it_says_what_is_wrong() {
    for (arguments, expected) in [
        (["--listen", "127.0.0.1:0", "--coins", "0"], "coins is wrong"),
        (["--listen", "127.0.0.1:0", "--speed", "0"], "speed is wrong"),
        (["--listen", "127.0.0.1:0", "--liquidations", "10001"], "liquidations is wrong"),
        (["--listen", "127.0.0.1:0", "--replay", "/nowhere"], "cannot read the recording /nowhere"),
        (["--listen", "nowhere", "--seed", "1"], "cannot listen on nowhere"),
        (["--listen", "127.0.0.1:0", "--assume", "replay=ten"], "--assume: replay cannot be \"ten\""),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_hl-sim")).args(arguments).output().unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(expected), "{said}");
    }
}

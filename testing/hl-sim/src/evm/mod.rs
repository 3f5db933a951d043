//! `POST /evm`: JSON-RPC of the chain beside the exchange, as far as accounts are read through it.
//!
//! What lives here: requests, their errors and their gas; `reads` says what the read precompiles answer, `abi` how the chain
//! writes numbers. What does not: HTTP, faults and the limit. A read sees the newest state whatever block it names, and all
//! reads of a bundle see the same one.

mod abi;
mod reads;

use std::borrow::Cow;

use hl_core::record::{Address, HexBytes};
use serde_json::{Value, json};

use crate::info::Reply;
use crate::market::Exchange;

/// The chain's number: that of HyperEVM.
const CHAIN_ID: u64 = 999;
/// Multicall3, at the address that it has on every chain.
const MULTICALL: Address = HexBytes([
    0xca, 0x11, 0xbd, 0xe0, 0x59, 0x77, 0xb3, 0x63, 0x11, 0x67, 0x02, 0x88, 0x62, 0xbe, 0x2a, 0x17, 0x39,
    0x76, 0xca, 0x11,
]);
/// `aggregate3((address,bool,bytes)[])`.
const AGGREGATE3: [u8; 4] = [0x82, 0xad, 0x56, 0xcb];
/// Gas of a request at most, and where it names none.
const MOST_GAS: u64 = 30_000_000;
/// Gas of a read: measured of positions, assumed of every other call.
const READ_GAS: u64 = 8_392;
/// Longest answer, bytes of text.
const LONGEST_ANSWER: usize = 1 << 20;

/// The error of a JSON-RPC answer.
#[derive(Debug, PartialEq, Eq)]
struct Failure {
    code: i32,
    message: Cow<'static, str>,
}

const NO_JSON: Failure = failure(-32_700, "parse error");
const NO_REQUEST: Failure = failure(-32_600, "invalid request");
const NO_PARAMS: Failure = failure(-32_602, "invalid params");
const RATE_LIMITED: Failure = failure(-32_005, "rate limited");
const OUT_OF_GAS: Failure = failure(-32_000, "out of gas");
const READ_FAILED: Failure = failure(-32_000, "EVM error: PrecompileError");
const TOO_LONG: Failure = failure(-32_000, "the response is too large");
const REVERTED: Failure = failure(3, "execution reverted");
const CALL_FAILED: Failure = failure(3, "execution reverted: Multicall3: call failed");

const fn failure(code: i32, message: &'static str) -> Failure {
    Failure { code, message: Cow::Borrowed(message) }
}

/// Answers one request. `granted`: the limit has room for it.
pub(crate) fn answer(exchange: &Exchange, body: &[u8], granted: bool) -> Reply {
    let parsed: Result<Value, _> = serde_json::from_slice(body);
    let id = parsed.as_ref().ok().and_then(|request| request.get("id")).cloned();
    let answered = match &parsed {
        _ if !granted => Err(RATE_LIMITED),
        Err(_) => Err(NO_JSON),
        Ok(request) => result(exchange, request),
    };
    // The status is 200 in any case: what went wrong stands in the body.
    Reply::json(&match answered {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(Failure { code, message }) => {
            json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
        }
    })
}

fn result(exchange: &Exchange, request: &Value) -> Result<String, Failure> {
    match request.get("method").and_then(Value::as_str).ok_or(NO_REQUEST)? {
        "eth_chainId" => Ok(abi::quantity(CHAIN_ID)),
        // Small blocks come about once a second.
        "eth_blockNumber" => Ok(abi::quantity(exchange.time().div_euclid(1_000).unsigned_abs())),
        "eth_call" => call(exchange, request.get("params").and_then(Value::as_array).ok_or(NO_PARAMS)?),
        other => {
            let message = format!("the method {other} does not exist/is not available").into();
            Err(Failure { code: -32_601, message })
        }
    }
}

/// `eth_call`; the block that it names changes nothing.
fn call(exchange: &Exchange, params: &[Value]) -> Result<String, Failure> {
    let call = params.first().and_then(Value::as_object).ok_or(NO_PARAMS)?;
    let text = |name: &str| match call.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or(NO_PARAMS),
    };
    let to = text("to")?.and_then(Address::parse).ok_or(NO_PARAMS)?;
    let data = match text("input")? {
        Some(input) => Some(input),
        None => text("data")?,
    };
    let data = abi::bytes(data.unwrap_or("0x")).ok_or(NO_PARAMS)?;
    let asked = match text("gas")? {
        Some(gas) => abi::parse_quantity(gas).ok_or(NO_PARAMS)?,
        None => MOST_GAS,
    };
    let gas = asked.min(MOST_GAS);
    let output = if to == MULTICALL {
        bundle(exchange, &data, gas)?
    } else if gas < READ_GAS {
        return Err(OUT_OF_GAS);
    } else {
        reads::read(exchange, &to, &data).ok_or(READ_FAILED)?
    };
    let text = abi::text(&output);
    if text.len() > LONGEST_ANSWER { Err(TOO_LONG) } else { Ok(text) }
}

/// `aggregate3`: every call in turn, and what each returned.
fn bundle(exchange: &Exchange, data: &[u8], mut gas: u64) -> Result<Vec<u8>, Failure> {
    let arguments = data.strip_prefix(&AGGREGATE3).ok_or(REVERTED)?;
    let calls = abi::calls(arguments).ok_or(REVERTED)?;
    let mut results = Vec::new();
    for call in calls {
        if gas < READ_GAS {
            return Err(OUT_OF_GAS);
        }
        // A bundle inside a bundle is not served.
        let returned =
            if call.target == MULTICALL { None } else { reads::read(exchange, &call.target, call.data) };
        // What fails burns all that it was given, which is all but a 64th of what there was.
        gas = if returned.is_some() { gas - READ_GAS } else { gas / 64 };
        if returned.is_none() && !call.allow_failure {
            return Err(CALL_FAILED);
        }
        results.push(returned);
    }
    Ok(abi::results(&results))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SimConfig;

    fn exchange() -> Exchange {
        Exchange::new(&SimConfig { traders: 40, ..SimConfig::default() }).unwrap()
    }

    fn asked(request: &Value) -> Value {
        let reply = answer(&exchange(), request.to_string().as_bytes(), true);
        assert_eq!(reply.status, 200);
        serde_json::from_slice(&reply.body).unwrap()
    }

    #[test]
    fn what_is_no_request_is_said() {
        for (request, code) in [
            (json!([]), -32_600),
            (json!([{"id": 1, "method": "eth_chainId"}]), -32_600),
            (json!({"id": 1}), -32_600),
            (json!({"id": 1, "method": "eth_sendTransaction"}), -32_601),
            (json!({"id": 1, "method": "eth_call"}), -32_602),
            (json!({"id": 1, "method": "eth_call", "params": []}), -32_602),
            (json!({"id": 1, "method": "eth_call", "params": [{"to": "0x12"}]}), -32_602),
            (json!({"id": 1, "method": "eth_call", "params": [{"to": MULTICALL, "data": "0x1"}]}), -32_602),
            (
                json!({"id": 1, "method": "eth_call", "params": [{"to": MULTICALL, "gas": 30_000_000}]}),
                -32_602,
            ),
            (json!({"id": 1, "method": "eth_call", "params": [{"to": MULTICALL, "data": "0x82ad56cb"}]}), 3),
            (json!({"id": 1, "method": "eth_call", "params": [{"to": MULTICALL, "data": "0x00000000"}]}), 3),
        ] {
            assert_eq!(asked(&request)["error"]["code"], code, "{request}");
        }
        let reply = answer(&exchange(), b"{", true);
        let said: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(
            said,
            json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32_700, "message": "parse error"}})
        );
    }

    #[test]
    fn a_call_to_an_address_without_code_returns_nothing() {
        let call = json!({"to": format!("0x{}", "ab".repeat(20)), "input": "0x1234"});
        let answer = asked(&json!({"id": "a", "method": "eth_call", "params": [call, "latest"]}));
        assert_eq!(answer, json!({"jsonrpc": "2.0", "id": "a", "result": "0x"}));
    }
}

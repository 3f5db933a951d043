//! Reads of positions from the chain beside the exchange, many in one request: a bundle of calls to the read contract of positions,
//! by Multicall3, and what it returns (PROTOCOL section 13). All reads of a bundle see one state; which, it does not say.

use serde::Deserialize;

use crate::record::Address;
use crate::row::{HexBytes, hex};
use crate::{Decimal, symbol::User};

/// Multicall3, at the address that it has on every chain.
pub const MULTICALL: Address = HexBytes([
    0xca, 0x11, 0xbd, 0xe0, 0x59, 0x77, 0xb3, 0x63, 0x11, 0x67, 0x02, 0x88, 0x62, 0xbe, 0x2a, 0x17, 0x39,
    0x76, 0xca, 0x11,
]);
/// `aggregate3((address,bool,bytes)[])`.
const AGGREGATE3: [u8; 4] = [0x82, 0xad, 0x56, 0xcb];
/// The contract that reads a position: its arguments are a user and the number of a perpetual.
const POSITION: u16 = 0x0813;
/// Gas of one read, as measured.
pub const READ_GAS: u64 = 8_392;

const WORD: usize = 32;
/// A call in a bundle: three words, the length of its arguments, and two words of these.
const CALL: usize = 6 * WORD;

/// Why an answer of the chain is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The chain refused the request.
    #[error("the chain says {code}: {message}")]
    Refused {
        /// Its number for it: -32005 where there were too many requests.
        code: i64,
        /// Its words.
        message: String,
    },
    /// The answer is no bundle of so many reads.
    #[error("the answer is no bundle of {0} reads")]
    Shape(usize),
}

impl ChainError {
    /// Whether there were too many requests.
    #[must_use]
    pub fn is_limit(&self) -> bool {
        matches!(self, Self::Refused { code: -32_005, .. })
    }
}

/// A position to be read: whose, and the number of the perpetual in the metadata of the first dex.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PositionRead {
    /// Whose.
    pub user: User,
    /// The place of the perpetual in the list of the first dex.
    pub perpetual: u32,
}

/// The body of one request that reads all of these, in order.
#[must_use]
pub fn request(reads: &[PositionRead]) -> String {
    let mut data = Vec::with_capacity(4 + (2 + reads.len()) * WORD + reads.len() * CALL);
    data.extend(AGGREGATE3);
    put(&mut data, WORD as u64);
    put(&mut data, reads.len() as u64);
    for at in 0..reads.len() {
        put(&mut data, (reads.len() * WORD + at * CALL) as u64);
    }
    for read in reads {
        put(&mut data, u64::from(POSITION));
        // A read that fails leaves the others as they are.
        put(&mut data, 1);
        put(&mut data, 3 * WORD as u64);
        put(&mut data, 2 * WORD as u64);
        data.extend([0; WORD - 20]);
        data.extend(read.user.address().0);
        put(&mut data, u64::from(read.perpetual));
    }
    // A read that fails burns what it is given: so there is enough for those behind it.
    let gas = 200_000 + reads.len() as u64 * (READ_GAS + 4_000);
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{{"to":"{MULTICALL}","gas":"0x{gas:x}","data":"{}"}},"latest"]}}"#,
        hex(&data)
    )
}

fn put(data: &mut Vec<u8>, number: u64) {
    data.extend([0; WORD - 8]);
    data.extend(number.to_be_bytes());
}

#[derive(Deserialize)]
struct Answer {
    result: Option<String>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    code: i64,
    message: String,
}

/// The signed size of each position that was read, in steps of its market's size decimals; none of a read that failed.
///
/// # Errors
/// When it is a refusal, or not the answer to so many reads.
pub fn sizes(body: &[u8], reads: usize) -> Result<Vec<Option<i64>>, ChainError> {
    let shape = || ChainError::Shape(reads);
    let answer: Answer = serde_json::from_slice(body).map_err(|_| shape())?;
    if let Some(Refusal { code, message }) = answer.error {
        return Err(ChainError::Refused { code, message: message.chars().take(80).collect() });
    }
    let data = bytes(&answer.result.ok_or_else(shape)?).ok_or_else(shape)?;
    let list = tail(&data, 0).ok_or_else(shape)?;
    if number(list, 0).ok_or_else(shape)? != reads as u64 {
        return Err(shape());
    }
    let items = list.get(WORD..).ok_or_else(shape)?;
    let size = |at: usize| -> Option<Option<i64>> {
        let item = items.get(usize::try_from(number(items, at)?).ok()?..)?;
        let returned = tail(item, 1)?;
        let length = usize::try_from(number(returned, 0)?).ok()?;
        let succeeded = number(item, 0)? == 1 && length >= 5 * WORD;
        Some(match succeeded {
            true => Some(signed(returned.get(WORD..2 * WORD)?)?),
            false => None,
        })
    };
    (0..reads).map(|at| size(at).ok_or_else(shape)).collect()
}

/// What the offset in a word points at.
fn tail(data: &[u8], word: usize) -> Option<&[u8]> {
    data.get(usize::try_from(number(data, word)?).ok()?..)
}

/// A word that is a number of 64 bits.
fn number(data: &[u8], word: usize) -> Option<u64> {
    let word = data.get(word.checked_mul(WORD)?..)?.get(..WORD)?;
    let (high, low) = word.split_at(WORD - 8);
    high.iter().all(|byte| *byte == 0).then_some(())?;
    Some(u64::from_be_bytes(low.try_into().ok()?))
}

/// A word that is a signed number of 64 bits.
fn signed(word: &[u8]) -> Option<i64> {
    let (high, low) = word.split_at_checked(WORD - 8)?;
    let number = i64::from_be_bytes(low.try_into().ok()?);
    let sign = if number < 0 { 0xff } else { 0 };
    high.iter().all(|byte| *byte == sign).then_some(number)
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x")?.as_bytes();
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    pairs.iter().map(|[high, low]| u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()).collect()
}

/// A size as the chain writes it, in coins. None where it cannot be one.
#[must_use]
pub fn coins(size: i64, sz_decimals: u32) -> Option<Decimal> {
    Decimal::try_new(size, sz_decimals).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(n: u8) -> User {
        User::new(&HexBytes::<20>([n; 20]).to_string()).unwrap()
    }

    fn word(number: i64) -> String {
        let sign = if number < 0 { "f" } else { "0" };
        sign.repeat(48) + &format!("{:016x}", number)
    }

    /// As the chain answers: a success with five words each, or a failure.
    fn answer(reads: &[Option<i64>]) -> String {
        let mut heads = String::new();
        let mut items = String::new();
        for read in reads {
            heads += &word((reads.len() * WORD + items.len() / 2) as i64);
            items += &match read {
                Some(size) => {
                    let rest = word(7).repeat(4);
                    format!("{}{}{}{}{rest}", word(1), word(64), word(160), word(*size))
                }
                None => format!("{}{}{}", word(0), word(64), word(0)),
            };
        }
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"result":"0x{}{}{heads}{items}"}}"#,
            word(32),
            word(reads.len() as i64)
        )
    }

    #[test]
    fn a_request_is_one_call_with_all_reads() {
        let reads =
            [PositionRead { user: user(1), perpetual: 0 }, PositionRead { user: user(2), perpetual: 177 }];
        let text = request(&reads);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let call = &value["params"][0];
        assert_eq!(call["to"], "0xca11bde05977b3631167028862be2a173976ca11");
        let data = call["data"].as_str().unwrap();
        assert_eq!(data.len(), 2 + 2 * (4 + 4 * WORD + 2 * CALL));
        assert!(data.starts_with("0x82ad56cb"));
        let last = &data[data.len() - 128..];
        assert_eq!(last, format!("{}{}{}", "0".repeat(24), "02".repeat(20), word(177)));
    }

    #[test]
    fn an_answer_is_read_by_read_and_nothing_else() {
        let reads = [Some(5), None, Some(-12_345), Some(0), Some(i64::MIN)];
        assert_eq!(sizes(answer(&reads).as_bytes(), 5), Ok(reads.to_vec()));
        assert_eq!(sizes(answer(&reads).as_bytes(), 4), Err(ChainError::Shape(4)));
        let refused = br#"{"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"rate limited"}}"#;
        assert!(sizes(refused, 1).unwrap_err().is_limit());
        let whole = answer(&reads);
        // However it is cut or damaged, it is refused or means what it says.
        for at in 0..whole.len() {
            let mut cut = whole.clone();
            cut.truncate(at);
            assert!(sizes(cut.as_bytes(), 5).is_err());
            let mut damaged = whole.clone().into_bytes();
            damaged[at] = b'9';
            let _ = sizes(&damaged, 5);
        }
        assert_eq!(coins(-12_345, 3), Some(Decimal::new(-12_345, 3)));
        assert_eq!(coins(1, 99), None);
    }
}

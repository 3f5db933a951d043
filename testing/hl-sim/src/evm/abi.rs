//! How the chain writes numbers, and the one function of Multicall3 that is served.
//!
//! Arguments come from outside: whatever they are, reading them takes no longer than they are, and copies nothing of them.

use std::fmt::Write as _;

use hl_core::record::{Address, HexBytes};

/// Bytes of a word.
const WORD: usize = 32;

/// Bytes from `0x…` of whole bytes.
pub(super) fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x")?.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
        _ => None,
    };
    digits.chunks(2).map(byte).collect()
}

/// Bytes as `0x…`.
pub(super) fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + 2 * bytes.len());
    text.push_str("0x");
    for byte in bytes {
        // Writing to text cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A number as JSON-RPC writes it.
pub(super) fn quantity(number: u64) -> String {
    format!("{number:#x}")
}

/// The inverse of [`quantity`].
pub(super) fn parse_quantity(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x").filter(|d| !d.starts_with('+'))?;
    u64::from_str_radix(digits, 16).ok()
}

/// The word that begins at a byte.
fn word(data: &[u8], at: usize) -> Option<&[u8; WORD]> {
    data.get(at..)?.first_chunk()
}

/// A word as a number. `None`: it does not fit.
fn number(word: &[u8; WORD]) -> Option<u64> {
    let (zeros, number) = word.split_last_chunk::<8>()?;
    zeros.iter().all(|byte| *byte == 0).then(|| u64::from_be_bytes(*number))
}

/// A word as a place or a length.
fn size(data: &[u8], at: usize) -> Option<usize> {
    usize::try_from(number(word(data, at)?)?).ok()
}

/// The word at a byte as an address.
fn address(data: &[u8], at: usize) -> Option<Address> {
    let (zeros, address) = word(data, at)?.split_last_chunk::<20>()?;
    zeros.iter().all(|byte| *byte == 0).then_some(HexBytes(*address))
}

/// The two arguments of a read, which are nothing else: a user and a number of 32 bits, in this order.
pub(super) fn user_and_number(arguments: &[u8]) -> Option<(Address, u32)> {
    let whole = arguments.len() == 2 * WORD;
    whole.then(|| Some((address(arguments, 0)?, u32::try_from(number(word(arguments, WORD)?)?).ok()?)))?
}

/// The same in the other order.
pub(super) fn number_and_user(arguments: &[u8]) -> Option<(u32, Address)> {
    let whole = arguments.len() == 2 * WORD;
    whole.then(|| Some((u32::try_from(number(word(arguments, 0)?)?).ok()?, address(arguments, WORD)?)))?
}

/// One call of a bundle.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call<'a> {
    pub(super) target: Address,
    /// The bundle goes on where this fails.
    pub(super) allow_failure: bool,
    pub(super) data: &'a [u8],
}

/// The arguments of `aggregate3`: `(address target, bool allowFailure, bytes callData)[]`.
pub(super) fn calls(arguments: &[u8]) -> Option<Vec<Call<'_>>> {
    let list = arguments.get(size(arguments, 0)?..)?;
    let count = size(list, 0)?;
    // Places count from behind the length.
    let heads = list.get(WORD..)?;
    (0..count).map(|i| call(heads.get(size(heads, i.checked_mul(WORD)?)?..)?)).collect()
}

fn call(tuple: &[u8]) -> Option<Call<'_>> {
    let allow_failure = match number(word(tuple, WORD)?)? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let bytes = tuple.get(size(tuple, 2 * WORD)?..)?;
    let data = bytes.get(WORD..)?.get(..size(bytes, 0)?)?;
    Some(Call { target: address(tuple, 0)?, allow_failure, data })
}

/// Appends a word.
pub(super) fn put(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&[0; WORD - 8]);
    out.extend_from_slice(&number.to_be_bytes());
}

/// Appends a word that may be below zero.
pub(super) fn put_signed(out: &mut Vec<u8>, number: i64) {
    let sign = if number < 0 { 0xff } else { 0 };
    out.extend_from_slice(&[sign; WORD - 8]);
    out.extend_from_slice(&number.to_be_bytes());
}

/// What `aggregate3` returns: `(bool success, bytes returnData)[]`; of a call that failed nothing else is known.
pub(super) fn results(results: &[Option<Vec<u8>>]) -> Vec<u8> {
    let mut tuples = Vec::new();
    let mut out = Vec::new();
    put(&mut out, WORD as u64);
    put(&mut out, results.len() as u64);
    for result in results {
        put(&mut out, (results.len() * WORD + tuples.len()) as u64);
        let data = result.as_deref().unwrap_or_default();
        put(&mut tuples, result.is_some().into());
        put(&mut tuples, 2 * WORD as u64);
        put(&mut tuples, data.len() as u64);
        tuples.extend_from_slice(data);
        tuples.resize(tuples.len().next_multiple_of(WORD), 0);
    }
    out.append(&mut tuples);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `aggregate3` of two calls as public tools write it: the second has four bytes of data and may not fail.
    fn two_calls() -> Vec<u8> {
        let head = "0000000000000000000000000000000000000000000000000000000000000020\
                    0000000000000000000000000000000000000000000000000000000000000002\
                    0000000000000000000000000000000000000000000000000000000000000040\
                    00000000000000000000000000000000000000000000000000000000000000c0\
                    0000000000000000000000001111111111111111111111111111111111111111\
                    0000000000000000000000000000000000000000000000000000000000000001\
                    0000000000000000000000000000000000000000000000000000000000000060\
                    0000000000000000000000000000000000000000000000000000000000000000\
                    0000000000000000000000002222222222222222222222222222222222222222\
                    0000000000000000000000000000000000000000000000000000000000000000\
                    0000000000000000000000000000000000000000000000000000000000000060\
                    0000000000000000000000000000000000000000000000000000000000000004\
                    deadbeef00000000000000000000000000000000000000000000000000000000";
        bytes(&format!("0x{head}")).unwrap()
    }

    #[test]
    fn a_bundle_is_read_as_it_was_written() {
        let written = two_calls();
        let expected = [
            Call { target: HexBytes([0x11; 20]), allow_failure: true, data: &[] },
            Call { target: HexBytes([0x22; 20]), allow_failure: false, data: &[0xde, 0xad, 0xbe, 0xef] },
        ];
        assert_eq!(calls(&written).unwrap(), expected);
    }

    #[test]
    fn numbers_are_words() {
        let mut out = Vec::new();
        put_signed(&mut out, -2);
        assert_eq!(text(&out), format!("0x{}fe", "f".repeat(62)));
        out.clear();
        put(&mut out, 258);
        assert_eq!(text(&out), format!("0x{}0102", "0".repeat(60)));
        assert_eq!((quantity(999), parse_quantity("0x3e7")), ("0x3e7".to_owned(), Some(999)));
        assert_eq!([parse_quantity("999"), parse_quantity("0x"), parse_quantity("0x+1")], [None; 3]);
        assert_eq!([bytes("0x123"), bytes("12"), bytes("0xgg")], [const { None::<Vec<u8>> }; 3]);
    }

    proptest! {
        /// A word of a sound bundle is another one: it is read or refused, and nothing is read twice as long.
        #[test]
        fn whatever_comes_is_read_or_refused(place in 0_usize..13, word in any::<[u8; 32]>(), small in any::<bool>()) {
            let mut data = two_calls();
            let mut word = word;
            if small {
                word[..30].fill(0);
            }
            data[place * 32..][..32].copy_from_slice(&word);
            if let Some(calls) = calls(&data) {
                prop_assert!(calls.len() <= data.len() / WORD);
                prop_assert!(calls.iter().all(|call| call.data.len() <= data.len()));
            }
        }

        #[test]
        fn bytes_are_read_or_refused(data in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = (calls(&data), user_and_number(&data), number_and_user(&data));
            prop_assert_eq!(bytes(&text(&data)), Some(data));
        }
    }
}

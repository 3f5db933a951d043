//! Hostile texts: as given, or a valid one whose tokens are changed.

use arbitrary::{Result, Unstructured};

/// Changes made to one text, at most.
const MOST_CHANGES: u32 = 12;

/// What stands in the place of a token: the edges of every number, texts that are no numbers, wrong types, deep nesting.
const HOSTILE: [&str; 46] = [
    "null",
    "true",
    "{}",
    "[]",
    "[[]]",
    "0",
    "-0",
    "-1",
    "1.0",
    "1e3",
    "1e999",
    "-1e-400",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "\"\"",
    "\"0\"",
    "\"-0\"",
    "\"-0.0\"",
    "\"007.50\"",
    "\"1e5\"",
    "\"NaN\"",
    "\"-\"",
    "\".\"",
    "\"1.\"",
    "\"+1\"",
    "\"79228162514264337593543950335\"",
    "\"79228162514264337593543950336\"",
    "\"0.0000000000000000000000000001\"",
    "\"0.00000000000000000000000000001\"",
    "\"0.12345678901234567890123456789\"",
    "\"BTC\"",
    "\"ETH\"",
    "\"a b\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"\\u0042TC\"",
    "\"0x0000000000000000000000000000000000000000\"",
    "\"B\"",
    "\"1m\"",
    "\"channel\"",
];

/// The text that an input stands for: with an even first byte the rest of it, with an odd one a valid text, changed.
pub(crate) fn of_input<T: AsRef<str>>(input: &[u8], valid: &[T]) -> Vec<u8> {
    match input.split_first() {
        Some((first, rest)) if first % 2 == 1 && !valid.is_empty() => {
            let mut u = Unstructured::new(rest);
            // An input that ends early leaves the text as it is by then.
            let index = u.arbitrary::<u16>().unwrap_or_default();
            let text = valid[usize::from(index) % valid.len()].as_ref();
            change(text.as_bytes(), &mut u)
        }
        Some((_, rest)) => rest.to_vec(),
        None => Vec::new(),
    }
}

/// The input that stands for a text as it is.
pub(crate) fn to_input(text: &str) -> Vec<u8> {
    [b"\0", text.as_bytes()].concat()
}

/// A text, changed as `u` says.
pub(crate) fn change(text: &[u8], u: &mut Unstructured<'_>) -> Vec<u8> {
    let mut text = text.to_vec();
    for _ in 0..MOST_CHANGES {
        if u.is_empty() || change_once(&mut text, u).is_err() {
            break;
        }
    }
    text
}

fn change_once(text: &mut Vec<u8>, u: &mut Unstructured<'_>) -> Result<()> {
    let tokens = tokens(text);
    let token = |u: &mut Unstructured<'_>| -> Result<std::ops::Range<usize>> {
        Ok(tokens.get(usize::from(u.arbitrary::<u16>()?) % tokens.len().max(1)).cloned().unwrap_or(0..0))
    };
    match u.int_in_range(0..=9)? {
        0..=2 => {
            let range = token(u)?;
            text.splice(range, u.choose(&HOSTILE)?.bytes());
        }
        3 => drop(text.drain(token(u)?)),
        4 => {
            let (a, b) = (token(u)?, token(u)?);
            let range = a.start.min(b.start)..a.end.max(b.end);
            let piece = text[range.clone()].to_vec();
            text.splice(range.end..range.end, piece);
        }
        5 => {
            let (a, b) = (token(u)?, token(u)?);
            let piece = text[b].to_vec();
            text.splice(a, piece);
        }
        6 => {
            let at = token(u)?.start;
            let open = *u.choose(b"[{\"")?;
            let times = usize::from(u.arbitrary::<u8>()?);
            text.splice(at..at, std::iter::repeat_n(open, times));
        }
        7 => {
            let at = token(u)?.end;
            let byte = u.arbitrary::<u8>()?;
            let times = if u.ratio(1, 8)? { 5_000 } else { 1 };
            text.splice(at..at, std::iter::repeat_n(byte, times));
        }
        8 => text.truncate(token(u)?.end),
        _ => {
            let at = usize::from(u.arbitrary::<u16>()?) % text.len().max(1);
            if let Some(byte) = text.get_mut(at) {
                *byte = u.arbitrary()?;
            }
        }
    }
    Ok(())
}

/// Quoted texts, words and numbers, and each other character by itself; white space is none.
fn tokens(text: &[u8]) -> Vec<std::ops::Range<usize>> {
    let word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'+');
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let length = match rest[0] {
            b' ' | b'\t' | b'\r' | b'\n' => {
                at += 1;
                continue;
            }
            quote @ (b'"' | b'\'') => {
                rest.iter().skip(1).position(|b| *b == quote).map_or(rest.len(), |n| n + 2)
            }
            ref b if word(b) => rest.iter().position(|b| !word(b)).unwrap_or(rest.len()),
            _ => 1,
        };
        found.push(at..at + length);
        at += length;
    }
    found
}

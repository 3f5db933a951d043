//! The short run: every seed as it is, then changed seeds and random bytes, drawn from one generator.

use std::cell::RefCell;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use crate::Target;

/// Longest input that is drawn from nothing, bytes.
const LONGEST: usize = 600;
/// Longest seed that is executed, bytes: what is longer costs more than it finds.
const LONGEST_SEED: usize = 16 << 10;
/// Seeds that are executed as they are, at most.
const MOST_SEEDS: usize = 300;

/// An input that broke a promise.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The target.
    pub target: &'static str,
    /// The input; [`execute`] does it again.
    pub input: Vec<u8>,
    /// What was said, and where.
    pub said: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (an input of {} bytes)", self.target, self.said, self.input.len())
    }
}

thread_local! {
    /// While this thread executes an input: the first panic so far, also one that a task swallowed.
    static PANIC: RefCell<Option<Option<String>>> = const { RefCell::new(None) };
}

/// Executes one input.
///
/// # Errors
/// When it breaks a promise, also where the panic was caught on its way, as in a task.
pub fn execute(target: &Target, input: &[u8]) -> Result<(), Finding> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANIC.with_borrow_mut(|executing| match executing {
                Some(first) => {
                    first.get_or_insert_with(|| info.to_string());
                }
                None => others(info),
            });
        }));
    });
    PANIC.set(Some(None));
    let ended = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    match PANIC.take().flatten().or_else(|| ended.err().map(|_| "a panic without words".to_owned())) {
        Some(said) => Err(Finding { target: target.name, input: input.to_vec(), said }),
        None => Ok(()),
    }
}

/// Runs a target on its seeds and on `executions` inputs drawn from `seed`. Returns the number of executions.
///
/// # Errors
/// The first finding.
pub fn blind(target: &Target, seed: u64, executions: u32) -> Result<u32, Finding> {
    let seeds: Vec<_> = (target.seeds)().into_iter().filter(|s| s.len() <= LONGEST_SEED).collect();
    let step = seeds.len().div_ceil(MOST_SEEDS).max(1);
    let mut done = 0;
    for input in seeds.iter().step_by(step) {
        execute(target, input)?;
        done += 1;
    }
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..executions {
        let input = match rng.choice(&seeds) {
            Some(seed) if rng.bool() => changed(seed, &mut rng),
            _ => {
                let mut bytes = vec![0; rng.usize(0..=LONGEST)];
                rng.fill(&mut bytes);
                bytes
            }
        };
        execute(target, &input)?;
        done += 1;
    }
    Ok(done)
}

/// A seed with a few bytes changed, cut out or put in.
fn changed(seed: &[u8], rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..rng.usize(1..=4) {
        let at = rng.usize(0..=bytes.len());
        match rng.u8(0..4) {
            0 => bytes.insert(at, rng.u8(..)),
            1 => bytes.truncate(at),
            2 => drop(bytes.drain(at..(at + rng.usize(0..=8)).min(bytes.len()))),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = rng.u8(..);
                }
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Target = Target {
        name: "test",
        about: "",
        seeds: || vec![b"abc".to_vec()],
        run: |input| assert!(!input.contains(&b'!'), "an exclamation"),
        short: 0,
    };

    #[test]
    fn a_finding_has_its_input_and_the_same_seed_finds_it_again() {
        let found = blind(&TARGET, 1, 1_000).unwrap_err();
        assert!(found.input.contains(&b'!') && found.said.contains("an exclamation"), "{found}");
        assert_eq!(execute(&TARGET, &found.input).unwrap_err().said, found.said);
        assert_eq!(blind(&TARGET, 1, 1_000).unwrap_err().input, found.input);
        assert!(execute(&TARGET, b"abc").is_ok());
    }

    #[test]
    fn a_panic_that_a_task_swallows_is_a_finding() {
        let run = |_: &[u8]| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _ = runtime.block_on(async { tokio::spawn(async { panic!("unheard") }).await });
        };
        assert!(execute(&Target { run, ..TARGET }, b"").unwrap_err().said.contains("unheard"));
    }
}

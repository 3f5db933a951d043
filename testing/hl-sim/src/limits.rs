//! The exchange's limits per IP, in sliding windows of the client's time.

use std::collections::VecDeque;

use tokio::time::{Duration, Instant};

use crate::config::Limits;

const WINDOW: Duration = Duration::from_secs(60);
/// How long the subscriptions of a broken socket still count.
const GHOST: Duration = Duration::from_secs(5);

/// A sum over the last 60 s.
#[derive(Default, Debug)]
struct Window {
    entries: VecDeque<(Instant, u32)>,
    sum: u64,
    /// The greatest sum so far.
    peak: u64,
}

impl Window {
    fn sum(&mut self, now: Instant) -> u64 {
        while let Some((at, amount)) = self.entries.front().copied() {
            if now.duration_since(at) < WINDOW {
                break;
            }
            self.sum -= u64::from(amount);
            self.entries.pop_front();
        }
        self.sum
    }

    fn add(&mut self, now: Instant, amount: u32) {
        let sum = self.sum(now) + u64::from(amount);
        (self.sum, self.peak) = (sum, self.peak.max(sum));
        match self.entries.back_mut() {
            Some((at, last)) if *at == now => *last += amount,
            _ => self.entries.push_back((now, amount)),
        }
    }
}

/// What one IP has used.
#[derive(Debug)]
pub(crate) struct Usage {
    pub(crate) limits: Limits,
    weight: Window,
    chain: Window,
    connections: Window,
    messages: Window,
    ghosts: Vec<(Instant, usize)>,
}

impl Usage {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            weight: Window::default(),
            chain: Window::default(),
            connections: Window::default(),
            messages: Window::default(),
            ghosts: Vec::new(),
        }
    }

    /// Takes the weight of a request, or refuses it.
    pub(crate) fn take_weight(&mut self, now: Instant, weight: u32) -> bool {
        let fits = self.weight.sum(now) + u64::from(weight) <= u64::from(self.limits.weight);
        if fits {
            self.weight.add(now, weight);
        }
        fits
    }

    /// What the items of an answer weigh is known only afterwards.
    pub(crate) fn add_weight(&mut self, now: Instant, weight: u32) {
        if weight > 0 {
            self.weight.add(now, weight);
        }
    }

    pub(crate) fn used_weight(&mut self, now: Instant) -> u64 {
        self.weight.sum(now)
    }

    /// The most weight in 60 s since the start.
    pub(crate) fn peak_weight(&self) -> u64 {
        self.weight.peak
    }

    /// Whether the chain answers one more request.
    pub(crate) fn take_chain_request(&mut self, now: Instant) -> bool {
        let fits = self.chain.sum(now) < self.limits.chain_requests as u64;
        if fits {
            self.chain.add(now, 1);
        }
        fits
    }

    /// Whether one more connection may open, `open` being there.
    pub(crate) fn take_connection(&mut self, now: Instant, open: usize) -> bool {
        let fits =
            open < self.limits.connections && self.connections.sum(now) < self.limits.new_connections as u64;
        if fits {
            self.connections.add(now, 1);
        }
        fits
    }

    pub(crate) fn take_message(&mut self, now: Instant) -> bool {
        self.messages.add(now, 1);
        self.messages.sum(now) <= self.limits.messages as u64
    }

    pub(crate) fn leave_ghost(&mut self, now: Instant, subscriptions: usize) {
        if subscriptions > 0 {
            self.ghosts.push((now + GHOST, subscriptions));
        }
    }

    /// Subscriptions of broken sockets that still count.
    pub(crate) fn ghosts(&mut self, now: Instant) -> usize {
        self.ghosts.retain(|(until, _)| *until > now);
        self.ghosts.iter().map(|(_, n)| n).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn weight_comes_back_after_a_minute() {
        let mut usage = Usage::new(Limits { weight: 100, ..Limits::default() });
        assert!(usage.take_weight(Instant::now(), 60));
        tokio::time::advance(Duration::from_secs(30)).await;
        assert!(usage.take_weight(Instant::now(), 40));
        assert!(!usage.take_weight(Instant::now(), 1), "a refused request weighs nothing");
        assert_eq!((usage.used_weight(Instant::now()), usage.peak_weight()), (100, 100));
        tokio::time::advance(Duration::from_secs(30)).await;
        assert!(usage.take_weight(Instant::now(), 60));
        assert!(!usage.take_weight(Instant::now(), 1));
        usage.add_weight(Instant::now(), 7);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!((usage.used_weight(Instant::now()), usage.peak_weight()), (0, 107));
    }
}

//! Daemon and exchange as real processes.

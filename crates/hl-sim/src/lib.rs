//! hl-sim

//! hl-collectors

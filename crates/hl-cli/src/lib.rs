//! hl-cli

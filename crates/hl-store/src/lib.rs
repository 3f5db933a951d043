//! hl-store

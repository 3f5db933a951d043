//! hl-scheduler

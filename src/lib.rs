//! The library to embed.

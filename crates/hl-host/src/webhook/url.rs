//! Where a webhook is.

use std::fmt;
use std::str::FromStr;

use hl_core::seam::Endpoint;

use crate::mask;

/// A text that is not the URL of a webhook: what it begins with, the rest masked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is not a URL of a webhook; write it like {example}", example = Self::EXAMPLE)]
pub struct NotAWebhook(pub String);

impl NotAWebhook {
    /// How one is written.
    pub const EXAMPLE: &str = "https://example.com/hooks/1";
}

/// A webhook, by its URL. Its path may hold a key: it is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where to connect.
    pub endpoint: Endpoint,
    /// Path and query.
    pub path: String,
}

impl FromStr for Webhook {
    type Err = NotAWebhook;

    fn from_str(text: &str) -> Result<Self, NotAWebhook> {
        let malformed = || NotAWebhook(masked(text));
        let (scheme, rest) = text.split_once("://").ok_or_else(malformed)?;
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(at);
        let printable = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if !["http", "https"].contains(&scheme) || !printable {
            return Err(malformed());
        }
        let endpoint: Endpoint = format!("{scheme}://{authority}").parse().map_err(|_| malformed())?;
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { endpoint, path })
    }
}

/// The URL with everything behind the host masked.
#[must_use]
pub fn masked(text: &str) -> String {
    let text = mask(text);
    let host = text.find("://").map_or(0, |scheme| scheme + 3);
    match text[host..].find(['/', '?']) {
        Some(at) => format!("{}/***", &text[..host + at]),
        None => text,
    }
}

impl fmt::Display for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "/" => write!(f, "{}", self.endpoint),
            _ => write!(f, "{}/***", self.endpoint),
        }
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_is_a_url_and_its_path_is_no_ones_business() {
        let hook: Webhook = "https://hooks.example.com/services/T0/B1/key?x=1".parse().unwrap();
        assert_eq!(
            (hook.endpoint.authority().as_str(), hook.path.as_str()),
            ("hooks.example.com", "/services/T0/B1/key?x=1")
        );
        assert_eq!(format!("{hook} {hook:?}"), "https://hooks.example.com/*** https://hooks.example.com/***");
        for (text, path) in [("http://a:81", "/"), ("http://a:81/", "/"), ("http://[::1]:81?k", "/?k")] {
            assert_eq!(text.parse::<Webhook>().unwrap().path, path, "{text}");
        }
        for bad in [
            "",
            "a/b",
            "ftp://a/key",
            "http:///key",
            "https://me:secret@a/key",
            "http://a/key key",
            "ws://a/key",
        ] {
            let said = bad.parse::<Webhook>().unwrap_err().to_string();
            assert!(!said.contains("key") && !said.contains("secret") || bad == "a/b", "{said}");
        }
    }
}

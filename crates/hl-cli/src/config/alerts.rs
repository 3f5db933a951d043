//! Who hears of alerts, and who may ask.

use std::net::SocketAddr;

pub use hl_host::webhook::Webhook;

use hl_host::webhook::NotAWebhook;

use super::ValueError;

/// Where `--http` listens where no address is given.
pub(super) const DEFAULT_HTTP: &str = "127.0.0.1:9847";

pub(super) fn http(text: &str) -> Result<SocketAddr, ValueError> {
    text.parse().map_err(|_| ValueError::Malformed {
        what: "an address to listen on",
        text: text.to_owned(),
        example: DEFAULT_HTTP.to_owned(),
    })
}

impl From<NotAWebhook> for ValueError {
    fn from(NotAWebhook(text): NotAWebhook) -> Self {
        Self::Malformed { what: "a URL of a webhook", text, example: NotAWebhook::EXAMPLE.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_ip_and_a_port() {
        assert_eq!(http("127.0.0.1:9847").unwrap().port(), 9_847);
        assert!(http("[::1]:80").unwrap().ip().is_loopback());
        for bad in ["localhost:80", "9847", "127.0.0.1", "", "1.2.3.4:99999"] {
            assert!(http(bad).unwrap_err().to_string().contains(DEFAULT_HTTP), "{bad}");
        }
    }
}

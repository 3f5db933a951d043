//! Files of the exchange that a test writes.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bytes::Bytes;
use hl_core::ledger::Cause;
use hl_core::seam::BoxFuture;
use hl_core::source::{FetchError, Files, Pieces};

/// Files that are as they are told to be.
#[derive(Default)]
pub(crate) struct Published {
    pub(crate) files: Mutex<BTreeMap<String, String>>,
    pub(crate) asked: Mutex<Vec<String>>,
}

struct Torn(std::vec::IntoIter<Bytes>, bool);

impl Pieces for Torn {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, FetchError>> {
        let next = self.0.next();
        let failed = next.is_none() && self.1;
        let broken =
            || FetchError { step: "reading", reason: "it breaks off".to_owned(), cause: Cause::Outage };
        Box::pin(async move { if failed { Err(broken()) } else { Ok(next) } })
    }
}

impl Files for Published {
    fn open<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Box<dyn Pieces>, FetchError>> {
        self.asked.lock().unwrap().push(name.to_owned());
        let file = self.files.lock().unwrap().get(name).cloned();
        Box::pin(async move {
            let Some(file) = file else {
                let reason = format!("GET {name}: 404 Not Found");
                return Err(FetchError { step: "reading", reason, cause: Cause::Outage });
            };
            // A file that ends with "…" breaks off there.
            let (file, torn) = file.strip_suffix('…').map_or((file.as_str(), false), |begin| (begin, true));
            let pieces: Vec<_> = file.as_bytes().chunks(7).map(Bytes::copy_from_slice).collect();
            Ok(Box::new(Torn(pieces.into_iter(), torn)) as Box<dyn Pieces>)
        })
    }
}

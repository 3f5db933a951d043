//! What can go wrong with a MongoDB store, and what of it is worth trying again.

use hl_core::store::StoreError;
use mongodb::error::{
    Error, ErrorKind, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT, WriteFailure,
};

/// A MongoDB store failed.
#[derive(Debug, thiserror::Error)]
pub enum MongoError {
    /// The server, or the way to it. The driver's words name hosts, never credentials.
    #[error("{}", words(.0))]
    Driver(#[from] Error),
    /// No server, or none that the URI asks for.
    #[error(
        "no server can be reached; check that it runs, and the hosts and the replicaSet in the URI ({})", words(.0)
    )]
    Unreachable(#[source] Error),
    /// A document that this program does not write.
    #[error("the field {field} of a document in {collection} is not what this program writes there")]
    Malformed {
        /// The collection.
        collection: &'static str,
        /// The field.
        field: &'static str,
    },
    /// The server took a command and refused a part of it.
    #[error("{collection} takes a document not: {words} (code {code})")]
    Refused {
        /// The collection.
        collection: String,
        /// The code of the server.
        code: i32,
        /// Its words.
        words: String,
    },
    /// The server did not answer in time.
    #[error("no answer within {0} s")]
    Late(u64),
    /// Something was not as this session had written it.
    #[error("a document in {0} was changed by another process")]
    Changed(&'static str),
    /// Somebody else has ended this session: its lease ran out while it could not renew it.
    #[error("the session was ended by another process")]
    Superseded,
    /// Epochs of other tokens in a batch.
    #[error("the batch of token {batch} holds an epoch of token {epoch}")]
    MixedTokens {
        /// The batch's token.
        batch: u32,
        /// The other one.
        epoch: u32,
    },
    /// The counter is at its end.
    #[error("there are no more tokens; copy the rows into a new database")]
    NoMoreTokens,
    /// Written by a later release.
    #[error("the database has version {found} of the schema, and this release knows up to {known}; update")]
    Newer {
        /// In the database.
        found: i32,
        /// The newest that is known.
        known: i32,
    },
    /// Not a store of ours.
    #[error("the database {0} holds no store; start a collector on it, or check the name in the URI")]
    NoStore(String),
    /// A standalone server has no transactions.
    #[error(
        "a standalone server serves one process at a time, and {0} uses it; make it a replica set (of one member, if need be)"
    )]
    Standalone(String),
}

/// What to do with an error of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Remedy {
    /// Run the whole transaction again.
    Again,
    /// Run it again, after a look at which keys exist.
    Careful,
    /// Whether it was committed is not known: commit again.
    CommitAgain,
    /// Report it.
    None,
}

const DUPLICATE_KEY: i32 = 11_000;
const INTERRUPTED: i32 = 11_601;
const UNAUTHORIZED: i32 = 13;
const AUTHENTICATION_FAILED: i32 = 18;

/// The driver's words without what it knows beside them, and what to do where that is known.
fn words(error: &Error) -> String {
    let words = error.kind.to_string();
    match (error.kind.as_ref(), code(error)) {
        (ErrorKind::Authentication { .. }, _) | (_, Some(AUTHENTICATION_FAILED)) => {
            format!("{words}; check user, password and authSource in the URI")
        }
        (_, Some(UNAUTHORIZED)) => {
            format!("{words}; the URI needs a user with the role readWrite on its database")
        }
        _ => words,
    }
}

fn is_duplicate(error: &Error) -> bool {
    code(error) == Some(DUPLICATE_KEY)
}

pub(crate) fn code(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => Some(command.code),
        ErrorKind::Write(WriteFailure::WriteError(error)) => Some(error.code),
        ErrorKind::Write(WriteFailure::WriteConcernError(error)) => Some(error.code),
        ErrorKind::InsertMany(failed) => failed
            .write_errors
            .as_ref()
            .and_then(|errors| errors.first())
            .map(|error| error.code)
            .or_else(|| failed.write_concern_error.as_ref().map(|error| error.code)),
        _ => None,
    }
}

impl MongoError {
    /// Whether there was no answer in time.
    pub(crate) fn is_silence(&self) -> bool {
        match self {
            Self::Late(_) => true,
            Self::Driver(error) => matches!(error.kind.as_ref(), ErrorKind::ServerSelection { .. }),
            _ => false,
        }
    }

    /// Whether a connection broke, and another one may hold.
    pub(crate) fn is_cut(&self) -> bool {
        match self {
            Self::Driver(error) => {
                matches!(error.kind.as_ref(), ErrorKind::Io(_) | ErrorKind::ConnectionPoolCleared { .. })
            }
            _ => false,
        }
    }

    /// What helps while the transaction runs.
    pub(crate) fn remedy(&self) -> Remedy {
        match self {
            Self::Driver(error) if error.contains_label(TRANSIENT_TRANSACTION_ERROR) => Remedy::Again,
            Self::Driver(error) if is_duplicate(error) => Remedy::Careful,
            Self::Refused { code: DUPLICATE_KEY, .. } => Remedy::Careful,
            // What it was is forgotten by then.
            Self::Changed(_) => Remedy::Again,
            _ => Remedy::None,
        }
    }

    /// What helps where the commit failed.
    pub(crate) fn remedy_of_commit(error: &Error) -> Remedy {
        let interrupted = code(error) == Some(INTERRUPTED);
        let unsure = matches!(error.kind.as_ref(), ErrorKind::Write(WriteFailure::WriteConcernError(_)));
        match error {
            error if error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT) || interrupted || unsure => {
                Remedy::CommitAgain
            }
            error if error.contains_label(TRANSIENT_TRANSACTION_ERROR) => Remedy::Again,
            _ => Remedy::None,
        }
    }

    /// Names the step.
    pub(crate) fn at(self, step: &'static str) -> StoreError {
        if matches!(self, Self::Superseded) {
            return StoreError::Superseded;
        }
        let is_permanent = match &self {
            Self::Late(_) | Self::Changed(_) => false,
            Self::Driver(error) => matches!(
                error.kind.as_ref(),
                ErrorKind::Authentication { .. }
                    | ErrorKind::InvalidArgument { .. }
                    | ErrorKind::InvalidTlsConfig { .. }
                    | ErrorKind::BsonSerialization(_)
                    | ErrorKind::BsonDeserialization(_)
            ),
            _ => true,
        };
        let source = Box::new(match self {
            Self::Driver(error) if matches!(error.kind.as_ref(), ErrorKind::ServerSelection { .. }) => {
                Self::Unreachable(error)
            }
            other => other,
        });
        match is_permanent {
            true => StoreError::Permanent { step, source },
            false => StoreError::Temporary { step, source },
        }
    }
}

//! Messages out of frames. A peer may cut a message into as many fragments as it likes, so their sum has a limit: the
//! limit of `fastwebsockets` holds for a frame.

use fastwebsockets::OpCode;

/// The largest message accepted, bytes. The exchange's largest (`allDexsAssetCtxs`) has 116 kB.
pub(super) const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// The fragments do not make a message.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum FragmentError {
    /// Their sum is beyond the limit.
    #[error("a message of more than {MAX_MESSAGE_BYTES} bytes, in fragments")]
    TooLong,
    /// A continuation of nothing, or a message inside another.
    #[error("a fragment out of order")]
    OutOfOrder,
}

/// Joins fragments.
#[derive(Default)]
pub(super) struct Fragments {
    begun: Option<Vec<u8>>,
}

impl Fragments {
    /// Takes a text, binary or continuation frame; gives the message that it completes.
    pub(super) fn add(
        &mut self,
        opcode: OpCode,
        fin: bool,
        payload: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, FragmentError> {
        let message = match (opcode, self.begun.take()) {
            (OpCode::Continuation, Some(mut message)) => {
                if message.len() + payload.len() > MAX_MESSAGE_BYTES {
                    return Err(FragmentError::TooLong);
                }
                message.extend_from_slice(&payload);
                message
            }
            (OpCode::Continuation, None) | (_, Some(_)) => return Err(FragmentError::OutOfOrder),
            (_, None) => payload,
        };
        if fin {
            return Ok(Some(message));
        }
        self.begun = Some(message);
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_become_the_message() {
        let mut fragments = Fragments::default();
        assert_eq!(fragments.add(OpCode::Text, true, b"whole".to_vec()), Ok(Some(b"whole".to_vec())));
        assert_eq!(fragments.add(OpCode::Text, false, b"a".to_vec()), Ok(None));
        assert_eq!(fragments.add(OpCode::Continuation, false, b"b".to_vec()), Ok(None));
        assert_eq!(fragments.add(OpCode::Continuation, true, b"c".to_vec()), Ok(Some(b"abc".to_vec())));
    }

    #[test]
    fn fragments_out_of_order_are_refused() {
        let alone = Fragments::default().add(OpCode::Continuation, true, Vec::new());
        assert_eq!(alone, Err(FragmentError::OutOfOrder));
        let mut fragments = Fragments::default();
        fragments.add(OpCode::Text, false, Vec::new()).unwrap();
        assert_eq!(fragments.add(OpCode::Text, true, Vec::new()), Err(FragmentError::OutOfOrder));
    }

    #[test]
    fn a_message_without_end_is_refused_at_the_limit() {
        let mut fragments = Fragments::default();
        let piece = vec![b'1'; 64 << 10];
        fragments.add(OpCode::Text, false, piece.clone()).unwrap();
        let mut taken = piece.len();
        let error = loop {
            match fragments.add(OpCode::Continuation, false, piece.clone()) {
                Ok(_) => taken += piece.len(),
                Err(error) => break error,
            }
        };
        assert_eq!((error, taken), (FragmentError::TooLong, MAX_MESSAGE_BYTES));
    }
}

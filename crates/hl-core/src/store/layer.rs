//! A store that stands before another one, and changes some of its roles.

use super::{Store, StoreError};
use crate::seam::BoxFuture;

/// A store before another one. It implements the roles that it changes, and names each of the others, which are then left to
/// the store behind it: `impl Delegates<dyn Notes> for Mine {}`. Where it does neither for a role, it is not a [`Store`], and the
/// compiler says which role is missing.
pub trait Layer: Send + Sync + Sized + 'static {
    /// The store behind it.
    type Inner: Store + ?Sized;

    /// The store behind it.
    fn inner(&self) -> &Self::Inner;

    /// Every request of a delegated role passes through here on its way; it is not begun before it is first polled. What is
    /// answered at once does not pass, and neither does [`close`](super::StoreSession::close).
    fn around<'a, T: Send + 'a>(
        &'a self,
        request: BoxFuture<'a, Result<T, StoreError>>,
    ) -> BoxFuture<'a, Result<T, StoreError>> {
        request
    }
}

/// Says that a layer leaves a role to the store behind it: `Delegates<dyn Notes>`, `Delegates<dyn Runs>`.
pub trait Delegates<Role: ?Sized>: Layer {}

/// Declares a role of which each call is a request: the trait, and how a layer delegates it.
macro_rules! role {
    (
        $(#[$about:meta])*
        pub trait $Role:ident {
            $(
                $(#[$said:meta])*
                fn $call:ident $(<$life:lifetime>)? (
                    & $($borrowed:lifetime)? $me:ident $(, $argument:ident: $type:ty)* $(,)?
                ) -> $answer:ty;
            )*
        }
    ) => {
        $(#[$about])*
        pub trait $Role: Send + Sync + 'static {
            $(
                $(#[$said])*
                fn $call $(<$life>)? (& $($borrowed)? $me $(, $argument: $type)*) -> $answer;
            )*
        }

        impl<L: $crate::store::Delegates<dyn $Role>> $Role for L {
            $(
                fn $call $(<$life>)? (& $($borrowed)? $me $(, $argument: $type)*) -> $answer {
                    $crate::store::Layer::around($me, $crate::store::Layer::inner($me).$call($($argument),*))
                }
            )*
        }
    };
}
pub(super) use role;

//! The decisions about redirect addresses, as the fuzz targets under `fuzz/` ask for them: they stand outside of the crate
//! and would otherwise need a whole server for one comparison.

use super::client::redirect;

/// Whether a client may register this address.
pub fn may_register(text: &str) -> bool {
    redirect::check(text).is_ok()
}

/// Whether a client that registered `known` may be answered at `asked`.
pub fn may_redirect(known: &str, asked: &str) -> bool {
    redirect::matches(known, asked)
}

/// The address with further parameters.
pub fn redirection(to: &str, params: &[(&str, &str)]) -> String {
    redirect::with_params(to, params)
}

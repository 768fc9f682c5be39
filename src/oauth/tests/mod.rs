//! The endpoints, over a store in memory and the development login. A [`Browser`] keeps cookies as browsers do; a flow goes
//! through the desk as a real one would, so that what a test changes is the only thing that is odd.

mod any_text;
mod authorize;
mod browser;
mod consent;
mod departure;
mod documents;
pub(super) mod host;
mod machine;
mod metadata;
mod register;
mod renewal;
mod rig;
mod token;
mod worth;

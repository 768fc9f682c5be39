//! The account's endpoints over fake providers, with everything behind them real and in memory. Refusals first.

mod enter;
mod keys;
mod leave;
mod refresh;
mod rig;

//! The hostile world: disks that fail, clocks that leap, strangers in crowds, and generated input that wants past the filter.

mod audit;
mod clock;
mod memory;
mod props;

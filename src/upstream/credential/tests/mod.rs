//! Tests of the stage as a whole: callers in, headers or reasons out.

mod answers;
mod machine;
mod personal;
mod rig;

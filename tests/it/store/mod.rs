//! The store as a whole process has it: killed at any moment, it opens again with all that was confirmed.

mod crash;
mod gateway;

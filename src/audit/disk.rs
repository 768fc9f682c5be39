//! What the trail asks of the disk under its files: take these bytes, make them last. It is a seam, so that a disk which
//! fills up, tears a write, lies about a flush or never answers can be had when it is wanted.

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Write};

/// A disk. Whatever it does not confirm is done again later, so it may fail at any point, but not reorder.
pub trait Disk: Debug + Send + Sync {
    /// Appends all bytes to a file that is open for appending.
    ///
    /// # Errors
    /// When that may not have happened, or only in part.
    fn append(&self, file: &File, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was appended last.
    ///
    /// # Errors
    /// When some of it may be lost, also of what was appended long before.
    fn sync(&self, file: &File) -> io::Result<()>;
}

/// The disk of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine;

impl Disk for Machine {
    fn append(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

//! The lines of one kind on their way to their file. Lines are kept until the disk has confirmed that they last: after a
//! failed write the rest is written again, and after a failed flush all of it, since a kernel that could not flush a page
//! forgets it. What is written again is sealed as it was, so a reader sees no difference.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::disk::Disk;
use super::files;

/// How much of what waits is in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::audit) struct Handed {
    /// Lines that were promised to somebody.
    pub(in crate::audit) lines: usize,
    /// Their weight in the queue.
    pub(in crate::audit) weight: usize,
}

/// One kind's lines since the last flush, and its file.
#[derive(Debug, Default)]
pub(in crate::audit) struct Lane {
    lines: Vec<u8>,
    /// So many bytes of `lines` are in the file.
    written: usize,
    /// The length of the file before them; unknown until it was opened in this hour.
    base: Option<u64>,
    waiting: Handed,
    file: Option<Appender>,
}

impl Lane {
    /// Appends a line, which `write` puts at the end of what it is given.
    pub(in crate::audit) fn put<T>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        write(&mut self.lines)
    }

    /// The last line was promised to somebody.
    pub(in crate::audit) fn promised(&mut self, weight: usize) {
        self.waiting.lines += 1;
        self.waiting.weight += weight;
    }

    /// How many bytes are kept.
    pub(in crate::audit) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Lines that are in no file yet.
    pub(in crate::audit) const fn unwritten(&self) -> usize {
        self.waiting.lines
    }

    /// Hands everything to the file.
    pub(in crate::audit) fn write(&mut self, path: &Path, disk: &dyn Disk) -> io::Result<Handed> {
        let is_open = self.file.is_some() || self.lines.is_empty();
        if is_open && self.written == self.lines.len() {
            return Ok(Handed::default());
        }
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.open(path)?,
        };
        let rest = self.lines.get(self.written..).unwrap_or_default();
        file.append(rest, disk)?;
        self.file = Some(file);
        self.written = self.lines.len();
        Ok(std::mem::take(&mut self.waiting))
    }

    /// Makes everything in the file last; after that nothing has to be kept.
    pub(in crate::audit) fn sync(&mut self, disk: &dyn Disk) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        if let Err(error) = disk.sync(&file.file) {
            self.written = 0;
            return Err(error);
        }
        self.base = Some(file.length);
        self.lines.clear();
        self.written = 0;
        Ok(())
    }

    /// Something failed: the file is opened anew, and what it lacks is written again.
    pub(in crate::audit) fn doubt(&mut self) {
        self.file = None;
    }

    /// The next line belongs to another file. Everything was made to last before.
    pub(in crate::audit) fn turn(&mut self) {
        (self.file, self.base) = (None, None);
    }

    /// Opens the file and cuts off what is not known to be good. If less is there than was written, somebody took it away,
    /// and as much of it as is still kept is written again.
    fn open(&mut self, path: &Path) -> io::Result<Appender> {
        let mut file = Appender::open(path)?;
        let base = self.base.unwrap_or(file.length).min(file.length);
        let good = base.saturating_add(self.written as u64);
        if self.base != Some(base) || good > file.length {
            self.written = 0;
        }
        self.base = Some(base);
        file.cut(base.saturating_add(self.written as u64))?;
        Ok(file)
    }
}

/// A file that lines are appended to, watched for being taken away.
#[derive(Debug)]
struct Appender {
    path: PathBuf,
    file: File,
    length: u64,
}

impl Appender {
    /// Opens or makes the file. Anything but a regular file is refused, be it a device or a link.
    fn open(path: &Path) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            files::make_directory(parent)?;
        }
        let is_regular = |found: &fs::Metadata| found.file_type().is_file();
        if fs::symlink_metadata(path).is_ok_and(|found| !is_regular(&found)) {
            return Err(io::Error::other("not a regular file"));
        }
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        if !is_regular(&file.metadata()?) {
            return Err(io::Error::other("not a regular file"));
        }
        let length = files::whole_lines(&mut file)?;
        if length == 0 {
            // A new file lasts only as long as the directories that name it: day, month, year and root.
            for directory in path.ancestors().skip(1).take(4) {
                File::open(directory)?.sync_all()?;
            }
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            length,
        })
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.length = length;
        self.file.set_len(length)
    }

    /// Appends whole lines with one write. What a failure leaves behind is cut off at the next opening.
    fn append(&mut self, lines: &[u8], disk: &dyn Disk) -> io::Result<()> {
        let (ours, theirs) = (self.file.metadata()?, fs::symlink_metadata(&self.path)?);
        if (ours.dev(), ours.ino()) != (theirs.dev(), theirs.ino()) {
            return Err(io::Error::other("the file was replaced"));
        }
        if ours.len() != self.length {
            return Err(io::Error::other("the file was changed by somebody else"));
        }
        disk.append(&self.file, lines)?;
        self.length = self.length.saturating_add(lines.len() as u64);
        Ok(())
    }
}

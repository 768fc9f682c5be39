//! The files of the trail: `YYYY/MM/DD/HH-{kind}.jsonl` in UTC (R202), mode 0600 in directories of mode 0700, compressed
//! after their hour (R206, C11) and removed after the retention period (R207). Age is read from the path and never from
//! the file's times, which anybody may change.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use time::{Date, Month};

use super::event::Kind;
use crate::clock::Timestamp;

/// The longest line that a reader takes in; the schema's own limits lie far below.
pub(in crate::audit) const MAX_LINE: usize = 256 * 1024;

const HEAD: &str = "chain-head.json";
const LOCK: &str = ".lock";
/// A process that is about to become another program holds the locks of its parent for a moment.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(50);
/// Several times as much as the writer keeps between two flushes.
const MAX_TAIL: u64 = 8 * 1024 * 1024;
/// Between two parts of this size a compression can be stopped.
const COMPRESSED_AT_ONCE: usize = 256 * 1024;
const MILLIS_PER_HOUR: i64 = 3_600_000;

/// One hour of the trail, counted from the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hour(i64);

impl Hour {
    /// The hour that a moment lies in.
    pub const fn of(at: Timestamp) -> Self {
        Self(at.millis().div_euclid(MILLIS_PER_HOUR))
    }

    /// The hour after this one.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The moment at which it begins.
    pub const fn start(self) -> Timestamp {
        Timestamp::from_millis(self.0.saturating_mul(MILLIS_PER_HOUR))
    }

    /// Its day.
    pub fn date(self) -> Date {
        self.start().utc().date()
    }

    /// Its place in the day, 0 to 23.
    pub fn of_day(self) -> u8 {
        self.start().utc().hour()
    }

    /// `2025/01/28/10`, as it stands in paths and in checkpoints.
    pub fn path(self) -> String {
        let at = self.start().utc();
        format!(
            "{:04}/{:02}/{:02}/{:02}",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour()
        )
    }

    /// The file of one kind.
    pub fn file(self, root: &Path, kind: Kind) -> PathBuf {
        root.join(format!("{}-{}.jsonl", self.path(), kind.name()))
    }
}

/// `….jsonl.gz` beside `….jsonl`.
pub(in crate::audit) fn compressed(plain: &Path) -> PathBuf {
    with_suffix(plain, ".gz")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Makes a directory and its parents, for the owner alone.
pub(in crate::audit) fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Takes the directory for this process. The lock ends with the file that is handed out.
pub(in crate::audit) fn lock(root: &Path) -> io::Result<Option<File>> {
    let file = private()
        .create(true)
        .truncate(false)
        .open(root.join(LOCK))?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(None)
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// Replaces the signed head: written aside, made durable, then renamed.
pub(in crate::audit) fn write_head(root: &Path, json: &str) -> io::Result<()> {
    let path = root.join(HEAD);
    replace(&path, |file| writeln!(file, "{json}"))
}

/// The signed head, if there is one.
pub(in crate::audit) fn read_head(root: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(root.join(HEAD)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn replace(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let aside = with_suffix(path, ".tmp");
    let mut file = private().create(true).truncate(true).open(&aside)?;
    fill(&mut file)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// The length of a file up to its last line break: what follows it was torn by a crash.
pub(in crate::audit) fn whole_lines(file: &mut File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let (start, tail) = end_of(file, length)?;
    let last = tail.iter().rposition(|byte| *byte == b'\n');
    Ok(last.map_or(start, |at| start.saturating_add(at as u64 + 1)))
}

/// Cuts off what a crash has torn at the end of a plain file, and says how many bytes that were.
pub(in crate::audit) fn heal(root: &Path, hour: Hour, kind: Kind) -> io::Result<u64> {
    let path = hour.file(root, kind);
    if !fs::symlink_metadata(&path).is_ok_and(|found| found.file_type().is_file()) {
        return Ok(0);
    }
    let mut file = private().open(&path)?;
    let (length, whole) = (file.metadata()?.len(), whole_lines(&mut file)?);
    if whole < length {
        file.set_len(whole)?;
        file.sync_all()?;
    }
    Ok(length.saturating_sub(whole))
}

/// The end of a kind's plain file in an hour, in which lie all lines that may not have been flushed.
pub(in crate::audit) fn tail(root: &Path, hour: Hour, kind: Kind) -> io::Result<Vec<u8>> {
    let mut file = match File::open(hour.file(root, kind)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MAX_TAIL)))?;
    let mut tail = Vec::new();
    file.take(MAX_TAIL).read_to_end(&mut tail)?;
    Ok(tail)
}

/// Which directory this is, whatever it is called.
pub(in crate::audit) fn identity(root: &Path) -> io::Result<(u64, u64)> {
    let found = fs::metadata(root)?;
    Ok((found.dev(), found.ino()))
}

/// The last part of a file, long enough to hold two lines, and where it begins.
fn end_of(file: &mut File, length: u64) -> io::Result<(u64, Vec<u8>)> {
    let start = length.saturating_sub(2 * MAX_LINE as u64);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    file.take(2 * MAX_LINE as u64).read_to_end(&mut tail)?;
    Ok((start, tail))
}

/// The last whole line of a kind's file in an hour.
pub(in crate::audit) fn last_line(
    root: &Path,
    hour: Hour,
    kind: Kind,
) -> io::Result<Option<Vec<u8>>> {
    let plain = hour.file(root, kind);
    if let Ok(mut file) = File::open(&plain) {
        let length = file.metadata()?.len();
        let (_, tail) = end_of(&mut file, length)?;
        let whole = tail
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let lines = tail.get(..whole).unwrap_or_default();
        let last = lines
            .split(|byte| *byte == b'\n')
            .rfind(|line| !line.is_empty());
        return Ok(last.map(<[u8]>::to_vec));
    }
    let mut last = None;
    if let Some(mut lines) = open(root, hour, kind)? {
        while let Some(line) = lines.next_line()? {
            last = Some(line);
        }
    }
    Ok(last)
}

/// Whether any file of this hour was already compressed: then the hour is closed for good.
pub(in crate::audit) fn is_closed(root: &Path, hour: Hour) -> bool {
    Kind::ALL
        .into_iter()
        .any(|kind| compressed(&hour.file(root, kind)).exists())
}

/// The lines of one file, plain or compressed.
pub(in crate::audit) struct Lines(Box<dyn BufRead>);

impl Lines {
    /// The next line without its break. A line that is too long is cut, and so fails every check.
    pub(in crate::audit) fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let read = (&mut self.0)
            .take(MAX_LINE as u64)
            .read_until(b'\n', &mut line)?;
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        Ok((read > 0).then_some(line))
    }
}

/// Opens the file of a kind in an hour. The plain one wins: beside it, a compressed one is the rest of a crash.
pub(in crate::audit) fn open(root: &Path, hour: Hour, kind: Kind) -> io::Result<Option<Lines>> {
    let plain = hour.file(root, kind);
    match File::open(&plain) {
        Ok(file) => return Ok(Some(Lines(Box::new(BufReader::new(file))))),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Err(_) => {}
    }
    match File::open(compressed(&plain)) {
        Ok(file) => Ok(Some(Lines(Box::new(BufReader::new(MultiGzDecoder::new(
            file,
        )))))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Every hour that has files, rising. Names that are not ours are passed over; links are not followed.
pub(in crate::audit) fn hours(root: &Path) -> io::Result<Vec<Hour>> {
    let mut hours = Vec::new();
    for year in numbered(root, 4)? {
        for month in numbered(&year.1, 2)? {
            for day in numbered(&month.1, 2)? {
                let date = u8::try_from(month.0)
                    .ok()
                    .and_then(|month| Month::try_from(month).ok())
                    .zip(u8::try_from(day.0).ok())
                    .and_then(|(month, day)| Date::from_calendar_date(year.0, month, day).ok());
                if let Some(date) = date {
                    hours_of(date, &day.1, &mut hours)?;
                }
            }
        }
    }
    hours.sort_unstable();
    hours.dedup();
    Ok(hours)
}

fn hours_of(date: Date, directory: &Path, hours: &mut Vec<Hour>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let Some((hour, rest)) = name.to_str().and_then(|name| name.split_once('-')) else {
            continue;
        };
        let kind = rest
            .strip_suffix(".gz")
            .unwrap_or(rest)
            .strip_suffix(".jsonl");
        let hour = hour
            .parse()
            .ok()
            .filter(|_| hour.len() == 2 && is_number(hour));
        if let Some(hour) = hour.filter(|_| kind.and_then(Kind::parse).is_some())
            && let Ok(time) = time::Time::from_hms(hour, 0, 0)
        {
            let start = date.with_time(time).assume_utc().unix_timestamp();
            hours.push(Hour::of(Timestamp::from_seconds(start)));
        }
    }
    Ok(())
}

fn numbered(directory: &Path, digits: usize) -> io::Result<Vec<(i32, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name
            .to_str()
            .filter(|name| name.len() == digits && is_number(name))
            .and_then(|name| name.parse().ok());
        if let Some(number) = number.filter(|_| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            found.push((number, entry.path()));
        }
    }
    Ok(found)
}

fn is_number(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_digit())
}

/// What the keeper is to do, and when to stop.
pub(in crate::audit) struct Tidying<'a> {
    /// The hour that is being written.
    pub(in crate::audit) current: Hour,
    /// The time that is believed.
    pub(in crate::audit) now: Timestamp,
    pub(in crate::audit) retention: Duration,
    /// Whether the gateway wants to end.
    pub(in crate::audit) stop: &'a dyn Fn() -> bool,
}

/// Removes every hour that ended longer than the retention before now, then compresses every hour before the current one.
/// Removing comes first, since a full disk has no room for a second copy; and one bad file keeps no other from its turn.
///
/// # Errors
/// The first thing that went wrong, after everything else was done.
pub(in crate::audit) fn tidy(root: &Path, work: &Tidying<'_>) -> io::Result<()> {
    let kept = i64::try_from(work.retention.as_millis()).unwrap_or(i64::MAX);
    let oldest = Hour::of(work.now).start().millis().saturating_sub(kept);
    let closed = hours(root)?.into_iter().filter(|hour| *hour < work.current);
    let (over, kept): (Vec<_>, Vec<_>) =
        closed.partition(|hour| hour.next().start().millis() <= oldest);
    let mut outcome = Ok(());
    for hour in over {
        for kind in Kind::ALL {
            let plain = hour.file(root, kind);
            let packed = compressed(&plain);
            for file in [&plain, &packed, &with_suffix(&packed, ".tmp")] {
                outcome = outcome.and(remove(file));
            }
        }
        prune(root, &hour.file(root, Kind::Auth));
    }
    let kinds = |hour: Hour| Kind::ALL.map(|kind| hour.file(root, kind));
    for plain in kept.into_iter().flat_map(kinds) {
        if (work.stop)() {
            return outcome;
        }
        if plain.exists() {
            outcome = outcome.and(compress(&plain, work.stop));
        }
        outcome = outcome.and(remove(&with_suffix(&compressed(&plain), ".tmp")));
    }
    outcome
}

/// `.jsonl` to `.jsonl.gz` in steps of which each leaves a whole file behind (R206).
fn compress(plain: &Path, stop: &dyn Fn() -> bool) -> io::Result<()> {
    let mut source = File::open(plain)?;
    replace(&compressed(plain), |file| {
        let mut encoder = GzEncoder::new(file, Compression::default());
        let mut part = vec![0; COMPRESSED_AT_ONCE];
        loop {
            let read = source.read(&mut part)?;
            if stop() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            match part.get(..read) {
                Some(part) if read > 0 => encoder.write_all(part)?,
                _ => break,
            }
        }
        encoder.finish().map(|_| ())
    })?;
    remove(plain)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes the directories that became empty; one that is not empty refuses, and that is the end.
fn prune(root: &Path, file: &Path) {
    for directory in file.ancestors().skip(1).take_while(|path| *path != root) {
        if fs::remove_dir(directory).is_err() {
            return;
        }
    }
}

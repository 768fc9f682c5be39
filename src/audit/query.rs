//! Finds lines in plain and compressed files alike (R208): by date and hour, user, severity, status and kind, in the
//! order in which they were written.

use std::io::{self, Write};
use std::path::Path;

use time::Date;
use time::macros::format_description;

use super::event::{Event, Kind, Outcome, Severity};
use super::files;
use super::reader::{Fields, HourLines};

/// What is looked for; every field that is set must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The day, in UTC.
    pub date: Option<Date>,
    /// The hour of the day, 0 to 23.
    pub hour: Option<u8>,
    /// The user; `user_12345` and `12345` are the same.
    pub user: Option<String>,
    /// This severity or a higher one (R283).
    pub severity: Option<Severity>,
    /// How it ended.
    pub status: Option<Outcome>,
    /// Whatever failed or is of high severity: the first question after an incident (R304).
    pub notable: bool,
    /// The kind of file.
    pub kind: Option<Kind>,
    /// The request.
    pub request_id: Option<String>,
    /// Show the chain's own checkpoints too.
    pub checkpoints: bool,
}

/// How lines are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// As they stand in the files.
    #[default]
    Lines,
    /// Timestamp, action and status, separated by tabs (R303).
    Timeline,
}

/// Reads `2025-01-28`.
pub fn parse_date(text: &str) -> Option<Date> {
    Date::parse(text, format_description!("[year]-[month]-[day]")).ok()
}

/// Writes the lines that match and says how many there were.
///
/// # Errors
/// When a file cannot be read or `out` cannot be written.
pub fn query(root: &Path, filter: &Filter, view: View, out: &mut impl Write) -> io::Result<u64> {
    let kinds = filter
        .kind
        .map_or_else(|| Kind::ALL.to_vec(), |kind| vec![kind]);
    let mut found = 0;
    for hour in files::hours(root)? {
        if filter.date.is_some_and(|date| date != hour.date())
            || filter.hour.is_some_and(|of_day| of_day != hour.of_day())
        {
            continue;
        }
        let mut lines = HourLines::open(root, hour, &kinds)?;
        while let Some(entry) = lines.next_entry()? {
            let Some(fields) = entry
                .fields
                .as_ref()
                .filter(|fields| filter.matches(fields))
            else {
                continue;
            };
            match view {
                View::Lines => {
                    out.write_all(&entry.bytes)?;
                    out.write_all(b"\n")?;
                }
                View::Timeline => writeln!(
                    out,
                    "{}\t{}\t{}",
                    fields.timestamp, fields.action, fields.status
                )?,
            }
            found += 1;
        }
    }
    Ok(found)
}

impl Filter {
    fn matches(&self, fields: &Fields) -> bool {
        let severity = Severity::parse(&fields.severity).unwrap_or(Severity::Critical);
        let is_user = |user: &String| {
            let bare = |id: &str| id.strip_prefix("user_").unwrap_or(id).to_owned();
            fields
                .user_id
                .as_deref()
                .is_some_and(|id| bare(id) == bare(user))
        };
        let is_error = fields.status == Outcome::Error.name();
        (self.checkpoints || fields.event_type != Event::Checkpoint.name())
            && self.user.as_ref().is_none_or(is_user)
            && self.severity.is_none_or(|least| severity >= least)
            && self
                .status
                .is_none_or(|status| status.name() == fields.status)
            && (!self.notable || is_error || severity >= Severity::High)
            && self
                .request_id
                .as_ref()
                .is_none_or(|id| *id == fields.request_id)
    }
}

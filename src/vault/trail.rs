//! The lines that the vault leaves: one for each value that is opened from the store, with its user and its name and never
//! with anything of it (R296); one that wakes somebody for each record that was tampered with; one for each replaced key.

use crate::audit::{Event, Record, Sink, Slot};
use crate::clock::Clock;
use crate::random;

use super::error::VaultError;
use super::seal::KeyId;

/// The vault's hand on the audit trail.
#[derive(Debug)]
pub(in crate::vault) struct Trail {
    sink: Sink,
    clock: Clock,
}

/// A promised line about one value.
pub(in crate::vault) struct Line<'t> {
    slot: Slot,
    record: Record,
    trail: &'t Trail,
    begun: std::time::Instant,
}

impl Trail {
    pub(in crate::vault) const fn new(sink: Sink, clock: Clock) -> Self {
        Self { sink, clock }
    }

    /// Promises the line of an opening, before the opening.
    pub(in crate::vault) fn opening(
        &self,
        request: Option<&str>,
        user: &str,
        name: &str,
    ) -> Result<Line<'_>, VaultError> {
        let slot = self.sink.reserve()?;
        let mut record = self.record(Event::ApiKeyDecrypted, request);
        record.user(user).detail("name", name);
        Ok(Line {
            slot,
            record,
            trail: self,
            begun: self.clock.monotonic(),
        })
    }

    /// Writes down that a record cannot be opened for a reason that lies in the record; an unreachable store leaves no line
    /// for each attempt.
    pub(in crate::vault) fn damaged(
        &self,
        request: Option<&str>,
        user: &str,
        name: &str,
        error: &VaultError,
    ) {
        if let VaultError::Tampered { .. } | VaultError::WrongKey { .. } = error
            && let Ok(line) = self.opening(request, user, name)
        {
            line.failed(error);
        }
    }

    /// Whether a line could be promised now.
    pub(in crate::vault) fn ready(&self) -> Result<(), VaultError> {
        Ok(self.sink.ready()?)
    }

    /// Promises the line of a deed, before the deed.
    pub(in crate::vault) fn promise(&self) -> Result<Slot, VaultError> {
        Ok(self.sink.reserve()?)
    }

    /// Writes down that keys were replaced.
    pub(in crate::vault) fn rotated(
        &self,
        slot: Slot,
        (action, key): (&'static str, KeyId),
        facts: &[(&str, u64)],
    ) {
        let mut record = self.record(Event::KeyRotated, None);
        record.action(action).detail("key_version", key.to_string());
        for (name, count) in facts {
            record.detail(name, *count);
        }
        slot.write(record);
    }

    /// Writes down that secrets came in from another store.
    pub(in crate::vault) fn imported(&self, slot: Slot, secrets: u64) {
        let mut record = self.record(Event::AdminAction, None);
        record.action("vault_import").detail("imported", secrets);
        slot.write(record);
    }

    fn record(&self, event: Event, request: Option<&str>) -> Record {
        let made =
            || random::hex::<8>().map_or_else(|_| "vault".into(), |id| format!("vault-{id}"));
        let request = request.map_or_else(made, ToOwned::to_owned);
        Record::new(event, self.clock.now(), &request)
    }
}

impl Line<'_> {
    /// It was opened.
    pub(in crate::vault) fn opened(mut self, key: &str) {
        self.record.detail("key_version", key);
        self.write();
    }

    /// It was not.
    pub(in crate::vault) fn failed(mut self, error: &VaultError) {
        let (code, severity) = error.audit();
        if matches!(error, VaultError::Tampered { .. }) {
            self.record.event(Event::SuspiciousActivity);
        }
        self.record.action(code).severity(severity);
        self.record.failed(code, &error.to_string());
        tracing::error!(code, %error, "a stored credential was not opened");
        self.write();
    }

    fn write(mut self) {
        let clock = &self.trail.clock;
        let took = clock.monotonic().duration_since(self.begun);
        self.record.finished(clock.now(), took);
        self.slot.write(self.record);
    }
}

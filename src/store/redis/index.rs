//! The index of each table's ids, by which scans find records in order. [`super::scripts`] says why it can be relied on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ::redis::pipe;

use super::link::Link;
use super::scripts::{ENTER, LEASE_MS, SETTLE, SUSPECT, WRITE_WITHIN_MS};
use crate::store::{StoreError, Table};

/// Ids that one step of a scan reads.
pub(super) const PAGE: usize = 100;

#[derive(Clone, Debug)]
pub(super) struct Index {
    link: Link,
    namespace: Arc<str>,
    /// One clean-up at a time is enough.
    is_cleaning: Arc<AtomicBool>,
}

impl Index {
    pub(super) fn new(link: Link, namespace: &str) -> Self {
        Self {
            link,
            namespace: namespace.into(),
            is_cleaning: Arc::default(),
        }
    }

    /// The key of a record. The braces are the part that a cluster hashes.
    pub(super) fn record(&self, table: Table, id: &str) -> String {
        format!("{}:{{{table}/{id}}}", self.namespace)
    }

    fn ids(&self, table: Table) -> String {
        format!("{}:index:{{{table}}}:ids", self.namespace)
    }

    fn due(&self, table: Table) -> String {
        format!("{}:index:{{{table}}}:due", self.namespace)
    }

    /// Enters an id, and yields until when its record may be written. Looks after ids that are due, a few each time, so
    /// that ids without records never become many.
    pub(super) async fn enter(
        &self,
        table: Table,
        id: &str,
        forget_after: &str,
    ) -> Result<String, StoreError> {
        let mut enter = ENTER.prepare_invoke();
        enter.key(self.ids(table)).key(self.due(table));
        enter.arg(id).arg(forget_after);
        enter.arg(LEASE_MS).arg(WRITE_WITHIN_MS);
        let (write_before, due): (String, Vec<(String, String)>) = self.link.run(&enter).await?;
        if !due.is_empty() && !self.is_cleaning.swap(true, Ordering::AcqRel) {
            let index = self.clone();
            tokio::spawn(async move {
                if let Err(error) = index.settle(table, due).await {
                    tracing::debug!(%error, "the index of the store is not cleaned");
                }
                index.is_cleaning.store(false, Ordering::Release);
            });
        }
        Ok(write_before)
    }

    pub(super) async fn settle(
        &self,
        table: Table,
        due: Vec<(String, String)>,
    ) -> Result<(), StoreError> {
        for (id, seen) in due {
            let mut left = pipe();
            left.pttl(self.record(table, &id));
            let (left,): (i64,) = self.link.read(&left).await?;
            let mut settle = SETTLE.prepare_invoke();
            settle.key(self.ids(table)).key(self.due(table));
            settle.arg(id).arg(seen).arg(left).arg(LEASE_MS);
            let _: i64 = self.link.run(&settle).await?;
        }
        Ok(())
    }

    /// Ids from `from` on, as Redis writes bounds of a range.
    pub(super) async fn page(
        &self,
        table: Table,
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let mut page = pipe();
        page.cmd("ZRANGEBYLEX").arg(self.ids(table)).arg(from);
        page.arg("+").arg("LIMIT").arg(0).arg(limit.min(PAGE));
        let (ids,): (Vec<String>,) = self.link.read(&page).await?;
        Ok(ids)
    }

    /// Notes that these ids were found without a record. Nobody waits for it, and it may fail.
    pub(super) fn suspect(&self, table: Table, ids: Vec<String>) {
        if ids.is_empty() {
            return;
        }
        let index = self.clone();
        tokio::spawn(async move {
            let mut suspect = SUSPECT.prepare_invoke();
            suspect.key(index.due(table)).arg(LEASE_MS).arg(ids);
            let _: Result<i64, _> = index.link.run(&suspect).await;
        });
    }
}

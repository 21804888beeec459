//! Reads all images on a few threads, each of which takes the next one that nobody has taken.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, Scope};

use super::picture::{Finding, check};
use super::{Checked, ListedSample};
use crate::descriptor::PictureFormat;
use crate::error::DataError;

/// The findings in the order of `entries`; `None` for those not read when `observe` broke.
pub(super) fn read_all(
    entries: &[ListedSample],
    format: PictureFormat,
    threads: usize,
    mut observe: impl FnMut(Checked) -> ControlFlow<()>,
) -> Result<Vec<Option<Finding>>, DataError> {
    if threads == 0 {
        return Err(DataError::setting("threads", threads, "use 1 or more"));
    }
    let mut findings: Vec<Option<Finding>> = entries.iter().map(|_| None).collect();
    let work = ReadingQueue { entries, format, next: AtomicUsize::new(0) };
    let total = entries.len();
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel(threads);
        for _ in 0..threads.min(total) {
            work.spawn(scope, sender.clone(), threads)?;
        }
        drop(sender);
        // Leaving the loop closes the channel, and the threads end with the image at hand.
        for (before, (index, finding)) in receiver.into_iter().enumerate() {
            if let Some(place) = findings.get_mut(index) {
                *place = Some(finding);
            }
            if observe(Checked { done: before + 1, total }).is_break() {
                break;
            }
        }
        Ok::<(), DataError>(())
    })?;
    Ok(findings)
}

struct ReadingQueue<'a> {
    entries: &'a [ListedSample],
    format: PictureFormat,
    next: AtomicUsize,
}

impl ReadingQueue<'_> {
    fn spawn<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        findings: SyncSender<(usize, Finding)>,
        threads: usize,
    ) -> Result<(), DataError> {
        let started = thread::Builder::new().spawn_scoped(scope, move || self.run(&findings));
        let refused =
            |_| DataError::setting("threads", threads, "the system starts fewer; use fewer");
        started.map(drop).map_err(refused)
    }

    fn run(&self, findings: &SyncSender<(usize, Finding)>) {
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(entry) = self.entries.get(index) else { return };
            if findings.send((index, check(entry, self.format))).is_err() {
                return;
            }
        }
    }
}

//! Work on a few threads, each of which takes the next job that nobody has taken.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;

use moeclip_data::DataError;

/// How far the drawing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// Pictures drawn.
    pub done: usize,
    /// Pictures in all.
    pub total: usize,
}

/// The results in the order of the jobs; `None` when `observe` broke. The first error ends the work.
pub(super) fn run<J: Sync, R: Send>(
    jobs: &[J],
    threads: usize,
    work: impl Fn(&J) -> Result<R, DataError> + Sync,
    mut observe: impl FnMut(Drawn) -> ControlFlow<()>,
) -> Result<Option<Vec<R>>, DataError> {
    if threads == 0 {
        return Err(DataError::setting("threads", threads, "use 1 or more"));
    }
    let mut results: Vec<Option<R>> = jobs.iter().map(|_| None).collect();
    let next = AtomicUsize::new(0);
    let total = jobs.len();
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel(threads);
        for _ in 0..threads.min(total) {
            let (sender, next, work) = (sender.clone(), &next, &work);
            let take = move || loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(job) = jobs.get(index) else { return };
                if sender.send((index, work(job))).is_err() {
                    return;
                }
            };
            let started = thread::Builder::new().spawn_scoped(scope, take);
            let remedy = "the system starts fewer; use fewer";
            started.map_err(|_| DataError::setting("threads", threads, remedy))?;
        }
        drop(sender);
        // Leaving the loop closes the channel, and the threads end with the picture at hand.
        for (before, (index, result)) in receiver.into_iter().enumerate() {
            if let Some(place) = results.get_mut(index) {
                *place = Some(result?);
            }
            if observe(Drawn { done: before + 1, total }).is_break() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
    .map(|whole| whole.and_then(|()| results.into_iter().collect()))
}

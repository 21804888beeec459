//! Batches in a fixed order, decoded ahead on threads with bounded queues.
//!
//! Worker `w` of `n` decodes batches `w`, `w + n`, ... into a queue of its own, and the consumer
//! takes from the queues in turn: the order needs no sorting and does not depend on `n`. Tensors
//! are made on the consumer's thread. Dropping the iterator closes the queues, and the workers end
//! with the batch at hand.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use burn::tensor::backend::Backend;

use crate::batch::{Batch, Collated};
use crate::dataset::ImageDataset;
use crate::error::DataError;

type Loaded = Result<Collated, DataError>;

/// How batches are cut and read ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoaderOptions {
    /// Samples in a batch; the last batch may have fewer.
    pub batch_size: usize,
    /// Decoding threads.
    pub workers: usize,
    /// Decoded batches that may wait in each worker's queue; one more per worker is being decoded.
    pub queue: usize,
    /// The batch of the epoch to start with; those before it are not decoded.
    pub start_at: usize,
}

impl LoaderOptions {
    /// One worker, one batch ahead, from the start.
    pub fn new(batch_size: usize) -> Self {
        Self { batch_size, workers: 1, queue: 1, start_at: 0 }
    }

    /// The same, taking an epoch up again at batch `start_at`.
    pub fn start_at(self, start_at: usize) -> Self {
        Self { start_at, ..self }
    }

    fn validate(&self) -> Result<(), DataError> {
        for (key, value) in [("batch_size", self.batch_size), ("workers", self.workers)] {
            if value == 0 {
                return Err(DataError::setting(key, value, "use 1 or more"));
            }
        }
        Ok(())
    }
}

/// Iterator over the batches of one pass through a dataset. A batch with an unreadable sample is an
/// error that names the file.
pub struct Batches<B: Backend> {
    queues: Vec<Receiver<Loaded>>,
    remaining: Range<usize>,
    first: usize,
    device: B::Device,
}

impl<B: Backend> Batches<B> {
    /// Starts reading `dataset` in the given order of indices, as [`crate::epoch_order`] makes it.
    ///
    /// # Errors
    /// [`DataError::Setting`] when an option is zero or `start_at` is past the last batch.
    pub fn start(
        dataset: &ImageDataset,
        order: Vec<usize>,
        options: LoaderOptions,
        device: B::Device,
    ) -> Result<Self, DataError> {
        options.validate()?;
        let batches = order.len().div_ceil(options.batch_size);
        if options.start_at > batches {
            let remedy = "the epoch has fewer batches; start at one of them";
            return Err(DataError::setting("start_at", options.start_at, remedy));
        }
        let order: Arc<[usize]> = order.into();
        let workers = options.workers.min(batches - options.start_at);
        let mut queues = Vec::with_capacity(workers);
        for worker in 0..workers {
            let (sender, receiver) = sync_channel(options.queue);
            let indices = Arc::clone(&order);
            let mine = (options.start_at + worker..batches).step_by(workers);
            let dataset = dataset.clone();
            let work = move || decode_ahead(&dataset, &indices, options.batch_size, mine, &sender);
            spawn(worker, work)?;
            queues.push(receiver);
        }
        Ok(Self { queues, remaining: options.start_at..batches, first: options.start_at, device })
    }

    fn receive(&self, batch: usize) -> Result<Loaded, DataError> {
        let turn = (batch - self.first) % self.queues.len().max(1);
        let queue = self.queues.get(turn).map(Receiver::recv);
        queue
            .and_then(Result::ok)
            .ok_or_else(|| DataError::Worker { batch, reason: "it panicked while decoding".into() })
    }
}

impl<B: Backend> Iterator for Batches<B> {
    type Item = Result<Batch<B>, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.remaining.next()?;
        let loaded = self.receive(batch);
        if loaded.is_err() {
            self.remaining = batch..batch;
        }
        Some(loaded.flatten().map(|batch| batch.into_batch(&self.device)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.remaining.size_hint()
    }
}

impl<B: Backend> ExactSizeIterator for Batches<B> {}

fn spawn(worker: usize, work: impl FnOnce() + Send + 'static) -> Result<(), DataError> {
    let thread = thread::Builder::new().name(format!("decode-{worker}"));
    thread
        .spawn(work)
        .map(drop)
        .map_err(|e| DataError::Worker { batch: worker, reason: e.to_string() })
}

/// Decodes the batches of one worker until all are sent or nobody listens any more.
fn decode_ahead(
    dataset: &ImageDataset,
    order: &[usize],
    batch_size: usize,
    batches: impl Iterator<Item = usize>,
    sender: &SyncSender<Loaded>,
) {
    for batch in batches {
        let indices = order.chunks(batch_size).nth(batch).unwrap_or_default();
        if sender.send(dataset.collate(indices)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;

    use super::*;

    #[test]
    fn a_worker_that_stopped_is_one_error_and_the_end() {
        let (_, closed) = sync_channel::<Loaded>(1);
        let device = Default::default();
        let mut batches =
            Batches::<Flex> { queues: vec![closed], remaining: 4..9, first: 4, device };
        let error = batches.next().map(|batch| batch.map(drop).unwrap_err().to_string());
        assert!(error.is_some_and(|text| text.starts_with("batch 4: its decoding thread stopped")));
        assert!(batches.next().is_none());
    }
}

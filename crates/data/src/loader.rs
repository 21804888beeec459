//! Batches in a fixed order, decoded ahead on threads.
//!
//! Worker `w` of `n` decodes batches `w`, `w + n`, ... and the consumer takes from the workers in
//! turn: the order needs no sorting and does not depend on `n`. The consumer hands out one batch more
//! for each that it takes, which bounds what is decoded ahead; dropping it leaves the workers without
//! work, and they end with the batch at hand.
//!
//! Tensors are made on the consumer's thread, and so is the memory they lie in: what a thread gave
//! back it gets again, where memory of another thread's goes back to the system and is cleared anew.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
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
    plan: BatchPlan,
    workers: Vec<Worker>,
    /// Batches that no worker has been given yet.
    waiting: Range<usize>,
    /// Batches that have not been taken yet.
    remaining: Range<usize>,
    first: usize,
    device: B::Device,
}

/// Which samples make which batch.
#[derive(Clone)]
struct BatchPlan {
    order: Arc<[usize]>,
    batch_size: usize,
    image_size: usize,
}

/// A decoding thread.
struct Worker {
    jobs: Sender<BatchJob>,
    loaded: Receiver<Loaded>,
}

/// A batch to decode, and the memory for it.
struct BatchJob {
    batch: usize,
    into: Collated,
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
        let (batches, first) = (order.len().div_ceil(options.batch_size), options.start_at);
        if first > batches {
            let remedy = "the epoch has fewer batches; start at one of them";
            return Err(DataError::setting("start_at", first, remedy));
        }
        let image_size = dataset.image_size();
        let plan = BatchPlan { order: order.into(), batch_size: options.batch_size, image_size };
        let workers = (0..options.workers.min(batches - first))
            .map(|worker| Worker::start(worker, dataset.clone(), plan.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        let ahead = workers.len() * (options.queue + 1);
        let (waiting, remaining) = (first..batches, first..batches);
        let mut batches = Self { plan, workers, waiting, remaining, first, device };
        (0..ahead).for_each(|_| batches.hand_out());
        Ok(batches)
    }

    /// Gives the next batch to the worker whose turn it is. One that stopped is noticed when the batch
    /// is to be taken.
    fn hand_out(&mut self) {
        if let Some(batch) = self.waiting.next() {
            let into = Collated::new(self.plan.indices(batch).len(), self.plan.image_size);
            if let Some(worker) = self.worker(batch) {
                worker.jobs.send(BatchJob { batch, into }).ok();
            }
        }
    }

    fn receive(&self, batch: usize) -> Result<Loaded, DataError> {
        self.worker(batch)
            .and_then(|worker| worker.loaded.recv().ok())
            .ok_or_else(|| DataError::Worker { batch, reason: "it panicked while decoding".into() })
    }

    fn worker(&self, batch: usize) -> Option<&Worker> {
        self.workers.get((batch - self.first) % self.workers.len().max(1))
    }
}

impl<B: Backend> Iterator for Batches<B> {
    type Item = Result<Batch<B>, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.remaining.next()?;
        let loaded = self.receive(batch);
        match loaded {
            Ok(_) => self.hand_out(),
            Err(_) => self.remaining = batch..batch,
        }
        Some(loaded.flatten().map(|batch| batch.into_batch(&self.device)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.remaining.size_hint()
    }
}

impl<B: Backend> ExactSizeIterator for Batches<B> {}

impl BatchPlan {
    fn indices(&self, batch: usize) -> &[usize] {
        self.order.chunks(self.batch_size).nth(batch).unwrap_or_default()
    }
}

impl Worker {
    fn start(worker: usize, dataset: ImageDataset, plan: BatchPlan) -> Result<Self, DataError> {
        let (jobs, received) = channel::<BatchJob>();
        let (sender, loaded) = channel();
        let work = move || {
            for BatchJob { batch, into } in received {
                if sender.send(dataset.collate(plan.indices(batch), into)).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name(format!("decode-{worker}"));
        match thread.spawn(work) {
            Ok(_) => Ok(Self { jobs, loaded }),
            Err(error) => Err(DataError::Worker { batch: worker, reason: error.to_string() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;

    use super::*;

    #[test]
    fn a_worker_that_stopped_is_one_error_and_the_end() {
        let ((jobs, _), (_, loaded)) = (channel(), channel());
        let plan = BatchPlan { order: [0; 9].into(), batch_size: 1, image_size: 1 };
        let mut batches = Batches::<Flex> {
            plan,
            workers: vec![Worker { jobs, loaded }],
            waiting: 4..9,
            remaining: 4..9,
            first: 4,
            device: Default::default(),
        };
        let error = batches.next().map(|batch| batch.map(drop).unwrap_err().to_string());
        assert!(error.is_some_and(|text| text.starts_with("batch 4: its decoding thread stopped")));
        assert!(batches.next().is_none());
    }
}

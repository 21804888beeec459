//! Processes side by side: each takes a dataset and a method, and the next when it is done. The folder is
//! theirs and nobody else's meanwhile.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use whole_file::{FolderLock, LockError};

use super::BenchRequest;
use super::measure::MeasuredImage;
use super::plan::{BenchPlan, DatasetCopy, Task};
use crate::backends::DeviceChoice;
use crate::child::{Child, ChildJob, ChildLine, Launcher, Trouble};
use crate::error::{Context, refuse};
use crate::{Cancellation, InspectError, Warning, Watcher, WorkKind};

/// The variable that says how many threads a process computes with.
const THREADS: &str = "RAYON_NUM_THREADS";

/// What came of the work.
#[derive(Default)]
pub(crate) struct Worked {
    pub(crate) failed: Vec<FailedPiece>,
    /// Images that there were to measure.
    pub(crate) images: usize,
    /// Seconds on the clock.
    pub(crate) seconds: f64,
}

/// A dataset and a method that could not be measured.
pub(crate) struct FailedPiece {
    pub(crate) dataset: usize,
    pub(crate) method: usize,
    pub(crate) reason: String,
}

/// A dataset and a method with images left.
#[derive(Clone, Copy)]
struct WorkPiece {
    dataset: usize,
    method: usize,
    left: usize,
}

/// What workers tell.
enum News {
    Image { of: WorkPiece },
    Failed(FailedPiece),
}

/// Measures what is left of the plan; what failed is told, and the rest goes on.
pub(crate) fn run(
    request: &BenchRequest,
    plan: &BenchPlan,
    lock: &FolderLock,
    launcher: &Launcher,
    watch: &mut dyn Watcher,
) -> Result<Worked, InspectError> {
    let (start, pieces) = (Instant::now(), pieces(plan));
    let total = pieces.iter().map(|piece| piece.left).sum();
    if total == 0 {
        return Ok(Worked::default());
    }
    let slots = slots(request, pieces.len());
    let logs = request.out.join("logs");
    std::fs::create_dir_all(&logs)
        .with_context(|| format!("{}: cannot be made", logs.display()))?;
    let threads = threads(&slots);
    let (queue, cancellation) = (Mutex::new(pieces), watch.cancellation());
    let workers = Workers { request, plan, lock, launcher, queue, threads, cancellation };
    let mut failed = Vec::new();
    thread::scope(|scope| {
        let (sender, receiver) = channel();
        for device in slots {
            let (workers, sender) = (&workers, sender.clone());
            scope.spawn(move || workers.work(device, &sender));
        }
        drop(sender);
        watch.begin(WorkKind::Images, total);
        for news in receiver {
            match news {
                News::Image { of } => watch.advance(workers.name(of)),
                News::Failed(one) => failed.push(one),
            }
        }
        watch.end();
    });
    failed.sort_by_key(|one| [one.dataset, one.method]);
    Ok(Worked { failed, images: total, seconds: start.elapsed().as_secs_f64() })
}

/// What is left, the largest first: then no long piece is begun when everybody else is done.
fn pieces(plan: &BenchPlan) -> VecDeque<WorkPiece> {
    let mut pieces = Vec::new();
    for (dataset, planned) in plan.datasets.iter().enumerate() {
        let DatasetCopy::Found(copy) = &planned.copy else { continue };
        for (method, task) in copy.tasks.iter().enumerate() {
            if let Task::Ready(ready) = task {
                pieces.push(WorkPiece { dataset, method, left: copy.left(ready).len() });
            }
        }
    }
    pieces.retain(|piece| piece.left > 0);
    pieces.sort_by_key(|piece| std::cmp::Reverse(piece.left));
    pieces.into()
}

/// The device of each process; no more than there are pieces.
fn slots(request: &BenchRequest, pieces: usize) -> Vec<DeviceChoice> {
    // All devices get one before any gets its second.
    let slots = (0..request.workers).flat_map(|_| request.devices.iter().copied());
    slots.take(pieces).collect()
}

/// Threads for each of several processes on the CPU; `None` where the default is right.
fn threads(slots: &[DeviceChoice]) -> Option<usize> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let sharing = slots.iter().filter(|slot| slot.is_cpu()).count();
    (sharing > 1 && std::env::var_os(THREADS).is_none()).then(|| (cores / sharing).max(1))
}

/// Everything that workers share.
struct Workers<'a> {
    request: &'a BenchRequest,
    plan: &'a BenchPlan,
    lock: &'a FolderLock,
    launcher: &'a Launcher,
    queue: Mutex<VecDeque<WorkPiece>>,
    threads: Option<usize>,
    cancellation: Cancellation,
}

impl Workers<'_> {
    /// One process after the other, until nothing is left.
    fn work(&self, device: DeviceChoice, sender: &Sender<News>) {
        while let Some(piece) = self.next() {
            let tell = |line: ChildLine<'_>| {
                if let ChildLine::Printed(line) = line
                    && serde_json::from_str::<MeasuredImage>(line).is_ok()
                {
                    // The one who listens outlives all workers.
                    let _ = sender.send(News::Image { of: piece });
                }
            };
            let ended = self.child(piece, device).run(self.lock, tell);
            if let Err(Trouble::Failed(failure)) = ended {
                let WorkPiece { dataset, method, .. } = piece;
                let _ = sender.send(News::Failed(FailedPiece {
                    dataset,
                    method,
                    reason: failure.reason,
                }));
            }
        }
    }

    fn next(&self) -> Option<WorkPiece> {
        if self.cancellation.is_asked() {
            return None;
        }
        self.queue.lock().ok()?.pop_front()
    }

    fn child(&self, piece: WorkPiece, device: DeviceChoice) -> Child<'_> {
        let dataset = &self.plan.datasets[piece.dataset].descriptor.name;
        let method = self.plan.methods[piece.method].choice;
        let environment = self.threads.map(|threads| (THREADS, threads.to_string()));
        let job = ChildJob::Bench(BenchRequest {
            methods: vec![method],
            datasets: vec![dataset.clone()],
            devices: vec![device],
            ..self.request.clone()
        });
        Child {
            stage: "measuring",
            launcher: self.launcher,
            job,
            environment: environment.into_iter().collect(),
            log: self.request.out.join("logs").join(format!("{dataset}-{}.txt", method.word())),
            cancellation: self.cancellation.clone(),
        }
    }

    fn name(&self, piece: WorkPiece) -> String {
        let dataset = &self.plan.datasets[piece.dataset].descriptor.name;
        format!("{dataset}, {}", self.plan.methods[piece.method].name())
    }
}

/// How long the processes that a killed run left behind may take to notice: they end with the image
/// at hand.
const PATIENCE: Duration = Duration::from_secs(60);

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Holds the folder. The lock is handed on to every process, so it lasts while any of them is at
/// work, even when this one was killed.
pub(crate) fn hold(out: &Path, watch: &mut dyn Watcher) -> Result<FolderLock, InspectError> {
    let cannot = || format!("{}: cannot be made or written; choose another --out", out.display());
    let start = Instant::now();
    let mut is_told = false;
    loop {
        match FolderLock::hold(out) {
            Err(LockError::Held(_)) => {}
            Err(LockError::Folder { source, .. }) => return Err(source).with_context(cannot),
            Ok(lock) => return Ok(lock),
        }
        if start.elapsed() > PATIENCE || watch.is_cancelled() {
            refuse!(
                "{}: another bench-14 is at work here; wait, or choose another --out",
                out.display()
            );
        }
        if !std::mem::replace(&mut is_told, true) {
            watch.warn(Warning::WaitingForLock);
        }
        sleep(LOOK_EVERY);
    }
}

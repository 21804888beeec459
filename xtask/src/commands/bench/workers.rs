//! Processes side by side: each takes a dataset and a method, and the next when it is done.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Instant;

use anyhow::Context;
use inspect::backends::DeviceChoice;
use whole_file::FolderLock;

use super::measure::Done;
use super::plan::{Plan, Standing, Task};
use super::{BenchArgs, arguments};
use crate::cli::Common;
use crate::commands::child::{Child, Heard, Trouble};
use crate::interrupt;
use crate::progress::Progress;
use crate::system::cores;

/// The variable that says how many threads a process computes with.
const THREADS: &str = "RAYON_NUM_THREADS";

/// What came of the work.
#[derive(Default)]
pub(super) struct Worked {
    pub(super) failed: Vec<Failed>,
    /// Images that there were to measure.
    pub(super) images: usize,
    /// Seconds on the clock.
    pub(super) seconds: f64,
}

/// A dataset and a method that could not be measured.
pub(super) struct Failed {
    pub(super) dataset: usize,
    pub(super) method: usize,
    pub(super) reason: String,
}

/// A dataset and a method with images left.
#[derive(Clone, Copy)]
struct Piece {
    dataset: usize,
    method: usize,
    left: usize,
}

/// What workers tell.
enum News {
    Image { of: Piece },
    Failed(Failed),
}

/// Measures what is left of the plan; what failed is told, and the rest goes on.
pub(super) fn run(
    args: &BenchArgs,
    common: &Common,
    plan: &Plan,
    lock: &FolderLock,
) -> anyhow::Result<Worked> {
    let (start, pieces) = (Instant::now(), pieces(plan));
    let total = pieces.iter().map(|piece| piece.left).sum();
    if total == 0 {
        return Ok(Worked::default());
    }
    let slots = slots(args, common, pieces.len());
    let logs = args.out.join("logs");
    std::fs::create_dir_all(&logs)
        .with_context(|| format!("{}: cannot be made", logs.display()))?;
    let threads = threads(&slots);
    let crew = Crew { args, common, plan, lock, queue: Mutex::new(pieces), threads };
    let mut failed = Vec::new();
    thread::scope(|scope| {
        let (sender, receiver) = channel();
        for device in slots {
            let (crew, sender) = (&crew, sender.clone());
            scope.spawn(move || crew.work(device, &sender));
        }
        drop(sender);
        let mut progress = Progress::new("images", total);
        for news in receiver {
            match news {
                News::Image { of } => progress.advance(crew.name(of)),
                News::Failed(one) => failed.push(one),
            }
        }
        progress.finish();
    });
    failed.sort_by_key(|one| [one.dataset, one.method]);
    Ok(Worked { failed, images: total, seconds: start.elapsed().as_secs_f64() })
}

/// What is left, the largest first: then no long piece is begun when everybody else is done.
fn pieces(plan: &Plan) -> VecDeque<Piece> {
    let mut pieces = Vec::new();
    for (dataset, planned) in plan.datasets.iter().enumerate() {
        let Standing::Found(copy) = &planned.copy else { continue };
        for (method, task) in copy.tasks.iter().enumerate() {
            if let Task::Ready(ready) = task {
                pieces.push(Piece { dataset, method, left: copy.left(ready).len() });
            }
        }
    }
    pieces.retain(|piece| piece.left > 0);
    pieces.sort_by_key(|piece| std::cmp::Reverse(piece.left));
    pieces.into()
}

/// The device of each process; no more than there are pieces.
fn slots(args: &BenchArgs, common: &Common, pieces: usize) -> Vec<DeviceChoice> {
    let devices = args.devices(common);
    // All devices get one before any gets its second.
    let slots = (0..args.workers).flat_map(|_| devices.iter().copied());
    slots.take(pieces).collect()
}

/// Threads for each of several processes on the CPU; `None` where the default is right.
fn threads(slots: &[DeviceChoice]) -> Option<usize> {
    let on_cpu = |slot: &&DeviceChoice| matches!(slot, DeviceChoice::Flex | DeviceChoice::NdArray);
    let sharing = slots.iter().filter(on_cpu).count();
    (sharing > 1 && std::env::var_os(THREADS).is_none()).then(|| (cores() / sharing).max(1))
}

/// Everything that workers share.
struct Crew<'a> {
    args: &'a BenchArgs,
    common: &'a Common,
    plan: &'a Plan,
    lock: &'a FolderLock,
    queue: Mutex<VecDeque<Piece>>,
    threads: Option<usize>,
}

impl Crew<'_> {
    /// One process after the other, until nothing is left.
    fn work(&self, device: DeviceChoice, sender: &Sender<News>) {
        while let Some(piece) = self.next() {
            let tell = |line: &str| {
                if serde_json::from_str::<Done>(line).is_ok() {
                    // The one who listens outlives all workers.
                    let _ = sender.send(News::Image { of: piece });
                }
            };
            let ended = self.child(piece, device).run(self.lock, tell);
            if let Err(Trouble::Failed(failure)) = ended {
                let Piece { dataset, method, .. } = piece;
                let _ =
                    sender.send(News::Failed(Failed { dataset, method, reason: failure.reason }));
            }
        }
    }

    fn next(&self) -> Option<Piece> {
        if interrupt::asked() {
            return None;
        }
        self.queue.lock().ok()?.pop_front()
    }

    fn child(&self, piece: Piece, device: DeviceChoice) -> Child<'static> {
        let dataset = &self.plan.datasets[piece.dataset].descriptor.name;
        let method = self.plan.methods[piece.method].word();
        let environment = self.threads.map(|threads| (THREADS, threads.to_string()));
        Child {
            stage: "measuring",
            arguments: arguments::of(self.args, self.common, dataset, method, device),
            environment: environment.into_iter().collect(),
            log: self.args.out.join("logs").join(format!("{dataset}-{method}.txt")),
            heard: Heard::InLogOnly,
        }
    }

    fn name(&self, piece: Piece) -> String {
        let dataset = &self.plan.datasets[piece.dataset].descriptor.name;
        format!("{dataset}, {}", self.plan.methods[piece.method].name())
    }
}

//! The inspection world: part after part, each of which goes on where it was interrupted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ::small_clip::SmallClip;
use anyhow::{Context, bail};
use clip_vit::Activation;
use conditions::{Condition, Conditions, Purpose};
use inspect::MethodName;
use inspect::backends::{DeviceChoice, run_on};
use moeclip_data::ContentHash;
use moeclip_eval::report::StageTime;
use moeclip_train::logged_steps;
use serde::{Deserialize, Serialize};
use synthetic_world::{Quotas, World};

use super::measure::{self, Measure};
use super::{ClipChoice, clips};
use crate::arguments::{CacheArgs, ClipArgs, ClipShapeArgs, DataOptions, PromptArgs};
use crate::cli::Common;
use crate::commands::datasets::synth::make_world;
use crate::commands::train;
use crate::interrupt;
use crate::output::{write_json, write_whole};

/// How adapters are trained on it.
const CONFIG: &str = include_str!("../../../../configs/demo.toml");

/// Side of the pictures: 14 x 14 patches of a small CLIP.
pub(super) const SIZE: u32 = 112;

/// Steps between two checkpoints of the adapters.
const CHECKPOINT: usize = 100;

/// What can be chosen.
pub(super) struct Settings {
    pub(super) out: PathBuf,
    pub(super) clip: ClipChoice,
    /// Steps of training, where they are not those of [`CONFIG`].
    pub(super) steps: Option<usize>,
    /// Pictures in each category's test split.
    pub(super) per_category: usize,
    pub(super) seed: u64,
}

/// What a folder's files follow from, besides the number of steps, which may grow.
#[derive(Debug, Serialize, Deserialize)]
struct Claim {
    /// The hash of its file, or "random".
    clip: String,
    per_category: usize,
    seed: u64,
    /// What every purpose asks: numbers version, JPEG decoder, kernels. Folders of older programs have
    /// none of it.
    #[serde(flatten)]
    shared: Conditions,
}

impl Claim {
    /// All of it as one value.
    fn conditions(&self) -> Conditions {
        self.shared
            .clone()
            .with(Condition::Clip, &self.clip)
            .with(Condition::PerCategory, &self.per_category)
            .with(Condition::Seed, &self.seed)
            .of(Purpose::Demo)
    }
}

pub(super) fn run(settings: Settings, common: Common) -> anyhow::Result<()> {
    interrupt::listen()?;
    let demo = Demo { settings, common };
    std::fs::create_dir_all(demo.out()).with_context(|| {
        format!("{}: cannot be made; choose another --out", demo.out().display())
    })?;
    demo.claim()?;
    let mut clock = Clock::open(demo.out().join("times.json"));
    clock.time("making the world", || demo.make_world())?;
    demo.write_inputs()?;
    clock.time("training", || demo.train())?;
    let methods = clock.time("measuring", || demo.measure())?;
    demo.report(&methods, &clock)
}

/// The demo's files.
pub(super) struct Demo {
    settings: Settings,
    common: Common,
}

impl Demo {
    fn out(&self) -> &Path {
        &self.settings.out
    }

    fn world(&self) -> PathBuf {
        self.out().join("world")
    }

    pub(super) fn unseen(&self) -> PathBuf {
        self.world().join("test")
    }

    pub(super) fn auxiliary(&self) -> PathBuf {
        self.world().join("auxiliary")
    }

    pub(super) fn clip(&self) -> ClipArgs {
        let activation = match &self.settings.clip {
            ClipChoice::Random => Some(Activation::QuickGelu),
            ClipChoice::Small | ClipChoice::File(_) => None,
        };
        let clip = match &self.settings.clip {
            ClipChoice::File(file) => file.clone(),
            ClipChoice::Small | ClipChoice::Random => self.out().join("clip.safetensors"),
        };
        let shape = ClipShapeArgs { activation, ..ClipShapeArgs::default() };
        ClipArgs { clip, shape, prompting: PromptArgs::default() }
    }

    /// What the CLIP is, in a few words.
    pub(super) fn clip_described(&self) -> String {
        match &self.settings.clip {
            ClipChoice::Small => {
                format!("the program's own small one, SHA-256 {}", clips::small_hash())
            }
            ClipChoice::Random => "random weights, never taught anything".into(),
            ClipChoice::File(file) => {
                let hash = ContentHash::of_file(file).map(|hash| hash.to_string());
                format!(
                    "{}, SHA-256 {}",
                    name_of(file),
                    hash.unwrap_or_else(|error| error.to_string())
                )
            }
        }
    }

    /// The command that makes the same numbers elsewhere.
    pub(super) fn command(&self) -> String {
        let Settings { clip, steps, per_category, seed, .. } = &self.settings;
        let clip = match clip {
            ClipChoice::Small => String::new(),
            ClipChoice::Random => " --clip random".into(),
            ClipChoice::File(file) => format!(" --clip {}", name_of(file)),
        };
        let steps = steps.map(|steps| format!(" --steps {steps}")).unwrap_or_default();
        format!("cargo xtask demo --seed {seed} --per-category {per_category}{steps}{clip}")
    }

    /// How the adapters were trained.
    pub(super) fn training(&self) -> String {
        match self.settings.steps {
            None => "configs/demo.toml".into(),
            Some(steps) => format!("configs/demo.toml, but {steps} steps"),
        }
    }

    pub(super) fn config(&self) -> PathBuf {
        self.out().join("demo.toml")
    }

    pub(super) fn adapter(&self) -> PathBuf {
        self.out().join("adapter.safetensors")
    }

    fn checkpoints(&self) -> PathBuf {
        self.out().join("checkpoints")
    }

    pub(super) fn seed(&self) -> u64 {
        self.settings.seed
    }

    pub(super) fn common(&self) -> &Common {
        &self.common
    }

    fn heading(&self, text: &str) {
        if !self.common.json {
            println!("\n== {text}");
        }
    }

    /// Refuses a folder that another demo works in.
    fn claim(&self) -> anyhow::Result<()> {
        let path = self.out().join("demo.json");
        let Settings { per_category, seed, .. } = self.settings;
        let clip = match &self.settings.clip {
            ClipChoice::Small => clips::small_hash().to_string(),
            ClipChoice::Random => "random".to_owned(),
            ClipChoice::File(file) => ContentHash::of_file(file)?.to_string(),
        };
        let shared = Conditions::here(&self.common.device.to_string());
        let claim = Claim { clip, per_category, seed, shared };
        let Ok(text) = std::fs::read_to_string(&path) else { return write_json(&path, &claim) };
        let Ok(there) = serde_json::from_str::<Claim>(&text) else {
            bail!("{}: is of no demo; give another --out", path.display());
        };
        let (out, Claim { clip, per_category, seed, .. }) = (self.out().display(), &there);
        match there.conditions().first_difference(&claim.conditions()) {
            None => Ok(()),
            Some(difference) if difference.is_of_build() => {
                bail!("{out}: holds a demo of other conditions: {difference} or another --out")
            }
            Some(_) => bail!(
                "{out}: holds a demo of --seed {seed} --per-category {per_category} and the CLIP {}; give \
                 these, or another --out",
                clip.get(..12).unwrap_or(clip)
            ),
        }
    }

    /// All of the world is there, or nothing of it.
    fn make_world(&self) -> anyhow::Result<()> {
        if self.world().exists() {
            return Ok(());
        }
        self.heading("Making an inspection world");
        let world = World::new(self.settings.seed, SIZE)?;
        let quotas = Quotas::per_category(0, self.settings.per_category);
        make_world(&self.world(), &world, &quotas)?.map(drop).context(INTERRUPTED)
    }

    /// CLIP and configuration, so that every command of the demo can be given by hand too.
    fn write_inputs(&self) -> anyhow::Result<()> {
        let clip = self.clip().clip;
        match &self.settings.clip {
            ClipChoice::Small if !clip.exists() => clips::write_small(&clip)?,
            ClipChoice::Random if !clip.exists() => {
                clips::write_random(&clip, &SmallClip::default().spec()?, self.settings.seed)?;
            }
            ClipChoice::Small | ClipChoice::Random | ClipChoice::File(_) => {}
        }
        write_whole(&self.config(), CONFIG)
    }

    /// A small tower keeps one core busy, so a CPU takes batches in two halves beside each other: always in
    /// two, as numbers must not depend on the machine.
    fn devices(&self) -> Vec<DeviceChoice> {
        match self.common.device {
            device @ (DeviceChoice::Flex | DeviceChoice::NdArray) => vec![device; 2],
            DeviceChoice::Wgpu { .. } | DeviceChoice::Cuda { .. } => Vec::new(),
        }
    }

    fn train(&self) -> anyhow::Result<()> {
        self.heading("Training adapters on 14 categories");
        let settings = train::TrainSettings {
            config: Some(self.config()),
            steps: self.settings.steps,
            seed: Some(self.settings.seed),
            ..Default::default()
        };
        let saving = train::CheckpointArgs {
            checkpoints: Some(self.checkpoints()),
            checkpoint_every: Some(CHECKPOINT),
            keep: Some(1),
            resume: true,
            ..Default::default()
        };
        let args = train::TrainArgs {
            clip: self.clip(),
            method: MethodName::default(),
            data: Some(self.auxiliary()),
            options: DataOptions::default(),
            cache: CacheArgs::default(),
            out: self.adapter(),
            devices: self.devices(),
            settings,
            saving,
            display: train::DisplayArgs::default(),
        };
        train::run(args, self.common.clone())?;
        if interrupt::asked() {
            bail!(INTERRUPTED)
        }
        Ok(())
    }

    fn measure(&self) -> anyhow::Result<measure::DemoMeasurement> {
        self.heading("Measuring on 8 categories that were never seen");
        let mut measured = None;
        run_on(self.common.training(), Measure { demo: self, measured: &mut measured })?;
        measured.context(INTERRUPTED)
    }

    fn report(&self, measured: &measure::DemoMeasurement, clock: &Clock) -> anyhow::Result<()> {
        let path = self.out().join("report.html");
        let steps = logged_steps(&self.checkpoints().join("log"))?;
        measured.page(self, &steps, &clock.times()).write(&path)?;
        measured.print(&path, &self.common)
    }
}

/// A file's name: its folder is nobody's business.
fn name_of(file: &Path) -> String {
    file.file_name().unwrap_or(file.as_os_str()).display().to_string()
}

/// What an interrupted demo says.
const INTERRUPTED: &str = "interrupted; the same command goes on from here";

/// How long every part took, over all sittings.
struct Clock {
    path: PathBuf,
    seconds: BTreeMap<String, f64>,
    order: Vec<&'static str>,
}

#[derive(Serialize)]
struct Seconds<'a> {
    seconds: &'a BTreeMap<String, f64>,
}

impl Clock {
    /// With what earlier sittings took. A file that is not there or cannot be read tells nothing.
    fn open(path: PathBuf) -> Self {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let seconds = serde_json::from_value(value["seconds"].clone()).unwrap_or_default();
        Self { path, seconds, order: Vec::new() }
    }

    fn time<T>(
        &mut self,
        part: &'static str,
        work: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let start = Instant::now();
        let done = work();
        *self.seconds.entry(part.to_owned()).or_default() += start.elapsed().as_secs_f64();
        self.order.push(part);
        write_json(&self.path, &Seconds { seconds: &self.seconds })?;
        done
    }

    fn times(&self) -> Vec<StageTime> {
        let time = |part: &&str| StageTime {
            stage: (*part).to_owned(),
            images: 0,
            seconds: self.seconds.get(*part).copied().unwrap_or(0.0),
        };
        self.order.iter().map(time).collect()
    }
}

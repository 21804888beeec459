//! Two plain surfaces and a CLIP with random weights: every part of the method runs in seconds, and the
//! files look as they always do. Tests live on it.

use std::path::PathBuf;

use anomaly::Domain;
use anyhow::Context;
use clip_vit::{Activation, ClipSpecBuilder};
use inspect::{
    CacheRequest, DataRequest, EvalRequest, Measuring, MethodName, PredictOutput, PredictRequest,
    Viewing,
};
use synthetic_world::{Surface, SyntheticSet, write_synthetic};

use super::clips;
use crate::arguments::{
    AdapterArgs, AssumedArgs, CacheArgs, ClipArgs, ClipShapeArgs, DataOptions, PromptArgs,
};
use crate::cli::Common;
use crate::commands::{eval, predict, train};

/// Twelve would mirror ViT-B; eight give taps after 2, 4, 6 and 8 in less time.
const LAYERS: usize = 8;

/// Side of the demo's pictures; the model looks at all of their pixels.
const SIZE: u32 = 112;

/// Trains on one surface, then measures and draws maps on another.
pub(super) fn run(out: PathBuf, steps: usize, seed: u64, common: Common) -> anyhow::Result<()> {
    let demo = Demo::prepare(out, seed, common)?;
    demo.train(settings(steps, seed))?;
    demo.measure()?;
    demo.draw()?;
    demo.heading(
        "The CLIP of this world is random: it shows that all parts run, not what MoECLIP can do",
    );
    Ok(())
}

/// The demo's files.
struct Demo {
    auxiliary: PathBuf,
    unseen: PathBuf,
    maps: PathBuf,
    clip: ClipArgs,
    adapter: AdapterArgs,
    common: Common,
}

impl Demo {
    fn prepare(out: PathBuf, seed: u64, common: Common) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&out)
            .with_context(|| format!("{}: cannot be made; choose another --out", out.display()))?;
        let (auxiliary, unseen) = (out.join("auxiliary"), out.join("unseen"));
        write_synthetic(&auxiliary, &set(Surface::Weave, 8, seed))?;
        write_synthetic(&unseen, &set(Surface::Speckle, 4, seed.wrapping_add(1)))?;
        let clip_file = out.join("clip.safetensors");
        let sizes = ClipSpecBuilder::new().vision(14, 8, 128, LAYERS).text(64, 2).embed(64);
        clips::write_random(&clip_file, &sizes.build()?, seed)?;
        let activation = Some(Activation::QuickGelu);
        let shape = ClipShapeArgs { activation, ..ClipShapeArgs::default() };
        let assumed = AssumedArgs::default();
        Ok(Self {
            auxiliary,
            unseen,
            maps: out.join("maps"),
            clip: ClipArgs { clip: clip_file, shape, prompting: PromptArgs::default() },
            adapter: AdapterArgs { adapter: out.join("adapter.safetensors"), assumed },
            common,
        })
    }

    fn train(&self, settings: train::TrainSettings) -> anyhow::Result<()> {
        self.heading("Training on weave");
        let (clip, data) = (self.clip.clone(), Some(self.auxiliary.clone()));
        let out = self.adapter.adapter.clone();
        let options = DataOptions::default();
        let (cache, saving) = (CacheArgs::default(), train::CheckpointArgs::default());
        let progress = train::ProgressChoice::Plain;
        let display = train::DisplayArgs { progress, ..train::DisplayArgs::default() };
        let devices = Vec::new();
        let args = train::TrainArgs {
            clip,
            method: MethodName::default(),
            data,
            options,
            cache,
            out,
            settings,
            saving,
            display,
            devices,
        };
        train::run(args, self.common.clone())
    }

    fn measure(&self) -> anyhow::Result<()> {
        self.heading("Measuring on speckle, never seen in training");
        let request = EvalRequest {
            clip: self.clip.source(),
            method: MethodName::default(),
            files: self.adapter.files(),
            data: self.unseen.clone(),
            options: DataRequest::default(),
            cache: CacheRequest::default(),
            domain: None,
            uncalibrated: false,
            measuring: Measuring::default(),
            compute: self.common.training(),
        };
        eval::run_request(&request, &self.common)
    }

    fn draw(&self) -> anyhow::Result<()> {
        self.heading("Drawing maps");
        let output = PredictOutput {
            out: self.maps.clone(),
            input: self.unseen.clone(),
            range: None,
            npy: false,
            viewing: Viewing::default(),
        };
        let request = PredictRequest {
            input: self.unseen.clone(),
            clip: self.clip.source(),
            method: MethodName::default(),
            files: self.adapter.files(),
            class: None,
            domain: Domain::Industrial,
            uncalibrated: false,
            output,
            compute: self.common.training(),
        };
        predict::run_request(&request, &self.common)
    }

    fn heading(&self, text: &str) {
        if !self.common.json {
            println!("\n== {text}");
        }
    }
}

fn set(surface: Surface, per_kind: usize, seed: u64) -> SyntheticSet {
    SyntheticSet { surface, size: SIZE, per_kind, seed }
}

fn settings(steps: usize, seed: u64) -> train::TrainSettings {
    train::TrainSettings {
        epochs: Some(steps.max(1)),
        steps: Some(steps),
        batch: Some(4),
        seed: Some(seed),
        image_size: Some(SIZE as usize),
        ..train::TrainSettings::default()
    }
}

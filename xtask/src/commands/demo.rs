//! `demo`: the whole method on a small built-in model and made-up pictures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use clip_vit::weights::canonical_shapes;
use clip_vit::weights::write::{HostTensor, write_safetensors};
use clip_vit::{ClipSpecBuilder, Precision, RandomWeights, WeightSource};
use moeclip_data::{Surface, SyntheticSet, write_synthetic};

use super::{eval, predict, train};
use crate::cli::{Common, DomainChoice};
use crate::model::{AdapterArgs, AssumedArgs, ClipArgs, ClipShapeArgs};

/// Side of the demo's pictures; the model looks at all of their pixels.
const SIZE: u32 = 112;

/// See the whole method run on a small built-in model and made-up pictures: train on one surface,
/// measure and draw maps on another.
///
/// The built-in CLIP has random weights: what comes out shows that everything runs, and how the
/// files look, not how well MoECLIP detects.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example: cargo xtask demo --out runs/demo")]
pub(crate) struct DemoArgs {
    /// Folder to write to
    #[arg(long, default_value = "runs/demo", value_name = "DIR")]
    out: PathBuf,
    /// Steps of training
    #[arg(long, default_value_t = 60)]
    steps: usize,
    /// Seed of pictures, model and training
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub(crate) fn run(args: DemoArgs, common: Common) -> anyhow::Result<()> {
    let DemoArgs { out, steps, seed } = args;
    std::fs::create_dir_all(&out)
        .with_context(|| format!("{}: cannot be made; choose another --out", out.display()))?;
    let (auxiliary, unseen) = (out.join("auxiliary"), out.join("unseen"));
    write_synthetic(&auxiliary, &set(Surface::Weave, 8, seed))?;
    write_synthetic(&unseen, &set(Surface::Speckle, 4, seed.wrapping_add(1)))?;
    let clip_file = out.join("clip.safetensors");
    write_random_clip(&clip_file, seed)?;
    let clip = ClipArgs { clip: clip_file, shape: ClipShapeArgs::default() };
    let adapter_file = out.join("adapter.safetensors");
    let adapter = AdapterArgs { adapter: adapter_file.clone(), assumed: AssumedArgs::default() };

    heading(&common, "Training on weave");
    let settings = settings(steps, seed);
    let train_args =
        train::TrainArgs { clip: clip.clone(), data: auxiliary, out: adapter_file, settings };
    train::run(train_args, common.clone())?;

    heading(&common, "Measuring on speckle, never seen in training");
    let domain = DomainChoice::Industrial;
    let data = unseen.clone();
    let eval_args = eval::EvalArgs { clip: clip.clone(), adapter: adapter.clone(), data, domain };
    eval::run(eval_args, common.clone())?;

    heading(&common, "Drawing maps");
    let predict_args = predict::PredictArgs {
        input: unseen,
        clip,
        adapter,
        out: out.join("maps"),
        class: None,
        domain,
        range: None,
        npy: false,
    };
    predict::run(predict_args, common.clone())?;
    heading(
        &common,
        "The CLIP of this demo is random: it shows that all parts run, not what MoECLIP can do",
    );
    Ok(())
}

fn heading(common: &Common, text: &str) {
    if !common.json {
        println!("\n== {text}");
    }
}

fn set(surface: Surface, per_kind: usize, seed: u64) -> SyntheticSet {
    SyntheticSet { surface, size: SIZE, per_kind, seed }
}

fn settings(steps: usize, seed: u64) -> train::TrainSettings {
    train::TrainSettings {
        epochs: steps.max(1),
        steps: Some(steps),
        batch: 4,
        learning_rate: 5e-4,
        seed,
        image_size: SIZE as usize,
        taps: None,
        no_augmentation: false,
    }
}

/// A CLIP small enough for seconds on a CPU, with the published ones' shape: twelve layers would
/// mirror ViT-B, eight give taps after 2, 4, 6 and 8.
fn write_random_clip(path: &Path, seed: u64) -> anyhow::Result<()> {
    let spec = ClipSpecBuilder::new().vision(14, 8, 128, 8).text(64, 2).embed(64).build()?;
    let source = RandomWeights::new(seed);
    let mut tensors = BTreeMap::new();
    for (name, shape) in canonical_shapes(&spec) {
        let data = source.tensor(&name, &shape, Precision::F16)?;
        let tensor = HostTensor::from_data(&data).context("f16 is a type that files store")?;
        tensors.insert(name, tensor);
    }
    Ok(write_safetensors(path, &tensors, &BTreeMap::new())?)
}

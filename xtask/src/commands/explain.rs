//! `explain`: what the experts did with one image, as a picture and as JSON.

use std::path::{Path, PathBuf};

use anomaly::{Domain, Explanation, TapExplanation};
use anyhow::{Context, bail};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use clap::Args;
use inspect::backends::{Job, run_on};
use inspect::{LoadedModel, open_adapter, open_model, tell_each};
use moeclip::Explainer;
use moeclip_data::{PictureReader, Preprocessing};
use moeclip_eval::pictures::{ExpertSheet, write_png};
use serde::Serialize;

use crate::arguments::{AdapterArgs, ClipArgs, DepthArgs};
use crate::cli::{Common, domains};
use crate::output::{Terminal, print_json, write_json};

/// What the Grad-CAM of an expert is taken of.
const GRADIENT_OF: &str = "the sum of the anomaly map on the patch grid, before its blur";

/// Show which experts an image asks, and where each adds to its score.
///
/// Writes a sheet and JSON: for each tapped layer the expert that each patch trusts most, the experts'
/// routing weights, Grad-CAM of each expert, and how alike their outputs are.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example: cargo xtask explain photo.png --class \"metal nut\" --clip clip.safetensors --adapter adapter.safetensors --out why"
)]
pub(crate) struct ExplainArgs {
    /// The image
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    #[command(flatten)]
    clip: ClipArgs,
    #[command(flatten)]
    adapter: AdapterArgs,
    /// What the image shows, as in "metal nut"
    #[arg(long, value_name = "NAME")]
    class: String,
    /// Kind of picture: decides blur and score
    #[arg(long, value_parser = domains(), default_value = Domain::default().name())]
    domain: Domain,
    #[command(flatten)]
    depth: DepthArgs,
    /// Folder to write to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// What is written of the image.
#[derive(Serialize)]
struct Explained<'a> {
    path: String,
    class: &'a str,
    score: f32,
    image_score: f32,
    /// The map's highest value.
    maximum: f32,
    gradient_of: &'static str,
    sheet: String,
    #[serde(flatten)]
    explanation: &'a Explanation,
}

pub(crate) fn run(args: ExplainArgs, common: Common) -> anyhow::Result<()> {
    if args.class.trim().is_empty() {
        bail!("--class is empty; say what the image shows, as in \"metal nut\"");
    }
    run_on(common.compute(), ExplainJob { args, common: common.clone() })
}

struct ExplainJob {
    args: ExplainArgs,
    common: Common,
}

impl Job for ExplainJob {
    type Output = ();
    type Error = anyhow::Error;

    fn run<B: Backend>(self, device: B::Device) -> anyhow::Result<()> {
        let ExplainArgs { image: path, class, out, .. } = &self.args;
        let reader = PictureReader::new(self.args.depth.bits);
        let image = reader.rgb(path)?;
        tell_each(&reader.take_faults(), &mut Terminal::default());
        let (explainer, preprocessing) = self.explainer::<B>(&device)?;
        let size = explainer.image_size();
        let values = preprocessing.image(&image)?;
        let tensor = Tensor::from_data(TensorData::new(values, [1, 3, size, size]), &device);
        let explanation = explainer.explain(tensor, class)?;
        std::fs::create_dir_all(out).with_context(|| {
            format!("{}: cannot be made; check the path and its permissions", out.display())
        })?;
        let Files { sheet, json } = Files::of(out, path)?;
        let title = format!("{class}: {}", name(path)?);
        write_png(
            &sheet,
            &ExpertSheet { image: &image, explanation: &explanation, title: &title }.draw()?,
        )?;
        let explained = Explained {
            path: path.display().to_string(),
            class,
            score: explanation.detection.score,
            image_score: explanation.detection.image_score,
            maximum: explanation.detection.map.maximum(),
            gradient_of: GRADIENT_OF,
            sheet: sheet.display().to_string(),
            explanation: &explanation,
        };
        write_json(&json, &explained)?;
        if self.common.json {
            return print_json(&explained);
        }
        print(&explained, &json);
        Ok(())
    }
}

impl ExplainJob {
    fn explainer<B: Backend>(
        &self,
        device: &B::Device,
    ) -> anyhow::Result<(Explainer<B>, Preprocessing)> {
        let ExplainArgs { clip, adapter, class, domain, .. } = &self.args;
        let file =
            open_adapter(&adapter.adapter, &(&adapter.assumed).into(), &mut Terminal::default())?;
        let classes = [class.clone()];
        let loaded = open_model(
            &clip.source(),
            &file,
            &classes,
            self.common.compute(),
            device,
            &mut Terminal::default(),
        )?;
        let LoadedModel { model, book, preprocessing, .. } = loaded;
        let explainer = Explainer::new(model, book, *domain, device);
        let explainer = explainer.with_context(|| adapter.adapter.display().to_string())?;
        Ok((explainer, preprocessing))
    }
}

/// What is written of an image.
struct Files {
    sheet: PathBuf,
    json: PathBuf,
}

impl Files {
    fn of(out: &Path, image: &Path) -> anyhow::Result<Self> {
        let name = name(image)?;
        let file = |suffix: &str| out.join(format!("{name}.{suffix}"));
        Ok(Self { sheet: file("experts.png"), json: file("experts.json") })
    }
}

fn name(image: &Path) -> anyhow::Result<String> {
    let name = image.file_name().context("the image has no name")?;
    Ok(name.to_string_lossy().into_owned())
}

fn print(explained: &Explained<'_>, json: &Path) {
    println!("{}: score {:.3}", explained.path, explained.score);
    for TapExplanation { layer, experts, mean_similarity, .. } in &explained.explanation.taps {
        println!("  layer {layer}: mean cosine of two experts {mean_similarity:.3}");
        for expert in experts {
            let (number, weight) = (expert.number, expert.mean_weight);
            let (first, asked) = (expert.first_choices, expert.choices);
            println!(
                "    expert {number}  weight {weight:.3}  first choice of {first} patches, asked by {asked}"
            );
        }
    }
    println!("  {}\n  {}", explained.sheet, json.display());
}

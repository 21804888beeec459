//! `explain`: what the experts did with one image, as a picture and as JSON.

use std::path::{Path, PathBuf};

use anomaly::{Domain, Explanation, TapExplanation};
use anyhow::{Context, bail};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use clap::Args;
use image::RgbImage;
use inspect::backends::{Compute, Job, run_on};
use inspect::{
    LoadedModel, MethodName, open_adapter, open_model, refuse_foreign, result_name, shown_path,
    tell_each,
};
use moeclip::Explainer;
use moeclip_data::{EXPERTS_SUFFIX, PictureReader, Preprocessing};
use moeclip_eval::pictures::{ExpertSheet, write_png};
use serde::Serialize;

use crate::arguments::{AdapterArgs, CalibrationArgs, ClipArgs, DepthArgs};
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
    /// Folder to write to; what it holds of another image is not written over
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
    // As `predict` computes, so that the score is the same.
    let files = args.adapter.files();
    let compute =
        common.viewing(CalibrationArgs::default().precision(MethodName::default(), &files)?)?;
    run_on(compute, ExplainJob { args, compute, json: common.json })
}

struct ExplainJob {
    args: ExplainArgs,
    compute: Compute,
    json: bool,
}

impl Job for ExplainJob {
    type Output = ();
    type Error = anyhow::Error;

    fn run<B: Backend>(self, device: B::Device) -> anyhow::Result<()> {
        let ExplainArgs { image: path, class, out, .. } = &self.args;
        let reader = PictureReader::new(self.args.depth.bits);
        let image = reader.rgb(path)?;
        tell_each(&reader.take_faults(), &mut Terminal::default());
        let files = Files::of(out, path)?;
        files.refuse_others(path)?;
        let (explainer, preprocessing) = self.explainer::<B>(&device)?;
        let size = explainer.image_size();
        let values = preprocessing.image(&image)?;
        let tensor = Tensor::from_data(TensorData::new(values, [1, 3, size, size]), &device);
        let explanation = explainer.explain(tensor, class)?;
        std::fs::create_dir_all(out).with_context(|| {
            format!("{}: cannot be made; check the path and its permissions", out.display())
        })?;
        let title = format!("{class}: {}", result_name(path));
        let sheet =
            ExpertSheet { image: &image, explanation: &explanation, title: &title }.draw()?;
        let explained = Explained {
            path: shown_path(path),
            class,
            score: explanation.detection.score,
            image_score: explanation.detection.image_score,
            maximum: explanation.detection.map.maximum(),
            gradient_of: GRADIENT_OF,
            sheet: files.sheet.display().to_string(),
            explanation: &explanation,
        };
        files.write(&sheet, &explained)?;
        if self.json {
            return print_json(&explained);
        }
        print(&explained, &files.json);
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
            self.compute,
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
        if out.to_str().is_none() {
            bail!("{}: JSON cannot name it; choose an --out in UTF-8", out.display());
        }
        let name = result_name(image);
        let json = out.join(format!("{name}.experts.json"));
        Ok(Self { sheet: out.join(format!("{name}{EXPERTS_SUFFIX}")), json })
    }

    /// Refuses to write over what was said of another image, and over what is somebody else's.
    fn refuse_others(&self, image: &Path) -> anyhow::Result<()> {
        let Self { sheet, json } = self;
        refuse_foreign(sheet)?;
        if json.symlink_metadata().is_err() {
            return Ok(());
        }
        let text = std::fs::read(json).with_context(|| json.display().to_string())?;
        let is_of = |said: serde_json::Value| said["path"].as_str().map(str::to_owned);
        let Some(other) = serde_json::from_slice(&text).ok().and_then(is_of) else {
            bail!(
                "{}: is there, and explain did not write it; choose another --out",
                json.display()
            );
        };
        if other != shown_path(image) {
            bail!("{}: is of {other}; choose another --out, or remove it", json.display());
        }
        Ok(())
    }

    /// Writes both or none.
    fn write(&self, sheet: &RgbImage, explained: &Explained<'_>) -> anyhow::Result<()> {
        write_png(&self.sheet, sheet)?;
        let written = write_json(&self.json, explained);
        if written.is_err() {
            // What is left of an earlier run does not go with the new sheet.
            for path in [&self.sheet, &self.json] {
                std::fs::remove_file(path).unwrap_or_default();
            }
        }
        written
    }
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

//! `datasets`: which datasets are known, whether a copy is right, what it looks like, and how to make one.

pub(super) mod synth;

use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;

use anomaly::Domain;
use anyhow::bail;
use clap::{Args, Subcommand};
use inspect::{DataRoot, Dataset, known};
use moeclip_data::{ClassTally, Descriptor, PictureFormat, Split, Verification, verify};
use moeclip_eval::pictures::{SheetOptions, contact_sheet, write_png};
use serde::Serialize;

use crate::arguments::DataOptions;
use crate::cli::Common;
use crate::interrupt;
use crate::output::{Progress, Terminal, print_json};
use crate::system::cores;

/// Faults that the table names; all are in --json.
const FAULTS_SHOWN: usize = 40;

/// List, verify and show datasets, or make a synthetic one.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example: cargo xtask datasets verify mvtec-ad --data-root data")]
pub(crate) struct DatasetsArgs {
    #[command(subcommand)]
    command: DatasetsCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum DatasetsCommand {
    /// List the datasets that this build knows, and where they lie
    List(ListArgs),
    /// Say whether a copy of a dataset is whole: counts, pictures, masks, duplicates
    Verify(VerifyArgs),
    /// Draw some images of every class into one picture, masks as outlines
    Show(ShowArgs),
    /// Make a synthetic inspection world: one dataset to train on, one of unseen things to measure on
    Synth(synth::SynthArgs),
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "Example: cargo xtask datasets list --json")]
struct ListArgs {
    /// Folder that holds the datasets; else MOECLIP_DATA, else data-root in moeclip.toml
    #[arg(long, value_name = "DIR")]
    data_root: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "Example: cargo xtask datasets verify photos --normal ok --anomalous bent")]
struct VerifyArgs {
    /// A known dataset's name, or a folder, list or description
    #[arg(value_name = "NAME|PATH")]
    data: PathBuf,
    #[command(flatten)]
    options: DataOptions,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "Example: cargo xtask datasets show visa --out visa.png")]
struct ShowArgs {
    /// A known dataset's name, or a folder, list or description
    #[arg(value_name = "NAME|PATH")]
    data: PathBuf,
    /// The picture to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    options: DataOptions,
}

pub(crate) fn run(args: DatasetsArgs, common: Common) -> anyhow::Result<()> {
    match args.command {
        DatasetsCommand::List(args) => list(&args, &common),
        DatasetsCommand::Verify(args) => verify_copy(&args, &common),
        DatasetsCommand::Show(args) => show(&args, &common),
        DatasetsCommand::Synth(args) => synth::run(&args, &common),
    }
}

#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    domain: Domain,
    classes: usize,
    normal: usize,
    anomalous: usize,
    licence: &'a str,
    source: &'a str,
    citation: &'a str,
    path: Option<PathBuf>,
}

fn list(args: &ListArgs, common: &Common) -> anyhow::Result<()> {
    let root = DataRoot::find(args.data_root.as_deref())?;
    let known = known()?;
    let mut listed = Vec::new();
    for descriptor in &known {
        let path = root.as_ref().map(|root| root.folder_of(descriptor)).transpose()?.flatten();
        listed.push(Listed::of(descriptor, path));
    }
    if common.json {
        return listed.iter().try_for_each(print_json);
    }
    println!(
        "{:14} {:10} {:>7} {:>7} {:>9}  where",
        "name", "domain", "classes", "normal", "anomalous"
    );
    for Listed { name, domain, classes, normal, anomalous, source, path, .. } in &listed {
        let domain = domain.name();
        let place = path.as_ref().map_or_else(|| (*source).to_owned(), |p| p.display().to_string());
        println!("{name:14} {domain:10} {classes:7} {normal:7} {anomalous:9}  {place}");
    }
    if root.is_none() {
        println!(
            "no data root is known: give --data-root, set MOECLIP_DATA, or write moeclip.toml"
        );
    }
    Ok(())
}

impl<'a> Listed<'a> {
    fn of(descriptor: &'a Descriptor, path: Option<PathBuf>) -> Self {
        let classes = &descriptor.classes;
        Self {
            name: &descriptor.name,
            domain: descriptor.domain,
            classes: classes.len(),
            normal: classes.iter().map(|class| class.normal).sum(),
            anomalous: classes.iter().map(|class| class.anomalous).sum(),
            licence: &descriptor.licence,
            source: &descriptor.source,
            citation: &descriptor.citation,
            path,
        }
    }
}

fn verify_copy(args: &VerifyArgs, common: &Common) -> anyhow::Result<()> {
    interrupt::listen()?;
    let dataset = Dataset::open(&args.data, &args.options.request(), &mut Terminal::default())?;
    let mut progress: Option<Progress> = None;
    let found = verify(&dataset.descriptor, &dataset.root, cores(), |checked| {
        let progress =
            progress.get_or_insert_with(|| Progress::of_short_work("images", checked.total));
        progress.advance(String::new());
        if interrupt::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if let Some(progress) = progress {
        progress.finish();
    }
    if common.json {
        print_json(&found)?
    } else {
        print_verification(&found)?
    }
    verdict(&found)
}

fn verdict(found: &Verification) -> anyhow::Result<()> {
    let (checked, images) = (found.checked, found.images);
    if checked < images {
        bail!("interrupted after {checked} of {images} images");
    }
    match found.faults.len() {
        0 => Ok(()),
        1 => bail!("{}: 1 fault", found.root.display()),
        faults => bail!("{}: {faults} faults", found.root.display()),
    }
}

fn print_verification(found: &Verification) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let Verification { dataset, root, checked, masks, .. } = found;
    writeln!(out, "{dataset} in {}: {checked} images and {masks} masks read", root.display())?;
    let width = found.classes.iter().map(|class| class.class.len()).max().unwrap_or(0).max(5);
    writeln!(out, "{:width$}  {:>15}  {:>15}  {:>6}", "class", "normal", "anomalous", "masks")?;
    for class in &found.classes {
        let expected = class.expected.as_ref();
        let normal = of(class.normal, expected.map(|expected| expected.normal));
        let anomalous = of(class.anomalous, expected.map(|expected| expected.anomalous));
        let ClassTally { class, masks, .. } = class;
        writeln!(out, "{class:width$}  {normal:>15}  {anomalous:>15}  {masks:>6}")?;
    }
    for fault in found.faults.iter().take(FAULTS_SHOWN) {
        writeln!(out, "{fault}")?;
    }
    match found.faults.len() {
        0 => writeln!(out, "no faults")?,
        all if all > FAULTS_SHOWN => {
            writeln!(out, "and {} more; --json lists all", all - FAULTS_SHOWN)?;
        }
        _ => (),
    }
    Ok(())
}

/// `19 of 20` where they should be equal and are not.
fn of(found: usize, expected: Option<usize>) -> String {
    match expected {
        Some(expected) if expected != found => format!("{found} of {expected}"),
        _ => found.to_string(),
    }
}

fn show(args: &ShowArgs, common: &Common) -> anyhow::Result<()> {
    let dataset = Dataset::open(&args.data, &args.options.request(), &mut Terminal::default())?;
    // A copy with faults can be looked at: that is how one sees what is wrong with it.
    let scan = dataset.descriptor.scan(&dataset.root, Split::Test)?;
    let samples = match scan.samples.is_empty() {
        true => scan.strict(&dataset.root)?,
        false => scan.samples,
    };
    let PictureFormat { bits, masks } = dataset.descriptor.picture_format();
    let options = SheetOptions { mask_rule: masks.rule, bits, ..Default::default() };
    write_png(&args.out, &contact_sheet(&samples, &options)?)?;
    let shown = Shown { out: args.out.display().to_string(), images: samples.len() };
    if common.json {
        return print_json(&shown);
    }
    println!("{}: a sheet of {} images", shown.out, shown.images);
    Ok(())
}

#[derive(Serialize)]
struct Shown {
    out: String,
    images: usize,
}

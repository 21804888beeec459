//! `doctor`: what this build can do on this machine.

use std::path::PathBuf;

use clap::Args;
use inspect::backends::{DeviceStatus, statuses};
use inspect::{DataRoot, known};
use serde::Serialize;

use crate::cli::Common;
use crate::code;
use crate::output::print_json;
use crate::system::{available_memory, cores, gib};

/// Say what this build can do on this machine: devices, threads, memory, datasets.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example: cargo xtask doctor --json")]
pub(crate) struct DoctorArgs {
    /// Folder that holds the datasets; else MOECLIP_DATA, else data-root in moeclip.toml
    #[arg(long, value_name = "DIR")]
    data_root: Option<PathBuf>,
}

#[derive(Serialize)]
struct Diagnosis {
    version: &'static str,
    commit: Option<&'static str>,
    burn: &'static str,
    os: &'static str,
    architecture: &'static str,
    threads: usize,
    available_memory_bytes: Option<u64>,
    devices: Vec<DeviceStatus>,
    jpeg_decoder: &'static str,
    data_root: Option<DataRoot>,
    datasets: Vec<FoundDataset>,
}

/// A known dataset that the data root holds.
#[derive(Serialize)]
struct FoundDataset {
    name: String,
    path: PathBuf,
}

pub(crate) fn run(args: DoctorArgs, common: Common) -> anyhow::Result<()> {
    let data_root = DataRoot::find(args.data_root.as_deref())?;
    let diagnosis = Diagnosis {
        version: code::VERSION,
        commit: code::COMMIT,
        burn: "0.21.0",
        os: std::env::consts::OS,
        architecture: std::env::consts::ARCH,
        threads: cores(),
        available_memory_bytes: available_memory(),
        devices: statuses(),
        jpeg_decoder: moeclip_data::JPEG_DECODER,
        datasets: data_root.as_ref().map(datasets).transpose()?.unwrap_or_default(),
        data_root,
    };
    if common.json {
        return print_json(&diagnosis);
    }
    let Diagnosis { burn, os, architecture, threads, .. } = diagnosis;
    println!(
        "MoECLIP {} on Burn {burn}, {os} {architecture}, {threads} threads",
        code::described()
    );
    let memory = diagnosis.available_memory_bytes.map_or("unknown".into(), gib);
    println!("  memory available  {memory}");
    for DeviceStatus { device, usable, note } in &diagnosis.devices {
        println!("  {device:8} {:3}  {note}", if *usable { "yes" } else { "no" });
    }
    println!("  JPEG by    {}", diagnosis.jpeg_decoder);
    print_data(&diagnosis);
    Ok(())
}

fn datasets(root: &DataRoot) -> anyhow::Result<Vec<FoundDataset>> {
    let mut found = Vec::new();
    for descriptor in known()? {
        if let Some(path) = root.folder_of(&descriptor)? {
            found.push(FoundDataset { name: descriptor.name, path });
        }
    }
    Ok(found)
}

fn print_data(diagnosis: &Diagnosis) {
    match &diagnosis.data_root {
        None => println!("  data root  none; --data-root, MOECLIP_DATA or moeclip.toml name one"),
        Some(root) => println!("  data root  {} ({})", root.path.display(), root.told_by),
    }
    for FoundDataset { name, path } in &diagnosis.datasets {
        println!("  {name:14} {}", path.display());
    }
}

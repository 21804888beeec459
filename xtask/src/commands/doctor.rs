//! `doctor`: what this build can do on this machine.

use std::path::PathBuf;

use clap::Args;
use clip_vit::{Precision, fastest_precision};
use inspect::backends::{DeviceStatus, statuses};
use inspect::{DataRoot, known};
use serde::Serialize;
use tile_kernels::{Isa, KERNEL_VARIABLE, peak};

use crate::cli::Common;
use crate::output::print_json;
use crate::system;
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
    kernels: KernelStatus,
    jpeg_decoder: &'static str,
    data_root: Option<DataRoot>,
    datasets: Vec<FoundDataset>,
}

/// The kernels of a frozen CLIP's blocks on flex.
#[derive(Serialize)]
struct KernelStatus {
    name: &'static str,
    /// Why it is these and no faster ones.
    why: String,
    /// Operations a second in products of f32 and of bf16.
    f32_flops: f64,
    bf16_flops: f64,
    /// The precision of the frozen CLIP where pictures are looked at and nobody names one.
    auto_precision: Precision,
}

impl KernelStatus {
    fn of_this_machine() -> anyhow::Result<Self> {
        let isa = Isa::chosen()?;
        let why = match std::env::var(KERNEL_VARIABLE) {
            Ok(_) => format!("{KERNEL_VARIABLE} says so"),
            Err(_) if Isa::reasons().is_empty() => "the fastest there are".to_owned(),
            Err(_) => Isa::reasons().join("; "),
        };
        let f32_flops = peak(isa, tile_kernels::Precision::F32);
        let bf16_flops = peak(isa, tile_kernels::Precision::Bf16);
        let auto_precision = fastest_precision()?;
        Ok(Self { name: isa.name(), why, f32_flops, bf16_flops, auto_precision })
    }
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
        version: system::VERSION,
        commit: system::COMMIT,
        burn: "0.21.0",
        os: std::env::consts::OS,
        architecture: std::env::consts::ARCH,
        threads: cores(),
        available_memory_bytes: available_memory(),
        devices: statuses(),
        kernels: KernelStatus::of_this_machine()?,
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
        system::described()
    );
    let memory = diagnosis.available_memory_bytes.map_or("unknown".into(), gib);
    println!("  memory available  {memory}");
    for DeviceStatus { device, usable, note } in &diagnosis.devices {
        println!("  {device:8} {:3}  {note}", if *usable { "yes" } else { "no" });
    }
    let KernelStatus { name, why, f32_flops, bf16_flops, auto_precision } = &diagnosis.kernels;
    println!("  kernels    {name}: {why}");
    println!("             {:.2} TFLOP/s f32, {:.2} bf16", f32_flops / 1e12, bf16_flops / 1e12);
    println!(
        "             predict, explain and calibrate compute in {}",
        auto_precision.dtype().name()
    );
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

//! `doctor`: what this build can do on this machine.

use clap::Args;
use serde::Serialize;

use crate::backends::{DeviceStatus, statuses};
use crate::cli::Common;
use crate::output::print_json;
use crate::system::{available_memory, gib};

/// Say what this build can do on this machine: devices, threads, memory.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example: cargo xtask doctor --json")]
pub(crate) struct DoctorArgs {}

#[derive(Serialize)]
struct Diagnosis {
    version: &'static str,
    burn: &'static str,
    os: &'static str,
    architecture: &'static str,
    threads: usize,
    available_memory_bytes: Option<u64>,
    devices: Vec<DeviceStatus>,
}

pub(crate) fn run(_args: DoctorArgs, common: Common) -> anyhow::Result<()> {
    let diagnosis = Diagnosis {
        version: env!("CARGO_PKG_VERSION"),
        burn: "0.21.0",
        os: std::env::consts::OS,
        architecture: std::env::consts::ARCH,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        available_memory_bytes: available_memory(),
        devices: statuses(),
    };
    if common.json {
        return print_json(&diagnosis);
    }
    let Diagnosis { version, burn, os, architecture, threads, .. } = diagnosis;
    println!("MoECLIP {version} on Burn {burn}, {os} {architecture}, {threads} threads");
    let memory = diagnosis.available_memory_bytes.map_or("unknown".into(), gib);
    println!("  memory available  {memory}");
    for DeviceStatus { device, usable, note } in &diagnosis.devices {
        println!("  {device:8} {:3}  {note}", if *usable { "yes" } else { "no" });
    }
    Ok(())
}

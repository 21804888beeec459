//! The one place where a backend is chosen: from the name of a device to a type.

use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::str::FromStr;

use anyhow::{Context, bail};
use burn::backend::{Flex, NdArray};
use burn::prelude::DeviceOps;
use burn::tensor::Tensor;
use burn::tensor::backend::{Backend, DeviceId};
use serde::Serialize;

use crate::cli::{Common, PrecisionChoice};

/// A device as it is named on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeviceChoice {
    /// Burn's fast CPU backend.
    Flex,
    /// The plain CPU backend.
    NdArray,
    /// A GPU through Vulkan, Metal or DX12.
    Wgpu { index: usize },
    /// An NVIDIA GPU.
    Cuda { index: usize },
}

/// Work that runs on any backend.
pub(crate) trait Job {
    fn run<B: Backend>(self, device: B::Device) -> anyhow::Result<()>;
}

/// Whether a device can be used, for `doctor`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DeviceStatus {
    pub(crate) device: String,
    pub(crate) usable: bool,
    pub(crate) note: String,
}

/// Runs a job on the device asked for, once that device has answered.
pub(crate) fn run_on(common: &Common, job: impl Job) -> anyhow::Result<()> {
    check_precision(common)?;
    match common.device {
        DeviceChoice::Flex => job.run::<Flex>(Default::default()),
        DeviceChoice::NdArray => job.run::<NdArray>(Default::default()),
        DeviceChoice::Wgpu { index } => wgpu::run(index, job),
        DeviceChoice::Cuda { index } => cuda::run(index, job),
    }
}

/// Further devices for a job that runs on `first`: `devices` as they were given, the job's own first.
///
/// They are of one backend, so a number tells them apart; a CPU has one device, which may stand there
/// several times.
pub(crate) fn beside<B: Backend>(
    first: &B::Device,
    devices: &[DeviceChoice],
) -> anyhow::Result<Vec<B::Device>> {
    let others = devices.iter().skip(1).map(|choice| -> anyhow::Result<B::Device> {
        let kind = std::mem::discriminant(choice);
        if devices.first().map(std::mem::discriminant) != Some(kind) {
            bail!("--devices {choice}: the devices of a run are of one backend; name one kind");
        }
        let id = DeviceId { type_id: first.to_id().type_id, index_id: choice.index()? };
        let device = B::Device::from_id(id);
        probe::<B>(&device).with_context(|| choice.to_string())?;
        Ok(device)
    });
    others.collect()
}

/// Every device this build knows, asked once.
pub(crate) fn statuses() -> Vec<DeviceStatus> {
    let ready = |device: DeviceChoice| DeviceStatus {
        device: device.to_string(),
        usable: true,
        note: "ready".into(),
    };
    let asked = |device: DeviceChoice, answer: anyhow::Result<()>| match answer {
        Ok(()) => ready(device),
        Err(error) => {
            DeviceStatus { device: device.to_string(), usable: false, note: format!("{error:#}") }
        }
    };
    vec![
        ready(DeviceChoice::Flex),
        ready(DeviceChoice::NdArray),
        asked(DeviceChoice::Wgpu { index: 0 }, wgpu::run(0, Nothing)),
        asked(DeviceChoice::Cuda { index: 0 }, cuda::run(0, Nothing)),
    ]
}

/// A job that only proves that the device is there.
struct Nothing;

impl Job for Nothing {
    fn run<B: Backend>(self, _device: B::Device) -> anyhow::Result<()> {
        Ok(())
    }
}

fn check_precision(common: &Common) -> anyhow::Result<()> {
    if common.device == DeviceChoice::NdArray && common.precision != PrecisionChoice::F32 {
        bail!("--device ndarray computes in f32 only; use --precision f32 or --device flex");
    }
    Ok(())
}

/// Adds one and one on the device. Drivers that are not there panic inside their own crates; here
/// that becomes an error.
fn probe<B: Backend>(device: &B::Device) -> anyhow::Result<()> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let answer = panic::catch_unwind(AssertUnwindSafe(|| {
        let one = Tensor::<B, 1>::ones([1], device);
        (one.clone() + one).try_into_data().ok()?.to_vec::<f32>().ok()
    }));
    panic::set_hook(hook);
    match answer {
        Ok(Some(sum)) if sum == [2.0] => Ok(()),
        _ => bail!("no such device answers on this machine; see cargo xtask doctor"),
    }
}

#[cfg(feature = "cuda")]
mod cuda {
    //! NVIDIA GPUs.

    use burn::backend::Cuda;
    use burn::backend::cuda::CudaDevice;

    use super::{DeviceChoice, Job, probe};
    use anyhow::Context;

    pub(super) fn run(index: usize, job: impl Job) -> anyhow::Result<()> {
        let device = CudaDevice::new(index);
        probe::<Cuda>(&device).with_context(|| DeviceChoice::Cuda { index }.to_string())?;
        job.run::<Cuda>(device)
    }
}

#[cfg(not(feature = "cuda"))]
mod cuda {
    //! A build without NVIDIA GPUs.

    use super::Job;

    pub(super) fn run(_index: usize, _job: impl Job) -> anyhow::Result<()> {
        anyhow::bail!("cuda is not in this build; run cargo xtask-cuda instead of cargo xtask")
    }
}

#[cfg(feature = "wgpu")]
mod wgpu {
    //! GPUs through Vulkan, Metal or DX12.

    use burn::backend::Wgpu;
    use burn::backend::wgpu::WgpuDevice;

    use super::{DeviceChoice, Job, probe};
    use anyhow::Context;

    pub(super) fn run(index: usize, job: impl Job) -> anyhow::Result<()> {
        let device = WgpuDevice::DiscreteGpu(index);
        let device = match probe::<Wgpu>(&device) {
            Err(_) if index == 0 => WgpuDevice::DefaultDevice,
            _ => device,
        };
        probe::<Wgpu>(&device).with_context(|| DeviceChoice::Wgpu { index }.to_string())?;
        job.run::<Wgpu>(device)
    }
}

#[cfg(not(feature = "wgpu"))]
mod wgpu {
    //! A build without wgpu.

    use super::Job;

    pub(super) fn run(_index: usize, _job: impl Job) -> anyhow::Result<()> {
        anyhow::bail!("wgpu is not in this build; run cargo xtask-wgpu instead of cargo xtask")
    }
}

impl FromStr for DeviceChoice {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, index) = match text.split_once(':') {
            None => (text, None),
            Some((name, index)) => {
                let index = index.parse::<usize>();
                (name, Some(index.context("the number behind ':' must be 0 or more")?))
            }
        };
        match (name, index) {
            ("flex", None) => Ok(Self::Flex),
            ("ndarray", None) => Ok(Self::NdArray),
            ("wgpu", index) => Ok(Self::Wgpu { index: index.unwrap_or(0) }),
            ("cuda", index) => Ok(Self::Cuda { index: index.unwrap_or(0) }),
            _ => bail!("use flex, ndarray, wgpu[:n] or cuda[:n]"),
        }
    }
}

impl DeviceChoice {
    /// Its number among the devices of its kind.
    fn index(self) -> anyhow::Result<u16> {
        match self {
            Self::Flex | Self::NdArray => Ok(0),
            Self::Wgpu { index } | Self::Cuda { index } => {
                u16::try_from(index).with_context(|| format!("{self}: there are not so many"))
            }
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flex => formatter.write_str("flex"),
            Self::NdArray => formatter.write_str("ndarray"),
            Self::Wgpu { index } => write!(formatter, "wgpu:{index}"),
            Self::Cuda { index } => write!(formatter, "cuda:{index}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_with_an_optional_number() {
        assert_eq!("flex".parse::<DeviceChoice>().unwrap(), DeviceChoice::Flex);
        assert_eq!("cuda:1".parse::<DeviceChoice>().unwrap(), DeviceChoice::Cuda { index: 1 });
        assert_eq!("wgpu".parse::<DeviceChoice>().unwrap(), DeviceChoice::Wgpu { index: 0 });
        for wrong in ["", "gpu", "cuda:", "cuda:x", "flex:0", "cuda:-1"] {
            assert!(wrong.parse::<DeviceChoice>().is_err(), "{wrong}");
        }
    }
}

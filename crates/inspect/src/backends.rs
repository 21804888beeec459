//! The one place where a backend is chosen: from the name of a device to a type.

use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::str::FromStr;

use burn::backend::{Flex, NdArray};
use burn::prelude::DeviceOps;
use burn::tensor::Tensor;
use burn::tensor::backend::{Backend, DeviceId};
use clip_vit::Precision;
use serde::{Deserialize, Serialize};

use crate::InspectError;
use crate::error::{Context, refuse};

/// Where to compute, and how precisely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compute {
    /// The device.
    pub device: DeviceChoice,
    /// Precision of the frozen CLIP; adapters, heads and losses are always f32.
    pub precision: Precision,
}

/// A device by its name: `flex`, `ndarray`, `wgpu:1`, `cuda:0`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum DeviceChoice {
    /// Burn's fast CPU backend.
    #[default]
    Flex,
    /// The plain CPU backend.
    NdArray,
    /// A GPU through Vulkan, Metal or DX12.
    Wgpu {
        /// Its number.
        index: usize,
    },
    /// An NVIDIA GPU.
    Cuda {
        /// Its number.
        index: usize,
    },
}

/// Work that runs on any backend.
pub trait Job {
    /// What it gives.
    type Output;
    /// How it fails.
    type Error: From<InspectError>;

    /// Does it on a device.
    ///
    /// # Errors
    /// The job's own.
    fn run<B: Backend>(self, device: B::Device) -> Result<Self::Output, Self::Error>;
}

/// Whether a device can be used, for `doctor`.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceStatus {
    /// Its name.
    pub device: String,
    /// Whether it answers.
    pub usable: bool,
    /// Why not, in one line.
    pub note: String,
}

/// Runs a job on the device asked for, once that device has answered.
///
/// # Errors
/// A device that is not there, or not in this build; a precision that it does not have; the job's own.
pub fn run_on<J: Job>(compute: Compute, job: J) -> Result<J::Output, J::Error> {
    check_precision(compute)?;
    match compute.device {
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
///
/// # Errors
/// Devices of several backends; one that is not there.
pub fn beside<B: Backend>(
    first: &B::Device,
    devices: &[DeviceChoice],
) -> Result<Vec<B::Device>, InspectError> {
    let others = devices.iter().skip(1).map(|choice| -> Result<B::Device, InspectError> {
        let kind = std::mem::discriminant(choice);
        if devices.first().map(std::mem::discriminant) != Some(kind) {
            refuse!("--devices {choice}: the devices of a run are of one backend; name one kind");
        }
        let id = DeviceId { type_id: first.to_id().type_id, index_id: choice.index()? };
        let device = B::Device::from_id(id);
        probe::<B>(&device).with_context(|| choice.to_string())?;
        Ok(device)
    });
    others.collect()
}

/// Every device this build knows, asked once.
pub fn statuses() -> Vec<DeviceStatus> {
    let ready = |device: DeviceChoice| DeviceStatus {
        device: device.to_string(),
        usable: true,
        note: "ready".into(),
    };
    let asked = |device: DeviceChoice, answer: Result<(), InspectError>| match answer {
        Ok(()) => ready(device),
        Err(error) => {
            DeviceStatus { device: device.to_string(), usable: false, note: error.one_line() }
        }
    };
    vec![
        ready(DeviceChoice::Flex),
        ready(DeviceChoice::NdArray),
        asked(DeviceChoice::Wgpu { index: 0 }, wgpu::run(0, Nothing)),
        asked(DeviceChoice::Cuda { index: 0 }, cuda::run(0, Nothing)),
    ]
}

/// Refuses a device that does not answer.
///
/// # Errors
/// As [`run_on`].
pub fn require(compute: Compute) -> Result<(), InspectError> {
    run_on(compute, Nothing)
}

/// A job that only proves that the device is there.
struct Nothing;

impl Job for Nothing {
    type Output = ();
    type Error = InspectError;

    fn run<B: Backend>(self, _device: B::Device) -> Result<(), InspectError> {
        Ok(())
    }
}

fn check_precision(compute: Compute) -> Result<(), InspectError> {
    if compute.device == DeviceChoice::NdArray && compute.precision != Precision::F32 {
        refuse!("--device ndarray computes in f32 only; use --precision f32 or --device flex");
    }
    Ok(())
}

/// Adds one and one on the device. Drivers that are not there panic inside their own crates; here
/// that becomes an error.
fn probe<B: Backend>(device: &B::Device) -> Result<(), InspectError> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let answer = panic::catch_unwind(AssertUnwindSafe(|| {
        let one = Tensor::<B, 1>::ones([1], device);
        (one.clone() + one).try_into_data().ok()?.to_vec::<f32>().ok()
    }));
    panic::set_hook(hook);
    match answer {
        Ok(Some(sum)) if sum == [2.0] => Ok(()),
        _ => refuse!("no such device answers on this machine; see cargo xtask doctor"),
    }
}

#[cfg(feature = "cuda")]
mod cuda {
    //! NVIDIA GPUs.

    use burn::backend::Cuda;
    use burn::backend::cuda::CudaDevice;

    use super::{DeviceChoice, Job, probe};
    use crate::error::Context;

    pub(super) fn run<J: Job>(index: usize, job: J) -> Result<J::Output, J::Error> {
        let device = CudaDevice::new(index);
        probe::<Cuda>(&device).with_context(|| DeviceChoice::Cuda { index }.to_string())?;
        job.run::<Cuda>(device)
    }
}

#[cfg(not(feature = "cuda"))]
mod cuda {
    //! A build without NVIDIA GPUs.

    use super::{InspectError, Job};

    pub(super) fn run<J: Job>(_index: usize, _job: J) -> Result<J::Output, J::Error> {
        let said = "cuda is not in this build; run cargo xtask-cuda instead of cargo xtask";
        Err(InspectError::refused(said).into())
    }
}

#[cfg(feature = "wgpu")]
mod wgpu {
    //! GPUs through Vulkan, Metal or DX12.

    use burn::backend::Wgpu;
    use burn::backend::wgpu::WgpuDevice;

    use super::{DeviceChoice, Job, probe};
    use crate::error::Context;

    pub(super) fn run<J: Job>(index: usize, job: J) -> Result<J::Output, J::Error> {
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

    use super::{InspectError, Job};

    pub(super) fn run<J: Job>(_index: usize, _job: J) -> Result<J::Output, J::Error> {
        let said = "wgpu is not in this build; run cargo xtask-wgpu instead of cargo xtask";
        Err(InspectError::refused(said).into())
    }
}

impl FromStr for DeviceChoice {
    type Err = InspectError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, index) = match text.split_once(':') {
            None => (text, None),
            Some((name, index)) => {
                let index = index.parse::<usize>();
                (
                    name,
                    Some(index.map_err(|_| {
                        InspectError::refused("the number behind ':' must be 0 or more")
                    })?),
                )
            }
        };
        match (name, index) {
            ("flex", None) => Ok(Self::Flex),
            ("ndarray", None) => Ok(Self::NdArray),
            ("wgpu", index) => Ok(Self::Wgpu { index: index.unwrap_or(0) }),
            ("cuda", index) => Ok(Self::Cuda { index: index.unwrap_or(0) }),
            _ => refuse!("use flex, ndarray, wgpu[:n] or cuda[:n]"),
        }
    }
}

impl DeviceChoice {
    /// Whether several of them share the machine's cores.
    pub fn is_cpu(self) -> bool {
        matches!(self, Self::Flex | Self::NdArray)
    }

    /// The precision in which it computes a frozen CLIP fastest: of the kernels that were timed, those
    /// of flex alone.
    ///
    /// # Errors
    /// As [`clip_vit::fastest_precision`].
    pub fn fastest_precision(self) -> Result<Precision, InspectError> {
        Ok(if self == Self::Flex { clip_vit::fastest_precision()? } else { Precision::F32 })
    }

    /// Its number among the devices of its kind.
    fn index(self) -> Result<u16, InspectError> {
        match self {
            Self::Flex | Self::NdArray => Ok(0),
            Self::Wgpu { index } | Self::Cuda { index } => u16::try_from(index)
                .map_err(|_| InspectError::refused(format!("{self}: there are not so many"))),
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

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        choice.to_string()
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = InspectError;

    fn try_from(name: String) -> Result<Self, InspectError> {
        name.parse()
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

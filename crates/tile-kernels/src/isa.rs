//! Which instructions the kernels use: found once, or forced by `MOECLIP_KERNEL`.
#![allow(unsafe_code)]

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

/// Names a kind of kernels that is used instead of the fastest.
pub const KERNEL_VARIABLE: &str = "MOECLIP_KERNEL";

/// Instructions that kernels are written for, the fastest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Isa {
    /// Intel's AMX for bf16, with AVX-512 beside it.
    Amx,
    /// AVX-512 F, BW, DQ and VL.
    Avx512,
    /// AVX2 and FMA.
    Avx2,
    /// Plain Rust.
    Portable,
}

/// A kind of kernels that was asked for and cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IsaError {
    /// No kernels of this name exist.
    #[error("{KERNEL_VARIABLE}={0}: no such kernels; take one of amx, avx512, avx2, portable")]
    Unknown(String),
    /// This machine lacks the instructions.
    #[error("{KERNEL_VARIABLE}={isa}: this machine has no such instructions ({reason}); unset it")]
    Missing {
        /// The kind that was asked for.
        isa: Isa,
        /// What is missing.
        reason: &'static str,
    },
}

impl Isa {
    /// All kinds, the fastest first.
    pub const ALL: [Self; 4] = [Self::Amx, Self::Avx512, Self::Avx2, Self::Portable];

    /// The kind that this process uses: the one that `MOECLIP_KERNEL` names, or else the fastest that
    /// the machine has.
    ///
    /// # Errors
    ///
    /// If the variable names no kernels, or some that this machine lacks.
    pub fn chosen() -> Result<Self, IsaError> {
        static CHOSEN: OnceLock<Result<Isa, IsaError>> = OnceLock::new();
        CHOSEN.get_or_init(choose).clone()
    }

    /// Whether this machine has the instructions.
    pub fn is_available(self) -> bool {
        self.lacks().is_none()
    }

    /// The kinds that this machine has, the fastest first.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|isa| isa.is_available())
    }

    /// Its name, as the variable takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amx => "amx",
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Portable => "portable",
        }
    }

    /// Whether products of bf16 are faster than those of f32.
    pub fn has_fast_bf16(self) -> bool {
        self == Self::Amx
    }

    /// What the machine lacks for it.
    fn lacks(self) -> Option<&'static str> {
        match self {
            Self::Portable => None,
            #[cfg(target_arch = "x86_64")]
            Self::Amx => x86::lacks_amx(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => x86::lacks_avx512(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => x86::lacks_avx2(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Amx | Self::Avx512 | Self::Avx2 => Some("it is no x86-64"),
        }
    }

    /// In words, which kinds are faster and why they are not used.
    pub fn reasons() -> Vec<String> {
        let lacking = Self::ALL.into_iter().filter_map(|isa| Some((isa, isa.lacks()?)));
        lacking.map(|(isa, reason)| format!("no {isa}: {reason}")).collect()
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Isa {
    type Err = IsaError;

    fn from_str(name: &str) -> Result<Self, IsaError> {
        let named = Self::ALL.into_iter().find(|isa| isa.name() == name);
        named.ok_or_else(|| IsaError::Unknown(name.to_owned()))
    }
}

fn choose() -> Result<Isa, IsaError> {
    match std::env::var(KERNEL_VARIABLE) {
        Ok(name) => forced(&name),
        Err(_) => Ok(Isa::available().next().unwrap_or(Isa::Portable)),
    }
}

fn forced(name: &str) -> Result<Isa, IsaError> {
    let isa = Isa::from_str(name)?;
    match isa.lacks() {
        Some(reason) => Err(IsaError::Missing { isa, reason }),
        None => Ok(isa),
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! What an x86-64 processor and its system have.

    use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
    use std::sync::OnceLock;

    pub(super) fn lacks_avx2() -> Option<&'static str> {
        let has = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        (!has).then_some("the processor has no AVX2 with FMA")
    }

    pub(super) fn lacks_avx512() -> Option<&'static str> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        if !has {
            return Some("the processor has no AVX-512 F, BW, DQ and VL");
        }
        lacks_avx2()
    }

    pub(super) fn lacks_amx() -> Option<&'static str> {
        static LACKS: OnceLock<Option<&str>> = OnceLock::new();
        *LACKS.get_or_init(|| {
            if lacks_avx512().is_some() || !is_x86_feature_detected!("avx512bf16") {
                return Some("the processor has no AVX-512 with BF16");
            }
            if !has_tiles() {
                return Some(
                    "the processor has no AMX for bf16, or the system does not save its tiles",
                );
            }
            (!permits_tiles()).then_some("the system does not let this process use AMX")
        })
    }

    /// CPUID's leaf 7 says AMX-BF16 and AMX-TILE; XCR0 says that the system saves tiles.
    fn has_tiles() -> bool {
        const BF16: u32 = 1 << 22;
        const TILE: u32 = 1 << 24;
        const OSXSAVE: u32 = 1 << 27;
        const SAVED: u64 = 0b11 << 17;
        if __cpuid(0).eax < 7 || __cpuid(1).ecx & OSXSAVE == 0 {
            return false;
        }
        let features = __cpuid_count(7, 0).edx;
        // SAFETY: OSXSAVE says that the instruction exists.
        let saved = unsafe { _xgetbv(0) };
        features & (BF16 | TILE) == BF16 | TILE && saved & SAVED == SAVED
    }

    /// Linux gives the 8 KB of tiles only to a process that asks for them.
    #[cfg(all(target_os = "linux", not(miri)))]
    fn permits_tiles() -> bool {
        const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
        const XFEATURE_XTILEDATA: libc::c_long = 18;
        // SAFETY: a system call that changes what this process may use and touches no memory.
        let answer =
            unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) };
        answer == 0
    }

    #[cfg(not(all(target_os = "linux", not(miri))))]
    fn permits_tiles() -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back_and_an_unknown_one_is_refused() {
        for isa in Isa::ALL {
            assert_eq!(isa.name().parse(), Ok(isa));
        }
        let error = forced("sse9").unwrap_err();
        assert!(error.to_string().contains("take one of amx"), "{error}");
    }

    #[test]
    fn kernels_that_the_machine_lacks_are_an_error_and_the_others_are_not() {
        for isa in Isa::ALL {
            match isa.lacks() {
                None => assert_eq!(forced(isa.name()), Ok(isa)),
                Some(reason) => {
                    assert_eq!(forced(isa.name()), Err(IsaError::Missing { isa, reason }));
                }
            }
        }
    }
}

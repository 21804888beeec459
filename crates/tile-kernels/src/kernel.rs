//! A kernel is a kind of [`Lanes`] with a product of tiles; a task is compiled once for each.
#![allow(unsafe_code)]

use rayon::prelude::*;

use crate::isa::Isa;
use crate::lanes::Lanes;
#[cfg(target_arch = "x86_64")]
use crate::lanes::avx2::Avx2;
#[cfg(target_arch = "x86_64")]
use crate::lanes::avx512::{Amx, Avx512};
use crate::lanes::portable::Portable;
use crate::micro::{self, RowKind};
use crate::tiles::{RegisterTile, Square};

/// Operands of a product: two strips of 16 rows and two of 16 columns, tile for tile.
#[derive(Clone, Copy)]
pub(crate) struct Strips<'a> {
    pub(crate) rows: [&'a [RegisterTile]; 2],
    pub(crate) columns: [&'a [RegisterTile]; 2],
}

/// Products of tiles into a square. While they are made, memory from `ahead` on is fetched into the
/// cache, an eighth of a strip's length; not all kernels do.
pub(crate) trait Kernel: Lanes {
    /// Adds the product of strips of a kind of rows.
    fn add_product<R: RowKind>(strips: Strips<'_>, to: &mut Square);

    /// Adds the product of strips of bf16.
    #[inline(always)]
    fn add_bf16(strips: Strips<'_>, _ahead: *const RegisterTile, to: &mut Square) {
        Self::add_product::<micro::HalfRows>(strips, to);
    }

    /// Adds the product of strips of f32 in three parts.
    #[inline(always)]
    fn add_split(strips: Strips<'_>, _ahead: *const RegisterTile, to: &mut Square) {
        Self::add_product::<micro::SplitRows>(strips, to);
    }

    /// Writes the product of strips of bf16.
    #[inline(always)]
    fn multiply_bf16(strips: Strips<'_>, ahead: *const RegisterTile, to: &mut Square) {
        *to = Square::ZERO;
        Self::add_bf16(strips, ahead, to);
    }

    /// Writes the product of strips of f32 in three parts.
    #[inline(always)]
    fn multiply_split(strips: Strips<'_>, ahead: *const RegisterTile, to: &mut Square) {
        *to = Square::ZERO;
        Self::add_split(strips, ahead, to);
    }
}

impl Kernel for Portable {
    #[inline(always)]
    fn add_product<R: RowKind>(strips: Strips<'_>, to: &mut Square) {
        micro::add_narrow::<R, Self, 4>(strips, to);
    }
}

#[cfg(target_arch = "x86_64")]
impl Kernel for Avx2 {
    #[inline(always)]
    fn add_product<R: RowKind>(strips: Strips<'_>, to: &mut Square) {
        micro::add_narrow::<R, Self, 4>(strips, to);
    }
}

#[cfg(target_arch = "x86_64")]
impl Kernel for Avx512 {
    #[inline(always)]
    fn add_product<R: RowKind>(strips: Strips<'_>, to: &mut Square) {
        micro::add_wide::<R, Self, 8>(strips, to);
    }
}

#[cfg(target_arch = "x86_64")]
impl Kernel for Amx {
    #[inline(always)]
    fn add_product<R: RowKind>(strips: Strips<'_>, to: &mut Square) {
        micro::add_wide::<R, Self, 8>(strips, to);
    }

    #[inline(always)]
    fn add_bf16(strips: Strips<'_>, ahead: *const RegisterTile, to: &mut Square) {
        micro::amx::add_bf16(strips, ahead, to);
    }

    #[inline(always)]
    fn add_split(strips: Strips<'_>, ahead: *const RegisterTile, to: &mut Square) {
        micro::amx::add_split(strips, ahead, to);
    }

    #[inline(always)]
    fn multiply_bf16(strips: Strips<'_>, ahead: *const RegisterTile, to: &mut Square) {
        micro::amx::multiply_bf16(strips, ahead, to);
    }

    #[inline(always)]
    fn multiply_split(strips: Strips<'_>, ahead: *const RegisterTile, to: &mut Square) {
        micro::amx::multiply_split(strips, ahead, to);
    }
}

/// Work in pieces that do not depend on one another.
pub(crate) trait Task: Sync {
    /// Does one piece. Implementations, and all that they call, are inlined, so that they are compiled
    /// for the kernel's instructions.
    fn piece<K: Kernel>(&self, index: usize);
}

/// Does all pieces of a task on the threads of the current pool. What comes out does not depend on how
/// many there are.
pub(crate) fn run<T: Task>(isa: Isa, pieces: usize, task: &T) {
    assert!(isa.is_available(), "this machine has no {isa}");
    if pieces < 2 {
        (0..pieces).for_each(|index| piece(isa, task, index));
    } else {
        (0..pieces).into_par_iter().with_max_len(1).for_each(|index| piece(isa, task, index));
    }
}

fn piece<T: Task>(isa: Isa, task: &T, index: usize) {
    match isa {
        Isa::Portable => task.piece::<Portable>(index),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `run` made sure that the machine has the instructions.
        Isa::Avx2 => unsafe { piece_avx2(task, index) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `run` made sure that the machine has the instructions.
        Isa::Avx512 => unsafe { piece_avx512(task, index) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `run` made sure that the machine has the instructions.
        Isa::Amx => unsafe { piece_amx(task, index) },
        #[cfg(not(target_arch = "x86_64"))]
        _ => unreachable!("only the portable kernels are available here"),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn piece_avx2<T: Task>(task: &T, index: usize) {
    task.piece::<Avx2>(index);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
fn piece_avx512<T: Task>(task: &T, index: usize) {
    task.piece::<Avx512>(index);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
fn piece_amx<T: Task>(task: &T, index: usize) {
    let _tiles = micro::amx::Tiles::configured();
    task.piece::<Amx>(index);
}

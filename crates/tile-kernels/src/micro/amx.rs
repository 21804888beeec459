//! The micro-kernel on AMX's tile registers, in inline assembly: their intrinsics are not stable
//! (rust-lang/rust#126622), the assembler knows them.
#![allow(unsafe_code)]

use std::arch::asm;

use crate::kernel::Strips;
use crate::tiles::{RegisterTile, Square};

/// Tile registers of this thread, in use until it is dropped.
pub(crate) struct Tiles(());

/// All eight tiles have 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Configuration([u8; 64]);

static CONFIGURATION: Configuration = {
    let mut bytes = [0; 64];
    bytes[0] = 1;
    let mut tile = 0;
    while tile < 8 {
        bytes[16 + 2 * tile] = 64;
        bytes[48 + tile] = 16;
        tile += 1;
    }
    Configuration(bytes)
};

impl Tiles {
    #[inline(always)]
    pub(crate) fn configured() -> Self {
        // SAFETY: called where `Isa::Amx` was found; the configuration has the 64 bytes that are read.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const CONFIGURATION, options(nostack)) }
        Self(())
    }
}

impl Drop for Tiles {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: called where `Isa::Amx` was found.
        unsafe { asm!("tilerelease", options(nostack, nomem)) }
    }
}

/// Sums of the square into tile registers 0 to 3.
macro_rules! load_sums {
    () => {
        "tileloadd tmm0, [{upper} + {row}*1]
         tileloadd tmm1, [{upper} + {row}*1 + 64]
         tileloadd tmm2, [{lower} + {row}*1]
         tileloadd tmm3, [{lower} + {row}*1 + 64]"
    };
}

/// Zeros into tile registers 0 to 3.
macro_rules! zero_sums {
    () => {
        "tilezero tmm0
         tilezero tmm1
         tilezero tmm2
         tilezero tmm3"
    };
}

/// Tile registers 0 to 3 into the square.
macro_rules! store_sums {
    () => {
        "tilestored [{upper} + {row}*1], tmm0
         tilestored [{upper} + {row}*1 + 64], tmm1
         tilestored [{lower} + {row}*1], tmm2
         tilestored [{lower} + {row}*1 + 64], tmm3"
    };
}

/// One block of bf16, and on to the next.
macro_rules! bf16_block {
    () => {
        "tileloadd tmm4, [{a0} + {line}*1]
         tileloadd tmm6, [{b0} + {line}*1]
         tileloadd tmm7, [{b1} + {line}*1]
         tdpbf16ps tmm0, tmm4, tmm6
         tileloadd tmm5, [{a1} + {line}*1]
         tdpbf16ps tmm1, tmm4, tmm7
         tdpbf16ps tmm2, tmm5, tmm6
         tdpbf16ps tmm3, tmm5, tmm7
         prefetcht1 [{ahead}]
         prefetcht1 [{ahead} + 64]
         add {ahead}, 128
         add {a0}, 1024
         add {a1}, 1024
         add {b0}, 1024
         add {b1}, 1024"
    };
}

/// The rows' part at an offset into tile registers 4 and 5.
macro_rules! load_rows {
    ($offset:literal) => {
        concat!(
            "tileloadd tmm4, [{a0} + {line}*1 + ",
            $offset,
            "]\n",
            "tileloadd tmm5, [{a1} + {line}*1 + ",
            $offset,
            "]\n",
        )
    };
}

/// The columns' part at an offset into tile registers 6 and 7.
macro_rules! load_columns {
    ($offset:literal) => {
        concat!(
            "tileloadd tmm6, [{b0} + {line}*1 + ",
            $offset,
            "]\n",
            "tileloadd tmm7, [{b1} + {line}*1 + ",
            $offset,
            "]\n",
        )
    };
}

/// Products of the parts that are loaded.
macro_rules! multiply_parts {
    () => {
        "tdpbf16ps tmm0, tmm4, tmm6
         tdpbf16ps tmm1, tmm4, tmm7
         tdpbf16ps tmm2, tmm5, tmm6
         tdpbf16ps tmm3, tmm5, tmm7\n"
    };
}

/// One block of f32 in three parts each, and on to the next: the six largest of nine products, in an
/// order in which each step changes the parts of one side alone.
macro_rules! split_block {
    () => {
        concat!(
            load_rows!("2048"),
            load_columns!("0"),
            multiply_parts!(),
            load_rows!("1024"),
            multiply_parts!(),
            load_columns!("1024"),
            multiply_parts!(),
            load_rows!("0"),
            multiply_parts!(),
            load_columns!("2048"),
            multiply_parts!(),
            load_columns!("0"),
            multiply_parts!(),
            "prefetcht1 [{ahead}]
             prefetcht1 [{ahead} + 64]
             prefetcht1 [{ahead} + 128]
             prefetcht1 [{ahead} + 192]
             prefetcht1 [{ahead} + 256]
             prefetcht1 [{ahead} + 320]
             add {ahead}, 384
             add {a0}, 3072
             add {a1}, 3072
             add {b0}, 3072
             add {b1}, 3072"
        )
    };
}

/// A function that starts the sums somehow and goes over all blocks. All of it stands in one piece of
/// assembly, for between two of them the compiler promises nothing about tile registers.
macro_rules! product {
    ($(#[$doc:meta])* $name:ident, $tiles:literal, $start:ident, $block:ident) => {
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name(strips: Strips<'_>, ahead: *const RegisterTile, to: &mut Square) {
            let Strips { rows, columns } = strips;
            let count = rows[0].len();
            assert!(rows[1].len() == count && columns[0].len() == count && columns[1].len() == count);
            assert!(count > 0 && count.is_multiple_of($tiles));
            let upper: *mut [[f32; 16]; 2] = to.0.as_mut_ptr();
            // SAFETY: called where `Isa::Amx` was found and `Tiles` were configured. Each strip has
            // `count` tiles of 1024 bytes, of which a block takes as many as stand here; the square has
            // 32 rows of 128 bytes. Fetching ahead never faults.
            unsafe {
                asm!(
                    $start!(),
                    "2:",
                    $block!(),
                    "dec {count}",
                    "jnz 2b",
                    store_sums!(),
                    a0 = inout(reg) rows[0].as_ptr() => _,
                    a1 = inout(reg) rows[1].as_ptr() => _,
                    b0 = inout(reg) columns[0].as_ptr() => _,
                    b1 = inout(reg) columns[1].as_ptr() => _,
                    ahead = inout(reg) ahead => _,
                    count = inout(reg) count / $tiles => _,
                    line = in(reg) 64_usize,
                    row = in(reg) 128_usize,
                    upper = in(reg) upper,
                    lower = in(reg) upper.add(16),
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

product!(
    /// Writes the product of strips of bf16.
    multiply_bf16, 1, zero_sums, bf16_block
);
product!(
    /// Adds the product of strips of bf16.
    add_bf16, 1, load_sums, bf16_block
);
product!(
    /// Writes the product of strips of split f32.
    multiply_split, 3, zero_sums, split_block
);
product!(
    /// Adds the product of strips of split f32.
    add_split, 3, load_sums, split_block
);

//! How rows of images lie in strips: each image's tokens are padded to a multiple of 32.

use crate::lanes::Lanes;
use crate::tiles::SIDE;

/// Tokens of a batch of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tokens {
    /// Images.
    pub batch: usize,
    /// Tokens of an image.
    pub count: usize,
}

impl Tokens {
    /// Groups of 32 rows of an image.
    pub(crate) fn image_groups(self) -> usize {
        self.count.div_ceil(SIDE)
    }

    /// Groups of 32 rows of all images.
    pub(crate) fn groups(self) -> usize {
        self.batch * self.image_groups()
    }

    /// Rows of the plain matrix `[batch * count, width]` that a group of 32 holds.
    pub(crate) fn rows(self, group: usize) -> std::ops::Range<usize> {
        let (image, within) = (group / self.image_groups(), group % self.image_groups());
        let first = within * SIDE;
        let start = image * self.count + first;
        start..start + SIDE.min(self.count - first)
    }
}

/// 32 values of a row, with zeros behind its end.
#[inline(always)]
pub(crate) fn read<L: Lanes>(values: &[f32], block: usize) -> [L::V; 2] {
    read_padded::<L>(values, block, 0.0)
}

/// 32 values of a row, with `padding` behind its end.
#[inline(always)]
pub(crate) fn read_padded<L: Lanes>(values: &[f32], block: usize, padding: f32) -> [L::V; 2] {
    let rest = &values[block * SIDE..];
    if let ([low, high, ..], _) = rest.as_chunks::<16>() {
        return [L::load(low), L::load(high)];
    }
    let mut padded = [[padding; 16]; 2];
    padded.as_flattened_mut()[..rest.len()].copy_from_slice(rest);
    [L::load(&padded[0]), L::load(&padded[1])]
}

/// Writes 32 values of a row, as far as it goes.
#[inline(always)]
pub(crate) fn write<L: Lanes>(values: [L::V; 2], to: &mut [f32], block: usize) {
    let rest = &mut to[block * SIDE..];
    if let ([low, high, ..], _) = rest.as_chunks_mut::<16>() {
        L::store(values[0], low);
        L::store(values[1], high);
        return;
    }
    let mut padded = [[0.0; 16]; 2];
    L::store(values[0], &mut padded[0]);
    L::store(values[1], &mut padded[1]);
    let len = rest.len();
    rest.copy_from_slice(&padded.as_flattened()[..len]);
}

//! Samples of other than 8 and 16 bits, which stand in a row without gaps.

/// The samples of rows that each begin at a byte, uppermost bit first, as numbers of so many bits.
pub(super) fn unpacked(packed: &[u8], per_row: usize, bits: u32) -> Vec<u16> {
    let row_bytes = (per_row * bits as usize).div_ceil(8).max(1);
    let mask = (1_u32 << bits) - 1;
    let mut values = Vec::with_capacity(packed.len() / row_bytes * per_row);
    for row in packed.chunks_exact(row_bytes) {
        let (mut held, mut count) = (0_u32, 0);
        let mut bytes = row.iter();
        for _ in 0..per_row {
            while count < bits {
                held = held << 8 | u32::from(bytes.next().copied().unwrap_or_default());
                count += 8;
            }
            count -= bits;
            values.push((held >> count & mask) as u16);
        }
    }
    values
}

/// A number of up to 8 bits on the scale of 8.
pub(super) fn to_byte(value: u16, bits: u32) -> u8 {
    let most = (1_u32 << bits) - 1;
    ((u32::from(value) * 255 + most / 2) / most) as u8
}

/// A number of 9 to 15 bits on the scale of 16: its upper bits follow below, so that the most is the most.
pub(super) fn to_word(value: u16, bits: u32) -> u16 {
    value << (16 - bits) | value >> (2 * bits - 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_cut_from_the_uppermost_bit() {
        assert_eq!(unpacked(&[0xAB, 0xC0, 0x12, 0x30], 3, 4), [0xA, 0xB, 0xC, 1, 2, 3]);
        assert_eq!(unpacked(&[0xAB, 0xCD, 0xEF], 2, 12), [0xABC, 0xDEF]);
        assert_eq!(unpacked(&[0b1010_0000], 3, 1), [1, 0, 1]);
        assert_eq!(unpacked(&[0xFF, 0xC0, 0x10, 0x00], 3, 10), [0x3FF, 1, 0]);
    }

    #[test]
    fn the_most_stays_the_most() {
        for bits in 1..=8 {
            let most = (1_u32 << bits) - 1;
            assert_eq!((to_byte(0, bits), to_byte(most as u16, bits)), (0, 255), "{bits}");
        }
        assert_eq!(to_byte(7, 4), 7 * 17);
        for bits in 9..16 {
            let most = (1_u32 << bits) - 1;
            assert_eq!((to_word(0, bits), to_word(most as u16, bits)), (0, 65_535), "{bits}");
        }
        assert_eq!(to_word(0xABC, 12), 0xABCA);
    }
}

//! A TIFF's directory as bytes, to write into a copy of it what the library is to read.

use crate::decode::exif::{ByteOrder, unsigned};

/// Where a directory's entries lie.
pub(super) struct DirectoryFields {
    order: ByteOrder,
    is_big: bool,
    entries: usize,
    first: usize,
}

impl DirectoryFields {
    /// The directory at `at` of a file.
    pub(super) fn at(bytes: &[u8], at: u64) -> Option<Self> {
        let order = if bytes.starts_with(b"II") { ByteOrder::Little } else { ByteOrder::Big };
        let at = usize::try_from(at).ok()?;
        let version = [*bytes.get(2)?, *bytes.get(3)?];
        let is_big = version.contains(&43);
        let mut fields = Self { order, is_big, entries: 0, first: 0 };
        let length = if is_big { 8 } else { 2 };
        fields.entries = fields.number(bytes, at, length)?;
        fields.first = at.checked_add(length)?;
        Some(fields)
    }

    /// Makes `tag` one number, where the directory has it.
    pub(super) fn set(&self, bytes: &mut [u8], tag: u16, value: u32) -> Option<()> {
        const SHORT: u32 = 3;
        const LONG: u32 = 4;
        let Some(at) = self.entry(bytes, tag) else { return Some(()) };
        let (kind, length) = if value <= 0xFFFF { (SHORT, 2) } else { (LONG, 4) };
        let (count_length, field) = if self.is_big { (8, at + 12) } else { (4, at + 8) };
        self.write(bytes, at + 2, 2, kind)?;
        self.write(bytes, at + 4, count_length, 1)?;
        self.write(bytes, field, count_length, 0)?;
        self.write(bytes, field, length, value)
    }

    /// Calls `tag` what no reader knows.
    pub(super) fn hide(&self, bytes: &mut [u8], tag: u16) -> Option<()> {
        let Some(at) = self.entry(bytes, tag) else { return Some(()) };
        self.write(bytes, at, 2, 0xFFFE)
    }

    fn entry(&self, bytes: &[u8], tag: u16) -> Option<usize> {
        let size = if self.is_big { 20 } else { 12 };
        let mut starts = (0..self.entries).map_while(|entry| {
            let at = self.first.checked_add(entry.checked_mul(size)?)?;
            Some((at, self.number(bytes, at, 2)?))
        });
        starts.find(|(_, found)| *found == usize::from(tag)).map(|(at, _)| at)
    }

    fn number(&self, bytes: &[u8], at: usize, length: usize) -> Option<usize> {
        usize::try_from(unsigned(bytes, at, length, self.order)?).ok()
    }

    fn write(&self, bytes: &mut [u8], at: usize, length: usize, value: u32) -> Option<()> {
        let place = bytes.get_mut(at..at.checked_add(length)?)?;
        let value = u64::from(value).to_le_bytes();
        let count = place.len();
        for (byte, from) in place.iter_mut().zip(0..) {
            let from = if self.order == ByteOrder::Little { from } else { count - 1 - from };
            *byte = *value.get(from)?;
        }
        Some(())
    }
}

//! Files written by hand, of kinds that no encoder here writes: TIFF, and PNG with further chunks.

/// An uncompressed TIFF of one strip, or of one for each plane where tag 284 says so.
pub(crate) struct TiffFile<'a> {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Bits of each sample of a pixel.
    pub(crate) bits: &'a [u16],
    pub(crate) photometric: u16,
    pub(crate) pixels: &'a [u8],
    /// Further tags of 16-bit numbers.
    pub(crate) more: &'a [(u16, &'a [u16])],
}

const SHORT: u16 = 3;
const LONG: u16 = 4;

/// How a file is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TiffKind {
    Little,
    Big,
    BigTiff,
    BigEndianBigTiff,
}

impl TiffKind {
    pub(crate) const ALL: [Self; 4] =
        [Self::Little, Self::Big, Self::BigTiff, Self::BigEndianBigTiff];

    fn is_little(self) -> bool {
        matches!(self, Self::Little | Self::BigTiff)
    }

    fn is_bigtiff(self) -> bool {
        matches!(self, Self::BigTiff | Self::BigEndianBigTiff)
    }

    /// A number of so many bytes.
    fn bytes(self, value: usize, length: usize) -> Vec<u8> {
        let mut bytes = value.to_le_bytes()[..length].to_vec();
        if !self.is_little() {
            bytes.reverse();
        }
        bytes
    }

    /// The length of counts and offsets.
    fn word(self) -> usize {
        if self.is_bigtiff() { 8 } else { 4 }
    }
}

impl TiffFile<'_> {
    /// The file, of so many pages, all of them the same.
    pub(crate) fn pages(&self, kind: TiffKind, pages: usize) -> Vec<u8> {
        let mark: &[u8] = if kind.is_little() { b"II" } else { b"MM" };
        let mut file = match kind.is_bigtiff() {
            true => [mark, &kind.bytes(43, 2), &kind.bytes(8, 2), &kind.bytes(0, 2)].concat(),
            false => [mark, &kind.bytes(42, 2)].concat(),
        };
        let pixels_at = file.len() + kind.word();
        file.extend(kind.bytes(pixels_at + self.pixels.len(), kind.word()));
        file.extend(self.pixels);
        for page in 1..=pages {
            let directory = self.directory(kind, file.len(), pixels_at, page == pages);
            file.extend(directory);
        }
        file
    }

    pub(crate) fn file(&self, kind: TiffKind) -> Vec<u8> {
        self.pages(kind, 1)
    }

    fn tags(&self, pixels_at: usize) -> Vec<(u16, u16, Vec<usize>)> {
        let (width, height) = (self.width as usize, self.height as usize);
        let numbers = |values: &[u16]| values.iter().map(|value| usize::from(*value)).collect();
        let is_planar = self.more.iter().any(|(tag, values)| *tag == 284 && *values == [2]);
        let strips = if is_planar { self.bits.len() } else { 1 };
        let length = self.pixels.len() / strips;
        let mut tags = vec![
            (256, LONG, vec![width]),
            (257, LONG, vec![height]),
            (258, SHORT, numbers(self.bits)),
            (259, SHORT, vec![1]),
            (262, SHORT, vec![self.photometric.into()]),
            (273, LONG, (0..strips).map(|strip| pixels_at + strip * length).collect()),
            (277, SHORT, vec![self.bits.len()]),
            (278, LONG, vec![height]),
            (279, LONG, vec![length; strips]),
        ];
        for (tag, values) in self.more {
            tags.retain(|(known, ..)| known != tag);
            tags.push((*tag, SHORT, numbers(values)));
        }
        tags.sort();
        tags
    }

    fn directory(&self, kind: TiffKind, at: usize, pixels_at: usize, is_last: bool) -> Vec<u8> {
        let tags = self.tags(pixels_at);
        let (word, count_length) = (kind.word(), if kind.is_bigtiff() { 8 } else { 2 });
        let behind = at + count_length + tags.len() * (4 + 2 * word) + word;
        let mut directory = kind.bytes(tags.len(), count_length);
        let mut values = Vec::new();
        for (tag, of_type, numbers) in &tags {
            let size = if *of_type == SHORT { 2 } else { 4 };
            let mut data: Vec<u8> = numbers.iter().flat_map(|n| kind.bytes(*n, size)).collect();
            directory.extend(kind.bytes((*tag).into(), 2));
            directory.extend(kind.bytes((*of_type).into(), 2));
            directory.extend(kind.bytes(numbers.len(), word));
            if data.len() > word {
                directory.extend(kind.bytes(behind + values.len(), word));
                values.extend(data);
            } else {
                data.resize(word, 0);
                directory.extend(data);
            }
        }
        let next = if is_last { 0 } else { behind + values.len() };
        directory.extend(kind.bytes(next, word));
        directory.extend(values);
        directory
    }
}

/// EXIF of one tag, the orientation as a LONG.
pub(crate) fn exif(orientation: u8) -> Vec<u8> {
    let mut data = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x04\0\0\0\x01\0\0\0".to_vec();
    data.extend([orientation, 0, 0, 0, 0]);
    data
}

/// A PNG with a chunk before its pixels.
pub(crate) fn with_chunk(png: &[u8], kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut chunk = (data.len() as u32).to_be_bytes().to_vec();
    chunk.extend(kind);
    chunk.extend(data);
    chunk.extend(crc(&chunk[4..]).to_be_bytes());
    // Behind the signature and the header.
    [&png[..33], &chunk, &png[33..]].concat()
}

fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32| crc >> 1 ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 };
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc));
    !bytes.iter().fold(!0, byte)
}

//! DICOM files, made here: windows, inversion, claims that are too large; and what a build without
//! the feature says.

use std::path::Path;

use moeclip_data::decode_rgb_bytes;

/// One element of the dataset in explicit little endian.
fn element(tag: (u16, u16), vr: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(tag.0.to_le_bytes());
    bytes.extend(tag.1.to_le_bytes());
    bytes.extend(vr.as_bytes());
    if matches!(vr, "OB" | "OW") {
        bytes.extend([0, 0]);
        bytes.extend((value.len() as u32).to_le_bytes());
    } else {
        bytes.extend((value.len() as u16).to_le_bytes());
    }
    bytes.extend(value);
    bytes
}

fn text(tag: (u16, u16), vr: &str, value: &str) -> Vec<u8> {
    let pad = if vr == "UI" { '\0' } else { ' ' };
    let mut value = value.to_owned();
    if value.len() % 2 == 1 {
        value.push(pad);
    }
    element(tag, vr, value.as_bytes())
}

fn number(tag: (u16, u16), value: u16) -> Vec<u8> {
    element(tag, "US", &value.to_le_bytes())
}

/// A grey picture of 16 bits, as scanners write it.
struct Scan {
    rows: u16,
    columns: u16,
    interpretation: &'static str,
    window: Option<(&'static str, &'static str)>,
    frames: Option<&'static str>,
    pixels: Vec<u16>,
}

impl Scan {
    fn new(pixels: [u16; 4]) -> Self {
        let (interpretation, window, frames) = ("MONOCHROME2", None, None);
        Self { rows: 2, columns: 2, interpretation, window, frames, pixels: pixels.into() }
    }

    fn bytes(&self) -> Vec<u8> {
        let meta = [
            element((2, 1), "OB", &[0, 1]),
            text((2, 2), "UI", "1.2.840.10008.5.1.4.1.1.7"),
            text((2, 3), "UI", "1.2.3.4"),
            text((2, 0x10), "UI", "1.2.840.10008.1.2.1"),
            text((2, 0x12), "UI", "1.2.3.5"),
        ]
        .concat();
        let mut file = vec![0; 128];
        file.extend(b"DICM");
        file.extend(element((2, 0), "UL", &(meta.len() as u32).to_le_bytes()));
        file.extend(meta);
        file.extend(number((0x28, 2), 1));
        file.extend(text((0x28, 4), "CS", self.interpretation));
        if let Some(frames) = self.frames {
            file.extend(text((0x28, 8), "IS", frames));
        }
        file.extend(number((0x28, 0x10), self.rows));
        file.extend(number((0x28, 0x11), self.columns));
        for (tag, value) in [(0x100, 16), (0x101, 16), (0x102, 15), (0x103, 0)] {
            file.extend(number((0x28, tag), value));
        }
        if let Some((center, width)) = self.window {
            file.extend(text((0x28, 0x1050), "DS", center));
            file.extend(text((0x28, 0x1051), "DS", width));
        }
        let pixels: Vec<u8> = self.pixels.iter().flat_map(|v| v.to_le_bytes()).collect();
        file.extend(element((0x7FE0, 0x10), "OW", &pixels));
        file
    }
}

fn decode(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let picture = decode_rgb_bytes(bytes, Path::new("scan.dcm")).map_err(|e| e.to_string())?;
    assert!(picture.pixels().all(|p| p.0[0] == p.0[1] && p.0[1] == p.0[2]));
    Ok(picture.pixels().map(|pixel| pixel.0[0]).collect())
}

fn refused(bytes: &[u8]) -> String {
    let error = decode(bytes).unwrap_err();
    assert!(error.starts_with("scan.dcm: ") && !error.contains('\n'), "{error}");
    error
}

#[cfg(not(feature = "dicom"))]
#[test]
fn a_build_without_dicom_says_how_to_get_it() {
    assert!(refused(&Scan::new([0; 4]).bytes()).contains("--features dicom"));
}

#[cfg(feature = "dicom")]
mod with_the_feature {
    use super::*;

    #[test]
    fn without_a_window_the_range_is_the_pictures_own() {
        assert_eq!(decode(&Scan::new([100, 200, 300, 1100]).bytes()).unwrap()[..1], [0]);
        let levels = decode(&Scan::new([0, 1000, 2000, 4000]).bytes()).unwrap();
        assert_eq!((levels[0], levels[3]), (0, 255));
        assert!((63..=64).contains(&levels[1]), "{levels:?}");
    }

    #[test]
    fn a_window_is_applied() {
        let scan = Scan { window: Some(("1000", "200")), ..Scan::new([0, 900, 1000, 4000]) };
        let levels = decode(&scan.bytes()).unwrap();
        assert_eq!((levels[0], levels[3]), (0, 255));
        assert!(levels[1] <= 1 && (126..=129).contains(&levels[2]), "{levels:?}");
    }

    #[test]
    fn monochrome1_is_inverted() {
        let scan = Scan { interpretation: "MONOCHROME1", ..Scan::new([0, 1000, 2000, 4000]) };
        let levels = decode(&scan.bytes()).unwrap();
        assert_eq!((levels[0], levels[3]), (255, 0));
    }

    #[test]
    fn what_cannot_be_used_is_one_line() {
        let huge = Scan { rows: 65535, columns: 65535, ..Scan::new([0; 4]) };
        assert!(refused(&huge.bytes()).contains("claims 65535x65535 pixels"));
        let film = Scan { frames: Some("30"), ..Scan::new([0; 4]) };
        assert!(refused(&film.bytes()).contains("30 frames"));
        let whole = Scan::new([0, 1, 2, 3]).bytes();
        for length in (132..whole.len()).step_by(7) {
            refused(&whole[..length]);
        }
    }
}

//! A list on the disk and the files that it names: records become samples.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::fields::shown;
use super::{ListFormat, Listing, Record, bad_line};
use crate::decode::{Pointer, pointer};
use crate::error::DataError;
use crate::fault::{Fault, FaultKind};
use crate::folder::unfetched;
use crate::layout::Scan;
use crate::sample::{Label, Sample, Split};

/// Longest list, in bytes.
const LONGEST: u64 = 64 << 20;

/// The defect of an anomalous image of which nothing more is known.
pub(in crate::layout) const ANOMALY: &str = "anomaly";

/// A list, and what its lines leave to others to say.
pub(in crate::layout) struct ListSource<'a> {
    pub(in crate::layout) list: &'a Path,
    pub(in crate::layout) format: ListFormat,
    /// The folder that paths start from.
    pub(in crate::layout) images: &'a Path,
    /// The class of samples whose line names none.
    pub(in crate::layout) class: &'a str,
}

/// The list at `path`.
///
/// # Errors
/// [`DataError`] when it cannot be read, is longer than 64 MiB, no UTF-8, or not of the format.
pub(in crate::layout) fn read(path: &Path, format: ListFormat) -> Result<Listing, DataError> {
    format.parse(&text(path)?, path)
}

impl ListSource<'_> {
    /// The samples of `split` as the list names them.
    ///
    /// # Errors
    /// As [`read`]; and [`DataError`] when no line is of the split.
    pub(in crate::layout) fn scan(&self, split: Split) -> Result<Scan, DataError> {
        self.check_split(split)?;
        self.samples(read(self.list, self.format)?, split)
    }

    /// The samples of `split` of a list that is read already.
    ///
    /// # Errors
    /// [`DataError`] when the folder of images cannot be read or no line is of the split.
    pub(in crate::layout) fn samples(
        &self,
        listing: Listing,
        split: Split,
    ) -> Result<Scan, DataError> {
        self.check_split(split)?;
        fs::metadata(self.images).map_err(|e| DataError::unreadable(self.images, e))?;
        let Listing { mut records, faults, of } = listing;
        records.retain(|record| record.split == split);
        if records.is_empty() && faults.is_empty() {
            let reason = format!("holds no sample of the split {}", split.name());
            return Err(DataError::layout(self.list, reason));
        }
        let mut scan = Scan { samples: Vec::with_capacity(records.len()), faults };
        self.drop_repeated(&mut records, &mut scan.faults);
        let has_masks = records.iter().any(|record| !record.masks.is_empty());
        for record in records {
            self.add(record, has_masks, of, &mut scan);
        }
        Ok(scan)
    }

    fn check_split(&self, split: Split) -> Result<(), DataError> {
        if split == Split::Test || self.format.names_splits() {
            return Ok(());
        }
        let reason = "a list of this kind names no splits and is all test; use a csv list to name \
                      images of the split train";
        Err(DataError::layout(self.list, reason))
    }

    fn drop_repeated(&self, records: &mut Vec<Record>, faults: &mut Vec<Fault>) {
        let mut seen: BTreeMap<PathBuf, usize> = BTreeMap::new();
        records.retain(|record| match seen.get(&record.image) {
            Some(first) => {
                let image = shown(&record.image.to_string_lossy());
                let reason = format!("{image} stands in line {first} already; remove one");
                faults.push(bad_line(self.list, record.line, reason));
                false
            }
            None => {
                seen.insert(record.image.clone(), record.line);
                true
            }
        });
    }

    fn add(&self, record: Record, has_masks: bool, of: Option<&'static str>, scan: &mut Scan) {
        let mut file = |path: &PathBuf| {
            let file = self.images.join(path);
            if file.is_file() {
                return Some(file);
            }
            let reason = unfetched(&file)
                .map(|detail| format!("{} is not there, {detail}", shown(&path.to_string_lossy())))
                .unwrap_or_else(|| not_there(path, of));
            scan.faults.push(bad_line(self.list, record.line, reason));
            None
        };
        let Some(image) = file(&record.image) else { return };
        let masks: Vec<PathBuf> = record.masks.iter().filter_map(&mut file).collect();
        let is_anomalous = record.label == Label::Anomalous;
        if is_anomalous && has_masks && record.masks.is_empty() {
            let line = record.line;
            let detail =
                format!("line {line} names no mask for it, others have one; add it to the list");
            scan.faults.push(Fault::new(FaultKind::MaskMissing, &image, detail));
        }
        let class = record.class.as_deref().unwrap_or(self.class);
        let defect =
            record.defect.as_deref().unwrap_or(if is_anomalous { ANOMALY } else { "good" });
        let mut sample = Sample::new(image, class, record.label, defect);
        sample.masks = masks;
        sample.prompt = record.prompt.unwrap_or(sample.prompt);
        sample.group = record.group;
        scan.samples.push(sample);
    }
}

/// What is wrong with a record whose file is not there, in a list that is somebody's.
fn not_there(path: &Path, of: Option<&str>) -> String {
    let path = shown(&path.to_string_lossy());
    match of {
        None => format!("{path} is not there; add the file or correct the list"),
        Some(of) => format!(
            "{path} is not there (this is {of} list; a dataset.toml of kind meta-json says with root \
             and list where its images lie); add the file"
        ),
    }
}

fn text(path: &Path) -> Result<String, DataError> {
    let unreadable = |e: std::io::Error| DataError::unreadable(path, e);
    let refuse = |reason: String| DataError::BadFile { path: path.to_path_buf(), reason };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LONGEST {
        return Err(refuse("is longer than 64 MiB; split the list".into()));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        let line = before.filter(|byte| **byte == b'\n').count() + 1;
        refuse(format!("line {line}: is no UTF-8 text; store the list as UTF-8"))
    })?;
    match pointer(&text) {
        Some(Pointer { of, fetch }) => {
            Err(refuse(format!("{of} in place of the list; fetch it with `{fetch}`")))
        }
        None => Ok(text),
    }
}

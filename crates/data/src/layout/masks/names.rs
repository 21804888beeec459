//! How masks are named after images: the patterns of a description, and names that differ from them in
//! what does not matter.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::error::DataError;
use crate::folder::is_image;

/// Stands for an image's name without its ending.
const STEM: &str = "STEM";
/// Stands for an image's name with its ending.
const NAME: &str = "NAME";

/// The patterns of one layout, in the order in which they are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::layout) struct MaskNames(Vec<MaskName>);

/// What a mask's name, without its ending, has before and behind the name of its image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MaskName {
    before: String,
    of: ImageName,
    after: String,
    number: MaskNumber,
}

/// Which part of an image's name a mask repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ImageName {
    Stem,
    Whole,
}

/// How many masks one image has by this pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum MaskNumber {
    One,
    /// Those that have anything between what stands before the `*` and this.
    Several(String),
}

/// How the names of several masks of one image begin and end.
pub(super) struct PieceNames {
    pub(super) start: String,
    end: String,
    between: Between,
}

/// What may stand between start and end.
#[derive(PartialEq, Eq)]
enum Between {
    Anything,
    Number,
}

impl MaskNames {
    /// The patterns `names`, or where there are none `STEM` with each of the suffixes.
    ///
    /// # Errors
    /// What is wrong with a pattern.
    pub(in crate::layout) fn new(names: &[String], suffixes: &[String]) -> Result<Self, String> {
        let of_suffix = |suffix: &String| MaskName::parse(&format!("{STEM}{suffix}"));
        let parsed = match names.is_empty() {
            true => suffixes.iter().map(of_suffix).collect::<Result<_, _>>(),
            false => names.iter().map(|name| MaskName::parse(name)).collect(),
        };
        parsed.map(Self)
    }

    /// As [`MaskNames::new`], for a layout at `root`.
    ///
    /// # Errors
    /// [`DataError::Layout`] naming `root`.
    pub(in crate::layout) fn at(
        root: &Path,
        names: &[String],
        suffixes: &[String],
    ) -> Result<Self, DataError> {
        Self::new(names, suffixes).map_err(|wrong| DataError::layout(root, wrong))
    }

    /// In the order in which they are tried.
    pub(super) fn iter(&self) -> impl Iterator<Item = &MaskName> {
        self.0.iter()
    }

    /// What the only mask of `image` may be called, without ending.
    pub(in crate::layout) fn exact(&self, image: &Path) -> impl Iterator<Item = OsString> {
        self.iter().filter_map(|name| name.exact(image))
    }

    /// For messages.
    pub(in crate::layout) fn shown(&self) -> String {
        self.iter().map(|name| format!("{}.png", name.pattern())).collect::<Vec<_>>().join(" or ")
    }
}

impl MaskName {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| Err(format!("mask-names: {text:?} {what}"));
        let (of, parts) = match (text.split_once(STEM), text.split_once(NAME)) {
            (Some(parts), None) => (ImageName::Stem, parts),
            (None, Some(parts)) => (ImageName::Whole, parts),
            (None, None) => return wrong("holds no STEM, which stands for the image's name"),
            (Some(_), Some(_)) => return wrong("holds both STEM and NAME; take one"),
        };
        let (before, after) = parts;
        if text.contains(['/', '\\']) || text.contains(char::is_control) {
            return wrong("names a folder; masks says where they lie");
        }
        let (after, number) = match after.split_once('*') {
            None => (after, MaskNumber::One),
            Some((after, end)) => (after, MaskNumber::Several(end.into())),
        };
        if before.contains('*') || matches!(&number, MaskNumber::Several(end) if end.contains('*'))
        {
            return wrong("may hold one * behind the image's name, for several masks");
        }
        Ok(Self { before: before.into(), of, after: after.into(), number })
    }

    fn pattern(&self) -> String {
        let of = if self.of == ImageName::Stem { STEM } else { NAME };
        let several = match &self.number {
            MaskNumber::One => String::new(),
            MaskNumber::Several(end) => format!("*{end}"),
        };
        format!("{}{of}{}{several}", self.before, self.after)
    }

    /// The only mask of `image` by this pattern, without ending; `None` where there may be several.
    pub(super) fn exact(&self, image: &Path) -> Option<OsString> {
        let is_one = self.number == MaskNumber::One;
        is_one.then(|| {
            let mut name = OsString::from(&self.before);
            name.push(self.image_name(image));
            name.push(&self.after);
            name
        })
    }

    /// The names that differ from [`MaskName::exact`] in case or in endings upon endings, as
    /// [`alike`] has them.
    pub(super) fn alike(&self, image: &Path) -> Vec<String> {
        if self.number != MaskNumber::One {
            return Vec::new();
        }
        let names = [image.file_stem(), image.file_name()].into_iter().flatten();
        let names = names.filter_map(|name| name.to_str());
        names.map(|name| alike(&format!("{}{name}{}", self.before, self.after))).collect()
    }

    /// How several masks of `image` are called. Where the pattern does not speak of several, those
    /// that have a number behind a word of the pattern's own: `000_mask_0`, never `000_0`.
    pub(super) fn pieces(&self, image: &Path) -> Option<PieceNames> {
        let name = self.image_name(image).to_str()?.to_lowercase();
        let (before, after) = (self.before.to_lowercase(), self.after.to_lowercase());
        let start = format!("{before}{name}{after}");
        match &self.number {
            MaskNumber::Several(end) => {
                Some(PieceNames { start, end: end.to_lowercase(), between: Between::Anything })
            }
            MaskNumber::One if after.ends_with(char::is_alphabetic) => {
                Some(PieceNames { start, end: String::new(), between: Between::Number })
            }
            MaskNumber::One => None,
        }
    }

    fn image_name<'a>(&self, image: &'a Path) -> &'a OsStr {
        let name = match self.of {
            ImageName::Stem => image.file_stem(),
            ImageName::Whole => image.file_name(),
        };
        name.unwrap_or_default()
    }
}

impl PieceNames {
    /// Whether `name`, as [`alike`] has it, is one of them.
    pub(super) fn fit(&self, name: &str) -> bool {
        let rest = name.strip_prefix(&self.start).and_then(|rest| rest.strip_suffix(&self.end));
        let Some(rest) = rest else { return false };
        if self.between == Between::Anything {
            return true;
        }
        let number = rest.trim_start_matches(['_', '-', '.', ' ', '(']).trim_end_matches(')');
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    }
}

/// A name without ending in small letters, and without further endings of images.
pub(super) fn alike(name: &str) -> String {
    let mut name = name.to_lowercase();
    while is_image(Path::new(&name)) {
        name.truncate(name.rfind('.').unwrap_or_default());
    }
    name
}

/// The pattern by which `mask` would be a mask of `image`, both without ending; `None` where the
/// image's name does not stand in it on its own.
pub(super) fn pattern_of(mask: &str, image: &str) -> Option<String> {
    let places = mask.match_indices(image).map(|(at, _)| (&mask[..at], &mask[at + image.len()..]));
    let mut apart =
        places.filter(|(before, after)| ends_apart(before, image) && ends_apart(image, after));
    let (before, after) = apart.next().filter(|_| !image.is_empty())?;
    Some(format!("{before}{STEM}{after}"))
}

/// The task and annotation that Label Studio puts into a mask's name, as in `task-7-annotation-3`.
pub(super) fn annotation_of(mask: &OsStr) -> Option<&str> {
    let name = mask.to_str()?;
    let (task, rest) = name.strip_prefix("task-")?.split_once("-annotation-")?;
    let (annotation, _) = rest.split_once("-by-")?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let end = name.len() - rest.len() + annotation.len();
    name.get(..end).filter(|_| is_number(task) && is_number(annotation))
}

/// Whether no number and no word goes on from `left` into `right`.
fn ends_apart(left: &str, right: &str) -> bool {
    match (left.chars().next_back(), right.chars().next()) {
        (Some(a), Some(b)) => {
            !(a.is_numeric() && b.is_numeric() || a.is_alphabetic() && b.is_alphabetic())
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_images_name_stands_on_its_own() {
        for (mask, image, pattern) in [
            ("000_gt", "000", Some("STEM_gt")),
            ("mask000", "000", Some("maskSTEM")),
            ("gt-000-1", "000", Some("gt-STEM-1")),
            ("1000_gt", "000", None),
            ("part_a", "part", Some("STEM_a")),
            ("apart", "part", None),
            ("10_0", "0", Some("10_STEM")),
            ("x", "", None),
        ] {
            assert_eq!(pattern_of(mask, image).as_deref(), pattern, "{mask} {image}");
        }
    }

    #[test]
    fn the_annotation_of_a_mask_stands_in_its_name() {
        for (mask, annotation) in [
            ("task-7-annotation-3-by-1-tag-scratch-0", Some("task-7-annotation-3")),
            ("task-12-annotation-30-by-a@b.org-tag-dent-1", Some("task-12-annotation-30")),
            ("task-7-annotation-x-by-1", None),
            ("task--annotation-3-by-1", None),
            ("task-7", None),
            ("000_mask", None),
        ] {
            assert_eq!(annotation_of(OsStr::new(mask)), annotation, "{mask}");
        }
    }

    #[test]
    fn a_pattern_that_is_none_is_refused() {
        for (pattern, says) in [
            ("mask", "holds no STEM"),
            ("NAME_STEM", "both"),
            ("gt/STEM", "names a folder"),
            ("*_STEM", "one * behind"),
            ("STEM_*_*", "one * behind"),
        ] {
            let wrong = MaskNames::new(&[pattern.into()], &[]).unwrap_err();
            assert!(wrong.contains(says) && wrong.starts_with("mask-names: "), "{wrong}");
        }
    }
}

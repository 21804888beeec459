//! Finds the canonical tensors of a CLIP among a file's own, and names every one at fault.

use std::collections::{BTreeMap, BTreeSet};

use super::detect::Named;
use super::names::Source;
use super::{Dtype, Problems, TensorFile, WeightError, canonical_shapes};
use crate::spec::ClipSpec;

/// A canonical tensor, and what it is made of.
#[derive(Debug)]
pub(super) struct Canonical {
    /// Its tensors, by their whole names in the file.
    pub(super) source: Source,
    pub(super) shape: Vec<usize>,
    pub(super) dtype: Dtype,
}

/// Refuses a file in which anything is wrong.
pub(super) fn refuse(file: &TensorFile, problems: Problems) -> Result<(), WeightError> {
    if problems.is_empty() {
        return Ok(());
    }
    Err(WeightError::Incompatible { file: file.path().into(), problems: Box::new(problems) })
}

/// Finds canonical tensors among a file's own.
pub(super) struct Finder<'a> {
    pub(super) file: &'a TensorFile,
    pub(super) named: &'a Named,
}

impl Finder<'_> {
    /// Shape that the canonical `name` has in this file, if its tensors are there.
    pub(super) fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let own = |name: &str| self.file.shape(self.named.names.get(name)?).map(<[usize]>::to_vec);
        match self.named.layout.source(name) {
            Source::Same(name) => own(&name),
            Source::Transposed(name) => own(&name).map(|shape| shape.into_iter().rev().collect()),
            Source::Stacked(_) => None,
        }
    }

    /// Every canonical tensor of a CLIP with these sizes, or every tensor at fault.
    pub(super) fn canonical(
        &self,
        spec: &ClipSpec,
    ) -> Result<BTreeMap<String, Canonical>, WeightError> {
        let mut problems = Problems::default();
        let mut tensors = BTreeMap::new();
        let mut unused: BTreeSet<&str> = self.named.names.keys().map(String::as_str).collect();
        for (name, shape) in canonical_shapes(spec) {
            let source = self.named.layout.source(&name);
            for (part, needed) in source.parts(&shape) {
                unused.remove(part);
                self.check(part, &needed, &mut problems);
            }
            if let Some((source, dtype)) = self.whole(&source, &mut problems) {
                tensors.insert(name, Canonical { source, shape, dtype });
            }
        }
        let unexpected = unused.into_iter().chain(self.named.stray.iter().map(String::as_str));
        problems.unexpected = unexpected.map(str::to_owned).collect();
        if !problems.is_empty() {
            self.add_non_finite(&mut problems)?;
        }
        refuse(self.file, problems).map(|()| tensors)
    }

    /// Notes what is wrong with one of the layout's tensors.
    fn check(&self, name: &str, needed: &[usize], problems: &mut Problems) {
        let whole = self.named.names.get(name);
        let found = whole.and_then(|whole| self.file.shape(whole).zip(self.file.dtype(whole)));
        let Some((shape, dtype)) = found else {
            problems.missing.push(name.to_owned());
            return;
        };
        // Some writers keep a scalar as a vector of one.
        let scalar = needed.is_empty() && shape == [1];
        if shape != needed && !scalar {
            problems.misshapen.push(format!("{name} is {shape:?}, {needed:?} needed"));
        }
        if !dtype.is_float() {
            problems.not_float.push(format!("{name} is {dtype}"));
        }
    }

    /// The source with the file's whole names, and the one type that its parts share.
    fn whole(&self, source: &Source, problems: &mut Problems) -> Option<(Source, Dtype)> {
        let own = |name: &String| self.named.names.get(name).cloned();
        let whole = match source {
            Source::Same(name) => Source::Same(own(name)?),
            Source::Transposed(name) => Source::Transposed(own(name)?),
            Source::Stacked([q, k, v]) => Source::Stacked([own(q)?, own(k)?, own(v)?]),
        };
        let parts = whole.parts(&[]);
        let dtypes = parts.iter().map(|(name, _)| Some((*name, self.file.dtype(name)?)));
        let dtypes: Vec<(&str, Dtype)> = dtypes.collect::<Option<_>>()?;
        let (_, first) = *dtypes.first()?;
        for (name, dtype) in dtypes.iter().filter(|(_, dtype)| *dtype != first) {
            // q, k and v become one tensor.
            problems.misshapen.push(format!("{name} is {dtype}, {first} needed"));
        }
        Some((whole, first))
    }

    /// When the file is refused anyway, its values are looked at too: one error tells everything.
    fn add_non_finite(&self, problems: &mut Problems) -> Result<(), WeightError> {
        for (name, whole) in &self.named.names {
            if !self.file.is_finite(whole)? {
                problems.non_finite.push(name.clone());
            }
        }
        Ok(())
    }
}

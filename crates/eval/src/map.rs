//! An anomaly map as this crate sees it: borrowed rows of finite f32, checked once, so that nothing
//! downstream has to.

use serde::Serialize;

use crate::EvalError;
use crate::error::{require_finite, require_length};

/// A borrowed anomaly map `[height, width]`, row by row; every value finite, both sides at least 1.
#[derive(Clone, Copy, Debug)]
pub struct MapView<'a> {
    width: usize,
    height: usize,
    values: &'a [f32],
}

/// Where a map is highest: the pixel (from 0, top left) and its value. The first in reading order
/// where several tie.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Peak {
    /// Column.
    pub x: usize,
    /// Row.
    pub y: usize,
    /// The map's value there.
    pub value: f32,
}

/// The values that a picture shows as its darkest and brightest: finite and in order.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MapRange {
    low: f32,
    high: f32,
}

impl<'a> MapView<'a> {
    /// Views `values` as a map `[height, width]`.
    ///
    /// # Errors
    /// [`EvalError::EmptyPicture`] without pixels, [`EvalError::Length`] when `values` is not
    /// `width * height` long, [`EvalError::NotFinite`] on NaN or an infinity.
    pub fn new(width: usize, height: usize, values: &'a [f32]) -> Result<Self, EvalError> {
        if width == 0 || height == 0 {
            let what = "map".to_owned();
            return Err(EvalError::EmptyPicture { what, width, height });
        }
        require_length("map", width.saturating_mul(height), values.len())?;
        require_finite("map", values)?;
        Ok(Self { width, height, values })
    }

    /// Pixels across.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Pixels down.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The values, row by row.
    pub fn values(&self) -> &'a [f32] {
        self.values
    }

    /// Where the map is highest.
    pub fn peak(&self) -> Peak {
        let first = (0, self.values[0]);
        let (index, value) = self
            .values
            .iter()
            .copied()
            .enumerate()
            .fold(first, |best, next| if next.1 > best.1 { next } else { best });
        Peak { x: index % self.width, y: index / self.width, value }
    }

    /// The map's own lowest and highest value.
    pub fn range(&self) -> MapRange {
        let start = MapRange { low: self.values[0], high: self.values[0] };
        self.values.iter().fold(start, |range, &value| MapRange {
            low: range.low.min(value),
            high: range.high.max(value),
        })
    }
}

impl MapRange {
    /// The range from `low` to `high`.
    ///
    /// # Errors
    /// [`EvalError::Range`] unless both are finite and `low <= high`.
    pub fn new(low: f32, high: f32) -> Result<Self, EvalError> {
        if low.is_finite() && high.is_finite() && low <= high {
            return Ok(Self { low, high });
        }
        Err(EvalError::Range { low, high })
    }

    /// The low end.
    pub fn low(&self) -> f32 {
        self.low
    }

    /// The high end.
    pub fn high(&self) -> f32 {
        self.high
    }

    /// The smallest range that holds both.
    #[must_use]
    pub fn union(&self, other: MapRange) -> MapRange {
        MapRange { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    /// Where `value` lies, from 0 at the low end to 1 at the high end, clamped; 0 everywhere in a
    /// range of one point.
    pub fn fraction(&self, value: f32) -> f32 {
        // In f64 the difference of two finite f32 cannot overflow.
        let span = f64::from(self.high) - f64::from(self.low);
        if span <= 0.0 {
            return 0.0;
        }
        ((f64::from(value) - f64::from(self.low)) / span).clamp(0.0, 1.0) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_checked_when_it_is_viewed() {
        assert!(matches!(MapView::new(0, 2, &[]), Err(EvalError::EmptyPicture { .. })));
        assert!(matches!(
            MapView::new(2, 2, &[0.0; 3]),
            Err(EvalError::Length { expected: 4, found: 3, .. })
        ));
        assert!(matches!(MapView::new(usize::MAX, 2, &[0.0; 3]), Err(EvalError::Length { .. })));
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(matches!(
                MapView::new(2, 1, &[0.0, bad]),
                Err(EvalError::NotFinite { index: 1, .. })
            ));
        }
    }

    #[test]
    fn the_peak_is_the_first_of_the_highest() {
        let map = MapView::new(3, 2, &[-5.0, -1.0, -2.0, -3.0, -1.0, -4.0]).unwrap();
        let peak = Peak { x: 1, y: 0, value: -1.0 };
        assert_eq!(map.peak(), peak);
        assert_eq!(map.range(), MapRange::new(-5.0, -1.0).unwrap());
    }

    #[test]
    fn fractions_are_clamped_and_never_nan() {
        let range = MapRange::new(-1.0, 3.0).unwrap();
        assert_eq!(
            [-9.0, -1.0, 1.0, 3.0, 9.0].map(|v| range.fraction(v)),
            [0.0, 0.0, 0.5, 1.0, 1.0]
        );
        assert_eq!(MapRange::new(2.0, 2.0).unwrap().fraction(2.0), 0.0);
        assert_eq!(MapRange::new(f32::MIN, f32::MAX).unwrap().fraction(0.0), 0.5);
        assert!(MapRange::new(1.0, 0.0).is_err());
        assert!(MapRange::new(f32::NAN, 0.0).is_err());
    }
}

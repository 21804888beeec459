//! Rules that the settings of several methods share: each refuses one kind of value and says what to do.

use clip_vit::VisionSpec;

use crate::MethodError;

/// Patches along one side of a square image.
///
/// # Errors
///
/// [`MethodError::Settings`] when the image holds no patch.
pub(crate) fn grid(image_size: usize, vision: &VisionSpec) -> Result<usize, MethodError> {
    let patch = vision.patch;
    if image_size >= patch {
        return Ok(image_size / patch);
    }
    let reason = format!("{image_size} is smaller than a patch of {patch} px; enlarge it");
    Err(MethodError::Settings { key: "image_size", reason })
}

/// Refuses numbers of layers, counted from 1, that the tower does not have.
///
/// # Errors
///
/// [`MethodError::Settings`] naming the list.
pub(crate) fn layers_exist(
    key: &'static str,
    numbers: &[usize],
    vision: &VisionSpec,
) -> Result<(), MethodError> {
    let layers = vision.layers;
    if numbers.iter().all(|number| (1..=layers).contains(number)) {
        return Ok(());
    }
    let reason = format!("{numbers:?} must be layers between 1 and {layers}");
    Err(MethodError::Settings { key, reason })
}

/// Refuses an empty list.
///
/// # Errors
///
/// [`MethodError::Settings`] naming it.
pub(crate) fn not_empty<T>(key: &'static str, list: &[T]) -> Result<(), MethodError> {
    if list.is_empty() {
        let reason = "is empty; name at least one".into();
        return Err(MethodError::Settings { key, reason });
    }
    Ok(())
}

/// Refuses what is not a finite number above zero.
///
/// # Errors
///
/// [`MethodError::Settings`] naming it.
pub(crate) fn positive(key: &'static str, value: f64) -> Result<(), MethodError> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    let reason = format!("{value} is not usable; give a number above 0");
    Err(MethodError::Settings { key, reason })
}

/// Refuses what is not a finite number of zero or more.
///
/// # Errors
///
/// [`MethodError::Settings`] naming it.
pub(crate) fn not_negative(key: &'static str, value: f64) -> Result<(), MethodError> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    let reason = format!("{value} is not usable; give 0 or more");
    Err(MethodError::Settings { key, reason })
}

/// Refuses what is no share of a whole.
///
/// # Errors
///
/// [`MethodError::Settings`] naming it.
pub(crate) fn share(key: &'static str, value: f64) -> Result<(), MethodError> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    let reason = format!("{value} is no share; give 0 to 1");
    Err(MethodError::Settings { key, reason })
}

/// Refuses a count that is not from `least` to `most`.
///
/// # Errors
///
/// [`MethodError::Settings`] naming it.
pub(crate) fn within(
    key: &'static str,
    count: usize,
    least: usize,
    most: usize,
) -> Result<(), MethodError> {
    if (least..=most).contains(&count) {
        return Ok(());
    }
    let reason = format!("{count} is out of range; give {least} to {most}");
    Err(MethodError::Settings { key, reason })
}

#[cfg(test)]
mod tests {
    use clip_vit::Preset;

    use super::*;

    #[test]
    fn each_rule_names_the_setting_and_the_remedy() {
        let vision = Preset::VitB16.spec().vision;
        assert_eq!(grid(47, &vision).unwrap(), 2);
        let told = [
            grid(15, &vision).map(drop),
            layers_exist("taps", &[3, 13], &vision),
            layers_exist("taps", &[0], &vision),
            not_empty::<usize>("scales", &[]),
            positive("temperature", 0.0),
            positive("temperature", f64::NAN),
            within("depth", 5, 1, 4),
            not_negative("weight", -0.5),
            share("mix", 1.5),
        ];
        let lines = told.map(|told| told.unwrap_err().to_string());
        assert_eq!(lines[0], "image_size: 15 is smaller than a patch of 16 px; enlarge it");
        assert_eq!(lines[1], "taps: [3, 13] must be layers between 1 and 12");
        assert_eq!(lines[2], "taps: [0] must be layers between 1 and 12");
        assert_eq!(lines[3], "scales: is empty; name at least one");
        assert_eq!(lines[4], "temperature: 0 is not usable; give a number above 0");
        assert!(lines[5].starts_with("temperature: NaN"));
        assert_eq!(lines[6], "depth: 5 is out of range; give 1 to 4");
        assert_eq!(lines[7], "weight: -0.5 is not usable; give 0 or more");
        assert_eq!(lines[8], "mix: 1.5 is no share; give 0 to 1");
    }
}

//! Lays the settings of a file over the defaults, which are also the list of all known keys.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// A value as `--set` has it.
pub(super) fn value(text: &str) -> Value {
    let line = toml::from_str::<Map<String, Value>>(&format!("value = {text}"));
    let parsed = line.ok().filter(|table| table.len() == 1).and_then(|mut t| t.remove("value"));
    parsed.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// Replaces in `settings` what `given` names.
pub(super) fn overlay(settings: &mut Value, given: Value, at: &str) -> Result<(), String> {
    match (settings, given) {
        (Value::Object(settings), Value::Object(given)) => {
            given.into_iter().try_for_each(|(key, value)| overlay_key(settings, &key, value, at))
        }
        (settings, given) if settings.is_null() || kind(settings) == kind(&given) => {
            *settings = given;
            Ok(())
        }
        (settings, given) => Err(format!("{at} = {given}: give {}", kind(settings))),
    }
}

fn overlay_key(
    settings: &mut Map<String, Value>,
    key: &str,
    given: Value,
    at: &str,
) -> Result<(), String> {
    let key = key.replace('-', "_");
    let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
    match settings.get_mut(&key) {
        Some(setting) => overlay(setting, given, &path),
        None => Err(format!("{path} is no known key{}", advice(&key, settings, at))),
    }
}

/// The nearest known key, or all of them where none is near.
fn advice(key: &str, settings: &Map<String, Value>, at: &str) -> String {
    let distance = |known: &&String| strsim::damerau_levenshtein(key, known);
    let nearest = settings.keys().min_by_key(distance);
    match nearest.filter(|known| distance(known) * 2 <= known.len().max(key.len())) {
        Some(known) => format!("; did you mean {known}?"),
        None => {
            let known: Vec<&str> = settings.keys().map(String::as_str).collect();
            let place = if at.is_empty() { "sections" } else { at };
            format!("; {place}: {}", known.join(", "))
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a section",
    }
}

/// Settings as the structure that they describe, with the path of the first that does not fit.
pub(super) fn read<T: DeserializeOwned>(settings: Value) -> Result<T, String> {
    serde_path_to_error::deserialize(settings).map_err(|error| {
        let at = error.path().to_string();
        format!("{at}: {}", error.into_inner())
    })
}

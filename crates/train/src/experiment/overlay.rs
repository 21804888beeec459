//! Lays the settings of a file over the defaults, which are also the list of all known keys.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// A file's text; what is no TOML is refused by its line.
pub fn toml(text: &str) -> Result<Value, String> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().and_then(|span| text.get(..span.start));
        let line = line.map_or(0, |before| before.matches('\n').count()) + 1;
        let reason = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
        format!("line {line}: {reason}")
    })
}

/// A value as `--set` has it.
pub fn value(text: &str) -> Value {
    let line = toml::from_str::<Map<String, Value>>(&format!("value = {text}"));
    let parsed = line.ok().filter(|table| table.len() == 1).and_then(|mut t| t.remove("value"));
    parsed.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// `a.b=value` as nested settings; `example` is for messages.
pub fn assignment(text: &str, example: &str) -> Result<Value, String> {
    let (key, given) =
        text.split_once('=').ok_or_else(|| format!("is no key=value; write it as in {example}"))?;
    let keys: Vec<&str> = key.split('.').map(str::trim).collect();
    if keys.iter().any(|key| key.is_empty()) {
        return Err(format!("has an empty key; write it as in {example}"));
    }
    let nest =
        |inner: Value, key: &&str| Value::Object([(key.to_string(), inner)].into_iter().collect());
    Ok(keys.iter().rev().fold(value(given.trim()), nest))
}

/// Replaces in `settings` what `given` names.
pub fn overlay(settings: &mut Value, given: Value, at: &str) -> Result<(), String> {
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

fn advice(key: &str, settings: &Map<String, Value>, at: &str) -> String {
    let place = if at.is_empty() { "sections" } else { at };
    nearest(key, settings.keys().map(String::as_str), place)
}

/// The nearest known name, or all of them where none is near; `place` says of what.
pub fn nearest<'a>(
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
    place: &str,
) -> String {
    let distance = |known: &&str| strsim::damerau_levenshtein(name, known);
    let nearest = known.clone().min_by_key(distance);
    match nearest.filter(|known| distance(known) * 2 <= known.len().max(name.len())) {
        Some(known) => format!("; did you mean {known}?"),
        None => format!("; {place}: {}", known.collect::<Vec<_>>().join(", ")),
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
pub fn read<T: DeserializeOwned>(settings: Value) -> Result<T, String> {
    serde_path_to_error::deserialize(settings).map_err(|error| {
        let at = error.path().to_string();
        format!("{at}: {}", error.into_inner())
    })
}

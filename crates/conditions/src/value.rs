//! Values of conditions, and how two of them differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{Condition, Purpose};

/// Longest value that is shown, in characters.
const SHOWN: usize = 80;

/// Digits of a SHA-256, and how many of them are shown.
const HASH: usize = 64;
const SHOWN_OF_HASH: usize = 12;

/// Values of conditions. In a file they are a map from the conditions' names, which a struct takes in
/// by `#[serde(flatten)]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    values: BTreeMap<Name, Value>,
}

/// A condition of the table, or one that a newer program knows, which stands behind those.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Known(Condition),
    Unknown(String),
}

/// The first condition that is not as it was; its `Display` is one line that names it, both values
/// and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The condition, `None` for one that this program does not know.
    pub condition: Option<Condition>,
    /// What a person reads of it, with the place in it that differs, as in `training.seed`.
    pub what: String,
    /// What it was, as JSON.
    pub then: String,
    /// What it is, as JSON.
    pub now: String,
}

impl Conditions {
    /// What this build and this machine decide, for a device that is named as on the command line.
    pub fn here(device: &str) -> Self {
        let here = |&condition: &Condition| Some((Name::Known(condition), condition.here(device)?));
        Self { values: Condition::ALL.iter().filter_map(here).collect() }
    }

    /// With another. A value is read as it would stand in a file; null is as good as absent.
    pub fn with(mut self, condition: Condition, value: &impl Serialize) -> Self {
        // By its text, since an f32 reads shorter there than as an f64.
        let text = serde_json::to_string(value).unwrap_or_default();
        let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        match value {
            Value::Null => self.values.remove(&Name::Known(condition)),
            value => self.values.insert(Name::Known(condition), value),
        };
        self
    }

    /// Those that count for a purpose, and those that this program does not know.
    pub fn of(mut self, purpose: Purpose) -> Self {
        self.values.retain(|name, _| name.known().is_none_or(|one| one.counts_for(purpose)));
        self
    }

    /// Those that build and machine decide.
    pub fn of_build(mut self) -> Self {
        self.values.retain(|name, _| name.is_of_build());
        self
    }

    /// Those that are settings.
    pub fn without_build(mut self) -> Self {
        self.values.retain(|name, _| !name.is_of_build());
        self
    }

    /// Conditions of a purpose that have no value here.
    pub fn missing(&self, purpose: Purpose) -> Vec<Condition> {
        let is_missing = |one: &Condition| !self.values.contains_key(&Name::Known(*one));
        purpose.conditions().filter(is_missing).collect()
    }

    /// SHA-256 in hexadecimal digits: the same wherever nothing differs, unless one side does not say
    /// its kernels.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (name, value) in &self.values {
            if name.unsaid().as_ref() != Some(value) {
                for (path, leaf) in name.leaves(value) {
                    hash.update(format!("{}{path}={leaf}\n", name.text()));
                }
            }
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The first condition that is another one now.
    pub fn first_difference(&self, now: &Self) -> Option<Difference> {
        let names: BTreeSet<&Name> = self.values.keys().chain(now.values.keys()).collect();
        names
            .into_iter()
            .find_map(|name| name.difference(self.values.get(name), now.values.get(name)))
    }
}

impl Name {
    fn known(&self) -> Option<Condition> {
        match self {
            Self::Known(condition) => Some(*condition),
            Self::Unknown(_) => None,
        }
    }

    fn is_of_build(&self) -> bool {
        self.known().is_some_and(Condition::is_of_build)
    }

    fn text(&self) -> &str {
        match self {
            Self::Known(condition) => condition.name(),
            Self::Unknown(name) => name,
        }
    }

    fn unsaid(&self) -> Option<Value> {
        self.known().map_or(Some(Value::Null), Condition::unsaid)
    }

    fn difference(&self, then: Option<&Value>, now: Option<&Value>) -> Option<Difference> {
        let unsaid = self.unsaid();
        let (then, now) = (then.or(unsaid.as_ref())?, now.or(unsaid.as_ref())?);
        let (then, now) = (self.leaves(then), self.leaves(now));
        let paths: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
        let path = paths.into_iter().find(|path| then.get(*path) != now.get(*path))?;
        let words = self.known().map_or(self.text(), |condition| condition.row().words);
        Some(Difference {
            condition: self.known(),
            what: format!("{words}{path}").trim_start_matches('.').to_owned(),
            then: shown(then.get(path)),
            now: shown(now.get(path)),
        })
    }

    /// Each number, text and switch of a value that counts, by its dotted path, as JSON.
    fn leaves(&self, value: &Value) -> BTreeMap<String, String> {
        let mut leaves = BTreeMap::new();
        gather(String::new(), value, &mut leaves);
        let free = self.known().map_or(&[][..], Condition::free);
        leaves.retain(|path, _| !free.iter().any(|free| is_within(path, free)));
        leaves
    }
}

/// Whether a dotted path is that of a field or lies below it.
fn is_within(path: &str, field: &str) -> bool {
    let rest = path.strip_prefix('.').and_then(|path| path.strip_prefix(field));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn gather(path: String, value: &Value, leaves: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter().for_each(|(name, value)| gather(format!("{path}.{name}"), value, leaves));
        }
        Value::Array(items) if !items.is_empty() => {
            let items = items.iter().enumerate();
            items.for_each(|(index, value)| gather(format!("{path}[{index}]"), value, leaves));
        }
        leaf => {
            leaves.insert(path, leaf.to_string());
        }
    }
}

/// A value for one line of text.
fn shown(value: Option<&String>) -> String {
    let Some(value) = value else { return "absent".into() };
    let text = value.trim_matches('"');
    let is_hash = text.len() == HASH && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash {
        return format!("\"{}...\"", &text[..SHOWN_OF_HASH]);
    }
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &value[..end]),
        None => value.clone(),
    }
}

impl Difference {
    /// Whether it lies in build and machine: every setting is as it was.
    pub fn is_of_build(&self) -> bool {
        self.condition.is_some_and(Condition::is_of_build)
    }

    /// What to do about it, but for taking another place.
    pub fn remedy(&self) -> &'static str {
        self.condition.map_or("use the program that wrote it", Condition::remedy)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, then, now, .. } = self;
        write!(formatter, "{what} was {then} and is {now} now; {}", self.remedy())
    }
}

impl Serialize for Conditions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.values.iter().map(|(name, value)| (name.text(), value)))
    }
}

impl<'de> Deserialize<'de> for Conditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = BTreeMap::<String, Value>::deserialize(deserializer)?;
        let named = |(name, value): (String, Value)| match Condition::of_name(&name) {
            Some(condition) => (Name::Known(condition), value),
            None => (Name::Unknown(name), value),
        };
        let said = values.into_iter().filter(|(_, value)| !value.is_null());
        Ok(Self { values: said.map(named).collect() })
    }
}

#[cfg(test)]
mod tests;

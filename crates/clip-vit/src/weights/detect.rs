//! Which tensors of a file are a CLIP: whatever stands before all of its names is taken off, and where
//! several sets of weights lie in one file, none is chosen without being told which.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::TensorFile;
use super::error::{WeightError, listed, shown};
use super::names::{Layout, Tower};

/// Longest prefix that is looked for, in letters.
const LONGEST: usize = 256;

/// So many tensors outside of the blocks make a second set of weights.
const SECOND_SET: usize = 3;

/// The tensors of a file that make its CLIP, without what stands before their names.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) layout: Layout,
    /// The name in the layout, and the whole name in the file.
    pub(super) names: BTreeMap<String, String>,
    /// Whole names that are not behind the prefix of the others.
    pub(super) stray: Vec<String>,
}

/// Why no set of weights is taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Undetected {
    /// No name is a CLIP's.
    NoClip,
    /// What the names of each set begin with.
    Several(Vec<String>),
}

impl Undetected {
    /// The same of a file, of which `part` was asked for.
    fn of(self, file: &TensorFile, part: Option<&str>) -> WeightError {
        let path = file.path().to_owned();
        match (self, part) {
            (Undetected::Several(prefixes), _) => {
                WeightError::SeveralClips { file: path, prefixes: listed(&prefixes) }
            }
            (Undetected::NoClip, Some(part)) => {
                WeightError::NoSuchPart { file: path, part: shown(part), sample: file.sample() }
            }
            (Undetected::NoClip, None) => match other_model(file.names()) {
                Some(what) => WeightError::OtherModel { file: path, what },
                None => {
                    let (count, sample) = (file.names().count(), file.sample());
                    WeightError::NotClip { file: path, count, sample }
                }
            },
        }
    }
}

impl Named {
    /// The CLIP in a file, or in that part of it whose names begin with `part`.
    ///
    /// # Errors
    ///
    /// [`WeightError`] when it holds none or several, another model, or one tower alone.
    pub(super) fn of(file: &TensorFile, part: Option<&str>) -> Result<Named, WeightError> {
        let names = || file.names();
        let found = match part {
            None => Named::detect(names(), file.containers()),
            Some(part) => {
                let part = part.trim_end_matches('.');
                let nested = format!("{part}.");
                if names().any(|name| name.starts_with(&nested)) {
                    let inside = names().filter(|name| name.starts_with(&nested));
                    Named::detect(inside, file.containers())
                } else {
                    // Without a dot no part of a word is meant, and the names must follow at once.
                    let follows = |name: &&str| {
                        let inner = name.strip_prefix(part);
                        inner.is_some_and(|inner| Layout::ALL.iter().any(|l| l.knows(inner)))
                    };
                    Named::detect(names().filter(follows), file.containers())
                }
            }
        };
        let path = || file.path().to_owned();
        let named = found.map_err(|undetected| undetected.of(file, part))?;
        let inner = || named.names.keys().map(String::as_str);
        if let Some(what) = other_model(inner()) {
            return Err(WeightError::OtherModel { file: path(), what });
        }
        match named.tower_alone() {
            Some((has, lacks)) => Err(match other_model(names()) {
                Some(what) => WeightError::OtherModel { file: path(), what },
                None => WeightError::TowerAlone { file: path(), has, lacks },
            }),
            None => Ok(named),
        }
    }

    /// The layout and the prefix under which most of `names` are a CLIP's. `containers` are the names
    /// of the dictionaries that the file nests.
    pub(super) fn detect<'a>(
        names: impl Iterator<Item = &'a str> + Clone,
        containers: &BTreeSet<String>,
    ) -> Result<Named, Undetected> {
        let best = counted(names.clone(), Layout::knows)
            .into_iter()
            .max_by_key(|(set, count)| (*count, Reverse((set.prefix.len(), *set))))
            .map(|(set, _)| set)
            .ok_or(Undetected::NoClip)?;
        let Set { prefix, layout } = best;
        let others = other_sets(names.clone(), best);
        if !others.is_empty() {
            let all = std::iter::once(prefix).chain(others);
            let quoted = |prefix: &str| match prefix {
                "" => "\"\"".to_owned(),
                prefix => prefix.to_owned(),
            };
            return Err(Undetected::Several(all.map(quoted).collect()));
        }
        // What lies outside the innermost dictionary (an optimizer) is no part of the CLIP; what lies
        // inside it but is named unlike the rest is reported.
        let container = container(prefix, containers);
        let is_inside = |name: &&str| name.starts_with(container) && !is_no_weight(name);
        let mut named = Named { layout, names: BTreeMap::new(), stray: Vec::new() };
        for whole in names.filter(is_inside) {
            match whole.strip_prefix(prefix) {
                Some(name) => drop(named.names.insert(name.into(), whole.into())),
                None if is_of_optimizer(whole) => {}
                None => named.stray.push(whole.into()),
            }
        }
        Ok(named)
    }

    /// The tower that is there and the one that is not, where only one is.
    fn tower_alone(&self) -> Option<(&'static str, &'static str)> {
        // A projection is no tower yet.
        let has = |tower| {
            let mut names = self.names.keys().filter(|name| !name.contains("proj"));
            names.any(|name| self.layout.tower(name) == Some(tower))
        };
        // An image tower that was taken out of its CLIP lacks `visual.`, and its blocks are named as
        // a text tower's.
        let bare = ["conv1.weight", "class_embedding"];
        let is_bare = bare.iter().any(|name| self.names.contains_key(*name))
            && !self.names.contains_key("token_embedding.weight");
        match (has(Tower::Vision), has(Tower::Text)) {
            _ if is_bare => Some(("image", "text")),
            (true, false) => Some(("image", "text")),
            (false, true) => Some(("text", "image")),
            _ => None,
        }
    }
}

/// Names that share a prefix and follow a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Set<'a> {
    prefix: &'a str,
    layout: Layout,
}

/// The prefixes of sets of weights other than `best`: of names that make a CLIP, and of averages.
fn other_sets<'a>(
    names: impl Iterator<Item = &'a str> + Clone,
    best: Set<'a>,
) -> BTreeSet<&'a str> {
    let Set { prefix, layout } = best;
    let is_taken = |name: &&str| name.strip_prefix(prefix).is_some_and(|inner| layout.knows(inner));
    let rest = names.filter(|name| !is_taken(name));
    let clips = several(counted(rest.clone(), Layout::is_anchor));
    let mut others: BTreeSet<&str> = clips.into_iter().map(|set| set.prefix).collect();
    let is_seen = |name: &str| {
        let chosen = !prefix.is_empty() && name.starts_with(prefix);
        chosen || others.iter().any(|other| name.starts_with(other))
    };
    let averages = several(averages(rest.filter(|name| !is_seen(name))));
    others.extend(averages);
    others
}

/// What was counted often enough to be a set of weights.
fn several<T>(counts: BTreeMap<T, usize>) -> Vec<T> {
    counts.into_iter().filter(|(_, count)| *count >= SECOND_SET).map(|(set, _)| set).collect()
}

/// For each prefix and layout, how many names pass. What an optimizer keeps under the names of its
/// weights is no set of weights.
fn counted<'a>(
    names: impl Iterator<Item = &'a str>,
    passes: impl Fn(Layout, &str) -> bool,
) -> BTreeMap<Set<'a>, usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        let starts = name.char_indices().map(|(at, _)| at).take(LONGEST);
        for (prefix, inner) in starts.map(|at| name.split_at(at)) {
            for layout in Layout::ALL.into_iter().filter(|layout| passes(*layout, inner)) {
                if !is_of_optimizer(prefix) {
                    *counts.entry(Set { prefix, layout }).or_default() += 1;
                }
            }
        }
    }
    counts
}

/// How many tensors lie behind each prefix that calls itself an average: such a list may know no names.
fn averages<'a>(names: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, usize> {
    const WORDS: [&str; 5] = ["ema", "shadow", "swa", "average", "averaged"];
    let mut counts = BTreeMap::new();
    for name in names.filter(|name| !is_of_optimizer(name)) {
        let ends = name.match_indices('.').map(|(dot, _)| dot).take(LONGEST);
        let mut starts = ends.scan(0, |start, end| {
            let part = name.get(*start..end).unwrap_or_default();
            *start = end + 1;
            Some((part, *start))
        });
        let average = starts.find(|(part, _)| part.split(['_', '-']).any(|w| WORDS.contains(&w)));
        if let Some((_, end)) = average {
            *counts.entry(&name[..end]).or_default() += 1;
        }
    }
    counts
}

fn is_of_optimizer(prefix: &str) -> bool {
    const STARTS: [&str; 4] = ["optim", "exp_avg", "max_exp_avg", "momentum"];
    prefix.split('.').any(|part| STARTS.iter().any(|start| part.starts_with(start)))
}

/// What the names of the innermost dictionary around `prefix` begin with; nothing where there is none.
fn container<'a>(prefix: &'a str, containers: &BTreeSet<String>) -> &'a str {
    let mut ends = prefix.match_indices('.').map(|(dot, _)| dot);
    let nested = ends.rfind(|dot| containers.contains(&prefix[..*dot]));
    nested.map_or("", |dot| &prefix[..=dot])
}

/// Buffers that describe a model or can be computed: no CLIP needs them from a file.
fn is_no_weight(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    matches!(
        last,
        "input_resolution"
            | "context_length"
            | "vocab_size"
            | "attn_mask"
            | "position_ids"
            // How many steps an average is of.
            | "n_averaged"
    )
}

/// What a file is by its names, where it is something that people take for a CLIP.
fn other_model<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'static str> {
    const MARKS: [(&str, &str); 12] = [
        ("logit_bias", "a SigLIP (it has a logit_bias)"),
        ("vision_model.head.", "a SigLIP (its image tower ends in vision_model.head)"),
        ("visual.trunk.", "a CLIP of open_clip whose image tower is one of timm's (visual.trunk)"),
        ("visual.attnpool.", "a CLIP whose image tower is a ResNet (visual.attnpool)"),
        ("visual.blocks.", "an EVA-CLIP (visual.blocks)"),
        ("text_decoder.", "a CoCa (it has a text_decoder)"),
        ("text.transformer.embeddings.", "a CLIP whose text tower is one of transformers"),
        ("text.transformer.encoder.", "a CLIP whose text tower is one of transformers"),
        ("seg_proj.", "a file of MoECLIP adapters, which goes with --adapter"),
        ("image_adapter.", "a file of MoECLIP adapters, which goes with --adapter"),
        ("blocks.0.attn.qkv.weight", "an image tower of timm or DINO"),
        ("base_model.model.", "a file of PEFT's adapters, to be merged into their CLIP first"),
    ];
    let mut found: Option<usize> = None;
    for name in names {
        let marked = |mark: &str| {
            name.match_indices(mark).any(|(at, _)| at == 0 || name[..at].ends_with('.'))
        };
        let first = MARKS.iter().position(|(mark, _)| marked(mark));
        found = found.into_iter().chain(first).min();
    }
    found.and_then(|mark| MARKS.get(mark)).map(|(_, what)| *what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(names: &[&str], containers: &[&str]) -> Result<Named, Undetected> {
        let containers = containers.iter().map(ToString::to_string).collect();
        Named::detect(names.iter().copied(), &containers)
    }

    fn inner(names: &[&str], containers: &[&str]) -> (Layout, Vec<String>) {
        let named = detect(names, containers).unwrap();
        (named.layout, named.names.into_keys().collect())
    }

    /// Enough of a CLIP to be one.
    fn clip(prefix: &str) -> Vec<String> {
        let names = ["visual.proj", "visual.conv1.weight", "ln_final.weight", "text_projection"];
        names.iter().map(|name| format!("{prefix}{name}")).collect()
    }

    #[test]
    fn wrapping_is_stripped_and_optimizers_are_left_out() {
        let names = [
            "optimizer.state.0.exp_avg",
            "state_dict.module.logit_scale",
            "state_dict.module.visual.proj",
            "state_dict.module.visual.attn_mask",
            "state_dict.stray",
        ];
        let expected = vec!["logit_scale".to_owned(), "visual.proj".into()];
        for containers in [&[][..], &["optimizer", "optimizer.state", "state_dict"]] {
            assert_eq!(inner(&names, containers), (Layout::OpenClip, expected.clone()));
            assert_eq!(detect(&names, containers).unwrap().stray, ["state_dict.stray"]);
        }
    }

    #[test]
    fn hugging_face_is_known_by_its_towers() {
        let names = [
            "logit_scale",
            "text_model.embeddings.position_ids",
            "vision_model.encoder.layers.0.x",
        ];
        let expected = vec!["logit_scale".to_owned(), "vision_model.encoder.layers.0.x".into()];
        assert_eq!(inner(&names, &[]), (Layout::HuggingFace, expected));
        let stranger = detect(&["image_adapter.seg_proj.0.fc.weight"], &[]);
        assert_eq!(stranger.err(), Some(Undetected::NoClip));
    }

    #[test]
    fn any_prefix_is_taken_off() {
        for prefix in
            ["", "a.", "module.model.", "x.visual.", "text.", "a.b.c.d.e.f.", "net_", "é/"]
        {
            let names = clip(prefix);
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            assert_eq!(inner(&names, &[]).1.len(), names.len(), "{prefix}");
            assert!(detect(&names, &[]).unwrap().stray.is_empty(), "{prefix}");
        }
    }

    #[test]
    fn several_sets_are_never_chosen_from() {
        for prefixes in [["student.", "teacher."], ["model.", "model_ema."], ["", "ema.module."]] {
            let names: Vec<String> = prefixes.iter().flat_map(|prefix| clip(prefix)).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let Err(Undetected::Several(found)) = detect(&names, &[]) else { panic!("{names:?}") };
            let expected = prefixes.map(|prefix| if prefix.is_empty() { "\"\"" } else { prefix });
            assert_eq!(found, expected);
        }
        let mut shadow = clip("model.");
        shadow.extend((0..4).map(|index| format!("ema.shadow_params.{index}")));
        let shadow: Vec<&str> = shadow.iter().map(String::as_str).collect();
        let found = detect(&shadow, &["model", "ema"]).err();
        assert_eq!(found, Some(Undetected::Several(vec!["model.".into(), "ema.".into()])));
        let moments: Vec<String> = [clip("model."), clip("optimizer.exp_avg.")].concat();
        let moments: Vec<&str> = moments.iter().map(String::as_str).collect();
        assert_eq!(inner(&moments, &["model", "optimizer", "optimizer.exp_avg"]).1.len(), 4);
    }

    #[test]
    fn what_is_no_clip_is_called_by_its_name() {
        let cases = [
            ("logit_bias", Some("SigLIP")),
            ("model.visual.trunk.cls_token", Some("timm")),
            ("visual.attnpool.c_proj.weight", Some("ResNet")),
            ("text_decoder.x", Some("CoCa")),
            ("my_logit_bias", None),
            ("visual.proj", None),
        ];
        for (name, expected) in cases {
            let found = other_model([name].into_iter());
            assert_eq!(found.is_some(), expected.is_some(), "{name}");
            assert!(found.unwrap_or_default().contains(expected.unwrap_or_default()), "{name}");
        }
    }
}

//! Sentences about a picture, in the words of the default prompts and a few others.
//!
//! Each picture has two: one that is true of it, and the same with the other state. A share of them
//! calls the thing by a word that means nothing, or only an object: so the state words carry the
//! meaning, and a name that was never seen is noise that does not matter.

use std::collections::BTreeSet;

use clip_vit::tokenizer::Tokenizer;
use moeclip::PromptSet;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use synthetic_world::{Category, DefectKind, Role};

use crate::PictureSettings;

/// Whether something is wrong with a picture, and what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// All is well.
    Sound,
    /// Something is wrong that has no name, or is not called by it.
    Damaged,
    /// This is wrong.
    With(DefectKind),
}

/// What is true of a picture or crop, as far as captions say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageLabel {
    /// What it shows.
    pub category: Category,
    /// Whether something is wrong with it.
    pub state: State,
}

/// What a sentence says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaptionLabel {
    /// What it is called, if by its name.
    pub category: Option<Category>,
    /// Whether something is wrong, as far as the sentence says it.
    pub state: State,
}

/// A sentence as the text tower reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// Ids of the [`Vocabulary`], as many as the tower's context.
    pub tokens: Vec<i64>,
    /// What it says.
    pub label: CaptionLabel,
}

/// The two sentences of a picture, one for each state; they differ in nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptionPair {
    /// That all is well.
    pub normal: Sentence,
    /// That something is wrong.
    pub defective: Sentence,
}

/// Words beside the default prompts for a thing that is as it should be.
const NORMAL: [&str; 4] =
    ["a flawless {}", "a perfect {}", "a {} without defect", "an undamaged {}"];

/// What a thing may be called when its name is not to matter.
const NAMELESS: [&str; 6] = ["object", "surface", "thing", "part", "sample", "item"];

/// How often a sentence has the words of the default prompts; else it has others, or names the defect.
const AS_PROMPTED: f64 = 0.65;

impl State {
    /// Whether something is wrong.
    pub fn is_defective(self) -> bool {
        self != Self::Sound
    }
}

impl CaptionLabel {
    /// Whether the sentence is true of a picture. A plain name says that nothing is wrong, as it does
    /// in the prompts that detectors are asked with.
    pub fn describes(&self, label: &ImageLabel) -> bool {
        self.category.is_none_or(|category| category == label.category)
            && match self.state {
                State::Damaged => label.state.is_defective(),
                state => label.state == state,
            }
    }
}

/// Makes sentences.
pub struct Captions {
    tokenizer: Tokenizer,
    vocabulary: Vocabulary,
    prompts: PromptSet,
    unknown_names: f64,
    nameless: f64,
}

impl Captions {
    /// Captions of so many tokens.
    pub fn new(context: usize, settings: &PictureSettings, seed: u64) -> Self {
        let tokenizer = Tokenizer::new(context);
        let prompts = PromptSet::default();
        let vocabulary = Vocabulary::of(&tokenizer, &all_texts(&prompts), seed);
        let PictureSettings { unknown_names, nameless, .. } = *settings;
        Self { tokenizer, vocabulary, prompts, unknown_names, nameless }
    }

    /// The tokens that captions are made of.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Two sentences about a picture.
    pub fn pair(&self, label: &ImageLabel, rng: &mut ChaCha8Rng) -> CaptionPair {
        let (name, category) = self.name(label.category, rng);
        let template = pick(&self.prompts.templates, rng);
        let as_prompted = rng.random_bool(AS_PROMPTED);
        let normal = match as_prompted {
            true => pick(&self.prompts.normal, rng).to_owned(),
            false => pick(&NORMAL, rng).to_owned(),
        };
        // Of a normal picture, the sentence that is wrong may name any defect.
        let named = match label.state {
            State::With(defect) => Some(defect),
            State::Damaged => None,
            State::Sound => label.category.defects().choose(rng).copied(),
        };
        let (abnormal, defective) = match named.filter(|_| !as_prompted) {
            Some(defect) => (format!("a {{}} with {}", defect.phrase()), State::With(defect)),
            None => (pick(&self.prompts.abnormal, rng).to_owned(), State::Damaged),
        };
        let sentence = |phrase: &str, state| Sentence {
            tokens: self.row(&template.replace("{}", phrase), &name),
            label: CaptionLabel { category, state },
        };
        CaptionPair {
            normal: sentence(&normal, State::Sound),
            defective: sentence(&abnormal, defective),
        }
    }

    /// Both sentences about a category with its plain name in the default prompts' first words: for
    /// measuring.
    pub fn plain_pair(&self, category: Category) -> CaptionPair {
        let name = self.vocabulary.known(&inner(&self.tokenizer, category.prompt()));
        let sentence = |text: &str, state| Sentence {
            tokens: self.row(text, &name),
            label: CaptionLabel { category: Some(category), state },
        };
        CaptionPair {
            normal: sentence("a photo of a {}.", State::Sound),
            defective: sentence("a photo of a damaged {}.", State::Damaged),
        }
    }

    /// Tokens of what a thing is called, and what it is if that is its name.
    fn name(&self, category: Category, rng: &mut ChaCha8Rng) -> (Vec<i64>, Option<Category>) {
        let draw: f64 = rng.random();
        if draw < self.unknown_names {
            let count = rng.random_range(1..=2);
            return ((0..count).map(|_| self.vocabulary.unknown(rng)).collect(), None);
        }
        let nameless = draw < self.unknown_names + self.nameless;
        let (text, category) = match nameless {
            true => (pick(&NAMELESS, rng), None),
            false => (category.prompt(), Some(category)),
        };
        (self.vocabulary.known(&inner(&self.tokenizer, text)), category)
    }

    /// A text with `{}` for the name, as a row of ids.
    fn row(&self, text: &str, name: &[i64]) -> Vec<i64> {
        let (before, behind) = text.split_once("{}").unwrap_or((text, ""));
        let part = |text: &str| self.vocabulary.known(&inner(&self.tokenizer, text));
        let words = [part(before), name.to_vec(), part(behind)].concat();
        self.vocabulary.row(words, self.tokenizer.context())
    }
}

/// The ids of a text without start, end and padding.
fn inner(tokenizer: &Tokenizer, text: &str) -> Vec<i64> {
    let ids = tokenizer.encode(text);
    let end = ids.iter().copied().max().unwrap_or(0);
    ids.into_iter().skip(1).take_while(|id| *id != end).collect()
}

/// Every text that a caption may contain.
fn all_texts(prompts: &PromptSet) -> Vec<String> {
    let phrases = prompts.normal.iter().chain(&prompts.abnormal).map(String::as_str);
    let phrases = phrases.chain(NORMAL).map(|phrase| phrase.replace("{}", " "));
    let names = Category::of(Role::Auxiliary).map(Category::prompt).chain(NAMELESS);
    let kinds = DefectKind::ALL.into_iter().filter(|kind| kind.roles().contains(&Role::Auxiliary));
    let kinds = kinds.map(|kind| format!("with {}", kind.phrase()));
    let templates = prompts.templates.iter().map(|template| template.replace("{}", " "));
    phrases.chain(names.map(str::to_owned)).chain(kinds).chain(templates).collect()
}

fn pick<'a, T: AsRef<str>>(among: &'a [T], rng: &mut ChaCha8Rng) -> &'a str {
    among.choose(rng).map_or("{}", AsRef::as_ref)
}

/// Words that mean nothing.
const UNKNOWN: usize = 1500;

/// Ids of CLIP's table from here on are more than single bytes.
const FIRST_WORD: i64 = 512;

/// Tokens in the order of CLIP's ids, so that the end of a text is still the largest.
///
/// CLIP's table has 49408 rows; a table of those that can occur makes a step of Adam small, and the
/// finished file has every row again. Beside the words of captions stand words that mean nothing:
/// tokens drawn from the rest, whose rows stay as they were drawn, as those of words that are never
/// seen do.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    ids: Vec<i64>,
    /// Places of words that mean nothing, ascending.
    unknown: Vec<i64>,
    start: i64,
    end: i64,
}

impl Vocabulary {
    /// The tokens of `texts`, and words that mean nothing.
    pub(crate) fn of(tokenizer: &Tokenizer, texts: &[String], seed: u64) -> Self {
        let rows = texts.iter().flat_map(|text| tokenizer.encode(text));
        let known: BTreeSet<i64> = rows.collect();
        let empty = tokenizer.encode("");
        let (start, end) = (empty[0], empty.iter().copied().max().unwrap_or(0));
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut ids = known.clone();
        while ids.len() < known.len() + UNKNOWN {
            ids.insert(rng.random_range(FIRST_WORD..start));
        }
        let ids: Vec<i64> = ids.into_iter().collect();
        let unknown = (0_i64..).zip(&ids).filter(|(_, id)| !known.contains(id));
        let unknown = unknown.map(|(place, _)| place).collect();
        let mut vocabulary = Self { ids, unknown, start: 0, end: 0 };
        (vocabulary.start, vocabulary.end) = (vocabulary.place(start), vocabulary.place(end));
        vocabulary
    }

    /// CLIP's ids, one for each row of the table.
    pub fn ids(&self) -> &[i64] {
        &self.ids
    }

    /// 1 for rows that learn, 0 for words that mean nothing.
    pub fn learns(&self) -> Vec<f32> {
        let mut learns = vec![1.0; self.ids.len()];
        self.unknown.iter().for_each(|place| learns[*place as usize] = 0.0);
        learns
    }

    /// Places of CLIP's ids; those that are not here are left out.
    pub(crate) fn known(&self, ids: &[i64]) -> Vec<i64> {
        ids.iter()
            .filter(|id| self.ids.binary_search(id).is_ok())
            .map(|id| self.place(*id))
            .collect()
    }

    /// A word that means nothing.
    pub(crate) fn unknown(&self, rng: &mut ChaCha8Rng) -> i64 {
        self.unknown.choose(rng).copied().unwrap_or(0)
    }

    /// Start, words, end and padding.
    pub(crate) fn row(&self, words: Vec<i64>, context: usize) -> Vec<i64> {
        let words = words.into_iter().take(context.saturating_sub(2));
        let mut row: Vec<i64> = std::iter::once(self.start).chain(words).collect();
        row.push(self.end);
        row.resize(context, 0);
        row
    }

    fn place(&self, id: i64) -> i64 {
        self.ids.binary_search(&id).map_or(0, |place| place as i64)
    }
}

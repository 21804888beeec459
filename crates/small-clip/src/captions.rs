//! Sentences about a picture, in the words of the default prompts and a few others.
//!
//! Each picture has two: one that is true of it, and the same with the other state. A share of them
//! calls the thing by a word that means nothing, or only an object: so the state words carry the
//! meaning, and a name that was never seen is noise that does not matter.

use clip_vit::tokenizer::Tokenizer;
use moeclip::PromptSet;
use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use synthetic_world::{Category, DefectKind, Role};

use crate::PictureSettings;
use crate::vocabulary::Vocabulary;

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
pub struct Facts {
    /// What it shows.
    pub category: Category,
    /// Whether something is wrong with it.
    pub state: State,
}

/// What a sentence says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
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
    pub claim: Claim,
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

impl Claim {
    /// Whether the sentence is true of a picture. A plain name says that nothing is wrong, as it does
    /// in the prompts that detectors are asked with.
    pub fn is_true_of(&self, facts: &Facts) -> bool {
        self.category.is_none_or(|category| category == facts.category)
            && match self.state {
                State::Damaged => facts.state.is_defective(),
                state => facts.state == state,
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
    pub fn pair(&self, facts: &Facts, rng: &mut ChaCha8Rng) -> CaptionPair {
        let (name, category) = self.name(facts.category, rng);
        let template = pick(&self.prompts.templates, rng);
        let as_prompted = rng.random_bool(AS_PROMPTED);
        let normal = match as_prompted {
            true => pick(&self.prompts.normal, rng).to_owned(),
            false => pick(&NORMAL, rng).to_owned(),
        };
        // Of a normal picture, the sentence that is wrong may name any defect.
        let named = match facts.state {
            State::With(defect) => Some(defect),
            State::Damaged => None,
            State::Sound => facts.category.defects().choose(rng).copied(),
        };
        let (abnormal, defective) = match named.filter(|_| !as_prompted) {
            Some(defect) => (format!("a {{}} with {}", defect.phrase()), State::With(defect)),
            None => (pick(&self.prompts.abnormal, rng).to_owned(), State::Damaged),
        };
        let sentence = |phrase: &str, state| Sentence {
            tokens: self.row(&template.replace("{}", phrase), &name),
            claim: Claim { category, state },
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
            claim: Claim { category: Some(category), state },
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

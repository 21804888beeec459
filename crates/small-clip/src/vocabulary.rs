//! The few tokens that captions are made of. CLIP's table has 49408 rows; a table of those that can
//! occur makes a step of Adam small, and the finished file has every row again.
//!
//! Beside the words of captions stand words that mean nothing: tokens drawn from the rest, whose rows
//! stay as they were drawn, as those of words that are never seen do.

use std::collections::BTreeSet;

use clip_vit::tokenizer::Tokenizer;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Words that mean nothing.
const UNKNOWN: usize = 1500;

/// Ids of CLIP's table from here on are more than single bytes.
const FIRST_WORD: i64 = 512;

/// Tokens in the order of CLIP's ids, so that the end of a text is still the largest.
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

//! CLIP's tokenizer: text in, the ids that open_clip gives for it out.
//!
//! Vocabulary and merges come from `instant-clip-tokenizer`, which embeds CLIP's; this module adds
//! what open_clip does around them: cleaning the text (with Python's ftfy and html), start and end
//! tokens, truncation and padding.
//!
//! Of ftfy this does: HTML entities, Latin ligatures, full-width and half-width forms, curly
//! quotes, control characters, and Unicode NFC. It does not repair text that was decoded with the
//! wrong encoding ("Ã©" for "é", C1 control characters) and removes no terminal escapes: prompts do
//! not come from such sources. A text without these has open_clip's ids.

use instant_clip_tokenizer::{Token, Tokenizer as Vocabulary};
use thiserror::Error;
use unicode_normalization::UnicodeNormalization;

/// Entries of CLIP's vocabulary: what a token table must have for the ids to mean what they say.
pub const VOCABULARY: usize = 49408;

/// A text that has more tokens than a row has room for.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
#[error(
    "the prompt {:?} has {tokens} tokens, both marks included, and at most {context} fit into this \
     CLIP's text tower; shorten the class's name by {} tokens or more",
    shortened(text),
    tokens.saturating_sub(*context)
)]
pub struct LongTextError {
    /// The text.
    pub text: String,
    /// Its tokens, with those of start and end.
    pub tokens: usize,
    /// Most that fit.
    pub context: usize,
}

/// The beginning and the end of a long text.
fn shortened(text: &str) -> String {
    const KEPT: usize = 40;
    let letters: Vec<char> = text.chars().collect();
    match (letters.first_chunk::<KEPT>(), letters.last_chunk::<KEPT>()) {
        (Some(first), Some(last)) if letters.len() > 2 * KEPT => {
            let part = |letters: &[char]| letters.iter().collect::<String>();
            format!("{} ... {}", part(first), part(last))
        }
        _ => text.to_owned(),
    }
}

/// Cleans and encodes prompts for a text tower with CLIP's vocabulary of 49408.
///
/// Building one parses the vocabulary (a fraction of a second): build it once and keep it.
pub struct Tokenizer {
    vocabulary: Vocabulary,
    context: usize,
}

impl Tokenizer {
    /// A tokenizer whose rows have `context` ids; all of CLIP's models have 77.
    pub fn new(context: usize) -> Self {
        Self { vocabulary: Vocabulary::new(), context }
    }

    /// Number of ids in a row.
    pub fn context(&self) -> usize {
        self.context
    }

    /// The ids of one text, `[context]`: start (49406), text, end (49407), zeros. A text that is
    /// too long loses its tail, never its end token.
    pub fn encode(&self, text: &str) -> Vec<i64> {
        let mut tokens = self.marked(text);
        if tokens.len() > self.context {
            tokens.truncate(self.context.saturating_sub(1));
            tokens.push(self.vocabulary.end_of_text());
        }
        self.row(tokens)
    }

    /// The same for a text that is to be read whole.
    ///
    /// # Errors
    ///
    /// [`LongTextError`] when it does not fit.
    pub fn encode_whole(&self, text: &str) -> Result<Vec<i64>, LongTextError> {
        let tokens = self.marked(text);
        let (count, context) = (tokens.len(), self.context);
        if count > context {
            return Err(LongTextError { text: text.to_owned(), tokens: count, context });
        }
        Ok(self.row(tokens))
    }

    /// The tokens of a text between the marks of start and end.
    fn marked(&self, text: &str) -> Vec<Token> {
        let mut tokens = vec![self.vocabulary.start_of_text()];
        self.vocabulary.encode(&clean(text), &mut tokens);
        tokens.push(self.vocabulary.end_of_text());
        tokens
    }

    fn row(&self, tokens: Vec<Token>) -> Vec<i64> {
        let mut ids: Vec<i64> = tokens.into_iter().map(Token::to_u16).map(i64::from).collect();
        ids.resize(self.context, 0);
        ids
    }

    /// The ids of several texts, `[texts, context]` row by row.
    pub fn encode_batch(&self, texts: &[impl AsRef<str>]) -> Vec<i64> {
        texts.iter().flat_map(|text| self.encode(text.as_ref())).collect()
    }
}

/// open_clip's cleaning: ftfy, HTML entities twice over, white space made single, lower case.
fn clean(text: &str) -> String {
    let fixed = fix(text);
    let once = htmlize::unescape(fixed.as_str());
    let twice = htmlize::unescape(once.as_ref());
    let words: Vec<&str> = twice.split_whitespace().collect();
    words.join(" ").to_lowercase()
}

/// What ftfy's `fix_text` does to text that was decoded rightly.
fn fix(text: &str) -> String {
    // ftfy takes a text with "<" for real HTML and leaves its entities to the caller.
    let unescaped = if text.contains('<') { text.into() } else { htmlize::unescape(text) };
    let mut fixed = String::with_capacity(unescaped.len());
    for character in unescaped.chars().filter(|c| !is_control(*c)) {
        match character {
            // The one ligature whose compatibility form differs from ftfy's.
            'ﬅ' => fixed.push_str("ſt"),
            c if is_ligature(c) || is_wide_or_narrow(c) => fixed.extend(c.nfkc().map(straight)),
            c => fixed.push(straight(c)),
        }
    }
    fixed.nfc().collect()
}

fn is_ligature(c: char) -> bool {
    matches!(c, 'Ĳ' | 'ĳ' | 'ŉ' | '\u{1C4}'..='\u{1CC}' | '\u{1F1}'..='\u{1F3}' | '\u{FB00}'..='\u{FB06}')
}

/// Full-width Latin, half-width Katakana and Hangul, and the ideographic space.
fn is_wide_or_narrow(c: char) -> bool {
    matches!(c, '\u{3000}' | '\u{FF01}'..='\u{FFEF}')
}

/// Curly quotes become straight.
fn straight(c: char) -> char {
    match c {
        '\u{2BC}' | '\u{2018}'..='\u{201B}' => '\'',
        '\u{201C}'..='\u{201F}' => '"',
        other => other,
    }
}

/// Control and format characters that no one types; tab, line feed, form feed and carriage return
/// stay.
fn is_control(c: char) -> bool {
    matches!(c,
        '\0'..='\u{8}' | '\u{B}' | '\u{E}'..='\u{1F}' | '\u{7F}'
        | '\u{206A}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFC}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cleaned_as_ftfy_and_html_do() {
        assert_eq!(clean("  A\t\u{2003}b\r\nC "), "a b c");
        assert_eq!(clean("&amp;amp;lt;"), "<");
        assert_eq!(clean("<b>&lsquo;"), "<b>\u{2018}", "html.unescape comes after ftfy's quotes");
        assert_eq!(clean("&lsquo;x&rsquo;"), "'x'");
        assert_eq!(clean("“Ａ\u{3000}１”"), "\"a 1\"");
        assert_eq!(clean("ﬁne ŉ ﬅ"), "fine 'n ſt");
        assert_eq!(clean("a\u{301}"), "á");
        assert_eq!(clean("\u{FEFF}a\0b"), "ab");
    }
}

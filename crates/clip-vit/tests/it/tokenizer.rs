//! The tokenizer against open_clip: 104 texts of every kind, cut and padded.
//!
//! `goldens/tokenizer.json` is the project's golden of that name, one case a line, without the
//! zeros at each row's end.

use clip_vit::tokenizer::Tokenizer;
use serde::Deserialize;

const CONTEXT: usize = 77;

/// A text and its ids, start and end included, padding not.
#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<i64>,
}

fn goldens() -> Vec<Case> {
    serde_json::from_str(include_str!("../goldens/tokenizer.json")).unwrap()
}

#[test]
fn identical_to_open_clip() {
    let tokenizer = Tokenizer::new(CONTEXT);
    let cases = goldens();
    assert_eq!(cases.len(), 104);
    for Case { text, mut ids } in cases {
        ids.resize(CONTEXT, 0);
        assert_eq!(tokenizer.encode(&text), ids, "{text:?}");
    }
}

#[test]
fn a_batch_is_its_rows() {
    let tokenizer = Tokenizer::new(CONTEXT);
    let rows = tokenizer.encode_batch(&["a photo of a damaged cable", ""]);
    assert_eq!(rows.len(), 2 * CONTEXT);
    assert_eq!(rows[..CONTEXT], tokenizer.encode("a photo of a damaged cable"));
    assert_eq!(rows[CONTEXT..CONTEXT + 3], [49406, 49407, 0]);
}

#[test]
fn short_contexts_keep_the_end_token() {
    let text = "many words about a screw";
    assert_eq!(Tokenizer::new(3).encode(text), [49406, 1346, 49407]);
    assert_eq!(Tokenizer::new(2).encode(text), [49406, 49407]);
    assert_eq!(Tokenizer::new(1).encode(text), [49407]);
    assert!(Tokenizer::new(0).encode(text).is_empty());
}

#[test]
fn a_text_that_does_not_fit_is_told_with_its_tokens() {
    let tokenizer = Tokenizer::new(32);
    let name = |words: usize, last: &str| format!("{}{last}", "gear ".repeat(words - 1));
    for last in ["nut", "cap"] {
        let fits = name(30, last);
        assert_eq!(tokenizer.encode_whole(&fits), Ok(tokenizer.encode(&fits)));
        let error = tokenizer.encode_whole(&name(31, last)).unwrap_err();
        assert_eq!((error.tokens, error.context), (33, 32));
        let line = error.to_string();
        assert!(line.contains("33 tokens, both marks included, and at most 32 fit"), "{line}");
        assert!(line.contains(last) && line.contains("by 1 tokens"), "{line}");
    }
}

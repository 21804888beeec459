//! The sentences of APRIL-GAN, as its release has them: 7 normal and 5 abnormal phrases in 35 templates.

use moeclip::PromptSet;

use crate::states::{ABNORMAL_PHRASES, NORMAL_PHRASES, prompt_set};

/// What is put around each phrase; AdaCLIP takes the first four.
pub const TEMPLATES: [&str; 35] = [
    "a bad photo of a {}.",
    "a low resolution photo of the {}.",
    "a bad photo of the {}.",
    "a cropped photo of the {}.",
    "a bright photo of a {}.",
    "a dark photo of a {}.",
    "a photo of my {}.",
    "a photo of the cool {}.",
    "a close-up photo of a {}.",
    "a black and white photo of the {}.",
    "a bright photo of the {}.",
    "a cropped photo of a {}.",
    "a jpeg corrupted photo of a {}.",
    "a blurry photo of the {}.",
    "a photo of the {}.",
    "a good photo of the {}.",
    "a photo of one {}.",
    "a close-up photo of the {}.",
    "a photo of a {}.",
    "a low resolution photo of a {}.",
    "a photo of a large {}.",
    "a blurry photo of a {}.",
    "a jpeg corrupted photo of the {}.",
    "a good photo of a {}.",
    "a photo of the small {}.",
    "a photo of the large {}.",
    "a black and white photo of a {}.",
    "a dark photo of a {}.",
    "a photo of a cool {}.",
    "a photo of a small {}.",
    "there is a {} in the scene.",
    "there is the {} in the scene.",
    "this is a {} in the scene.",
    "this is the {} in the scene.",
    "this is one {} in the scene.",
];

/// The method's phrases and templates.
pub fn april_gan_prompts() -> PromptSet {
    prompt_set(&NORMAL_PHRASES, &ABNORMAL_PHRASES, &TEMPLATES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phrase_stands_in_every_template() {
        let prompts = april_gan_prompts();
        let (normal, abnormal) =
            (prompts.normal_prompts("metal_nut"), prompts.abnormal_prompts("metal_nut"));
        assert_eq!((normal.len(), abnormal.len()), (245, 175));
        assert_eq!(normal[36], "a low resolution photo of the flawless metal_nut.");
        assert_eq!(abnormal[174], "this is one metal_nut with damage in the scene.");
    }
}

//! WinCLIP's sentences: 7 normal and 4 abnormal phrases in 22 templates.

use moeclip::PromptSet;

use super::WinClipTemplates;
use crate::states::{NORMAL_PHRASES, prompt_set};

const ABNORMAL: [&str; 4] = ["damaged {}", "{} with flaw", "{} with defect", "{} with damage"];

const FULL: [&str; 22] = [
    "a cropped photo of the {}",
    "a cropped photo of a {}",
    "a close-up photo of a {}",
    "a close-up photo of the {}",
    "a bright photo of a {}",
    "a bright photo of the {}",
    "a dark photo of the {}",
    "a dark photo of a {}",
    "a jpeg corrupted photo of a {}",
    "a jpeg corrupted photo of the {}",
    "a blurry photo of the {}",
    "a blurry photo of a {}",
    "a photo of a {}",
    "a photo of the {}",
    "a photo of a small {}",
    "a photo of the small {}",
    "a photo of a large {}",
    "a photo of the large {}",
    "a photo of the {} for visual inspection",
    "a photo of a {} for visual inspection",
    "a photo of the {} for anomaly detection",
    "a photo of a {} for anomaly detection",
];

/// The jpeg sentence stands twice in anomalib, and two others are missing.
const ANOMALIB: [&str; 21] = [
    "a cropped photo of the {}.",
    "a close-up photo of a {}.",
    "a close-up photo of the {}.",
    "a bright photo of a {}.",
    "a bright photo of the {}.",
    "a dark photo of the {}.",
    "a dark photo of a {}.",
    "a jpeg corrupted photo of the {}.",
    "a jpeg corrupted photo of the {}.",
    "a blurry photo of the {}.",
    "a blurry photo of a {}.",
    "a photo of a {}.",
    "a photo of the {}.",
    "a photo of a small {}.",
    "a photo of the small {}.",
    "a photo of a large {}.",
    "a photo of the large {}.",
    "a photo of the {} for visual inspection.",
    "a photo of a {} for visual inspection.",
    "a photo of the {} for anomaly detection.",
    "a photo of a {} for anomaly detection.",
];

/// The method's phrases in one of the lists of templates.
pub fn winclip_prompts(templates: WinClipTemplates) -> PromptSet {
    let templates: &[&str] = match templates {
        WinClipTemplates::Full => &FULL,
        WinClipTemplates::Anomalib => &ANOMALIB,
    };
    prompt_set(&NORMAL_PHRASES, &ABNORMAL, templates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phrase_stands_in_every_template() {
        for (templates, sentences) in
            [(WinClipTemplates::Full, [154, 88]), (WinClipTemplates::Anomalib, [147, 84])]
        {
            let prompts = winclip_prompts(templates);
            let both = [prompts.normal_prompts("pill"), prompts.abnormal_prompts("pill")];
            assert_eq!(both.each_ref().map(Vec::len), sentences);
        }
        let prompts = winclip_prompts(WinClipTemplates::Full);
        assert_eq!(prompts.normal_prompts("pill")[22], "a cropped photo of the flawless pill");
        let last = "a photo of a pill with damage for anomaly detection";
        assert_eq!(prompts.abnormal_prompts("pill")[87], last);
    }
}

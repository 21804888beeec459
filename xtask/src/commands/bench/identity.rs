//! What a stored result follows from: whoever changes any of it finds an empty folder, and what was
//! stored before stays where it is.

use anomaly::Domain;
use moeclip_data::{ContentHash, MaskRule, Sample};
use serde::Serialize;

use super::BenchArgs;
use crate::cli::{ActivationChoice, Common};
use crate::code::VERSION;
use inspect::OpenMethod;

/// Everything besides an image that decides what is said of it.
#[derive(Debug, Serialize)]
pub(super) struct Identity {
    version: &'static str,
    /// SHA-256 of the CLIP.
    clip: String,
    /// A hash of the adapters; of the prompts where there are none.
    method: String,
    image_size: usize,
    domain: Domain,
    mask_rule: MaskRule,
    /// The kind of device: two of a kind say the same.
    device: String,
    precision: String,
    heads: [Option<usize>; 2],
    activation: Option<String>,
    assumed: String,
}

impl Identity {
    /// Of a method on the datasets of a domain. `clip` is the CLIP's SHA-256.
    pub(super) fn new(
        args: &BenchArgs,
        common: &Common,
        clip: &str,
        subject: &OpenMethod,
        domain: Domain,
        mask_rule: MaskRule,
    ) -> anyhow::Result<Self> {
        let device = args.devices(common)[0].to_string();
        let (method, image_size) = (subject.digest()?, subject.image_size());
        let shape = &args.clip.shape;
        Ok(Self {
            version: VERSION,
            clip: clip.to_owned(),
            method,
            image_size,
            domain,
            mask_rule,
            device: device.split(':').next().unwrap_or_default().to_owned(),
            precision: format!("{:?}", common.precision),
            heads: [shape.vision_heads, shape.text_heads],
            activation: shape.activation.map(|choice: ActivationChoice| format!("{choice:?}")),
            assumed: match subject.adapters() {
                Some(_) => format!("{:?}", args.assumed),
                None => String::new(),
            },
        })
    }

    /// A short number of its own.
    pub(super) fn number(&self) -> anyhow::Result<String> {
        Ok(ContentHash::of_bytes(&serde_json::to_vec(self)?).short())
    }
}

/// The key of an image: of its file, its mask's file, and the words for what it shows.
pub(super) fn key(image: &str, sample: &Sample) -> anyhow::Result<String> {
    let mask = sample.mask.as_deref().map(ContentHash::of_file).transpose()?;
    let mask = mask.map(|mask| mask.to_string()).unwrap_or_default();
    let text = format!("{image}\n{mask}\n{}", sample.prompt);
    Ok(ContentHash::of_bytes(text.as_bytes()).short())
}

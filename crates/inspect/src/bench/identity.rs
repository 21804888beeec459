//! What a stored result follows from: whoever changes any of it finds an empty folder, and what was
//! stored before stays where it is.

use anomaly::Domain;
use conditions::{Condition, Conditions, Purpose};
use moeclip::Assumed;
use moeclip_data::{ContentHash, MaskRule, Sample};
use serde::Serialize;

use super::BenchRequest;
use super::plan::PlannedClip;
use crate::{InspectError, OpenMethod};

/// Everything besides an image that decides what is said of it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Identity {
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
    /// What every purpose asks: normalisation, numbers version, JPEG decoder, kernels.
    #[serde(flatten)]
    shared: Conditions,
}

impl Identity {
    /// Of a method on the datasets of a domain.
    pub(crate) fn new(
        request: &BenchRequest,
        clip: &PlannedClip,
        subject: &OpenMethod,
        domain: Domain,
        mask_rule: MaskRule,
    ) -> Result<Self, InspectError> {
        let device = request.compute().device.to_string();
        let (method, image_size) = (subject.digest()?, subject.image_size());
        let source = &request.clip;
        Ok(Self {
            version: env!("CARGO_PKG_VERSION"),
            clip: clip.sha256.clone(),
            method,
            image_size,
            domain,
            mask_rule,
            device: device.split(':').next().unwrap_or_default().to_owned(),
            precision: format!("{:?}", request.precision),
            heads: [source.vision_heads, source.text_heads],
            activation: source.activation.map(|choice| format!("{choice:?}")),
            assumed: match subject.trained() {
                Some(_) => assumed(&request.files.assumed),
                None => String::new(),
            },
            shared: clip.shared.clone(),
        })
    }

    /// A short number of its own, of its settings: what another build or machine made must be found, to be
    /// refused.
    pub(crate) fn number(&self) -> Result<String, InspectError> {
        let settings = Self { shared: self.shared.clone().without_build(), ..self.clone() };
        Ok(ContentHash::of_bytes(&serde_json::to_vec(&settings)?).short())
    }

    /// All of it as one value.
    pub(crate) fn conditions(&self) -> Conditions {
        self.shared
            .clone()
            .with(Condition::Version, &self.version)
            .with(Condition::Clip, &self.clip)
            .with(Condition::Method, &self.method)
            .with(Condition::ImageSize, &self.image_size)
            .with(Condition::Domain, &self.domain)
            .with(Condition::MaskRule, &self.mask_rule)
            .with(Condition::Backend, &self.device)
            .with(Condition::Precision, &self.precision)
            .with(Condition::Heads, &self.heads)
            .with(Condition::Activation, &self.activation)
            .with(Condition::Assumed, &self.assumed)
            .of(Purpose::Benchmark)
    }
}

/// In the words that stored results have.
fn assumed(assumed: &Assumed) -> String {
    let Assumed { taps, top_k, alpha } = assumed;
    format!("AssumedArgs {{ taps: {taps:?}, top_k: {top_k:?}, alpha: {alpha:?} }}")
}

/// The key of an image: of its file, the files of its masks, and the words for what it shows.
pub(crate) fn key_of(image: &str, sample: &Sample) -> Result<String, InspectError> {
    let masks = sample.masks.iter().map(|mask| Ok(ContentHash::of_file(mask)?.to_string()));
    let mask = masks.collect::<Result<Vec<_>, InspectError>>()?.join("+");
    let text = format!("{image}\n{mask}\n{}", sample.prompt);
    Ok(ContentHash::of_bytes(text.as_bytes()).short())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            version: "0.1.0",
            clip: "c".repeat(64),
            method: "clip p".into(),
            image_size: 112,
            domain: Domain::Industrial,
            mask_rule: MaskRule::default(),
            device: "flex".into(),
            precision: "F32".into(),
            heads: [None, Some(2)],
            activation: Some("QuickGelu".into()),
            assumed: "nothing".into(),
            shared: Conditions::here("flex"),
        }
    }

    #[test]
    fn its_conditions_are_all_of_the_table() {
        let shared = Conditions::here("flex").with(Condition::Normalisation, &"plain");
        let whole = Identity { shared, ..identity() };
        assert_eq!(whole.conditions().missing(Purpose::Benchmark), []);
        assert_ne!(whole.number().unwrap(), identity().number().unwrap());
    }

    #[test]
    fn its_number_is_what_it_was_before_builds_were_told_apart() {
        let text = format!(
            r#"{{"version":"0.1.0","clip":"{}","method":"clip p","image_size":112,"domain":"industrial","mask_rule":{},"device":"flex","precision":"F32","heads":[null,2],"activation":"QuickGelu","assumed":"nothing"}}"#,
            "c".repeat(64),
            serde_json::to_string(&MaskRule::default()).unwrap()
        );
        assert_eq!(identity().number().unwrap(), ContentHash::of_bytes(text.as_bytes()).short());
    }
}

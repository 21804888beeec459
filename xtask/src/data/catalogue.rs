//! The datasets that every build knows: the files of `datasets/`, compiled in.

use std::path::Path;

use moeclip_data::Descriptor;

macro_rules! described {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../../datasets/", $name, ".toml")))),+]
    };
}

/// File stem and text of each descriptor, in the order of the paper's tables.
const FILES: [(&str, &str); 14] = described![
    "mvtec-ad",
    "visa",
    "btad",
    "rsdd",
    "dtd-synthetic",
    "brainmri",
    "headct",
    "liverct",
    "retinaoct",
    "colondb",
    "clinicdb",
    "cvc-300",
    "endo",
    "kvasir",
];

/// All known datasets, in the order of the paper's tables.
pub(crate) fn known() -> anyhow::Result<Vec<Descriptor>> {
    let parse = |(name, text): &(&str, &str)| {
        Ok(Descriptor::parse(text, Path::new(&format!("datasets/{name}.toml")))?)
    };
    FILES.iter().map(parse).collect()
}

/// The known dataset that `name` means.
pub(crate) fn find(name: &str) -> anyhow::Result<Option<Descriptor>> {
    Ok(known()?.into_iter().find(|descriptor| descriptor.is_called(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_means_two_datasets() {
        let known = known().unwrap();
        for descriptor in &known {
            for name in std::iter::once(&descriptor.name).chain(&descriptor.aliases) {
                let meant: Vec<&str> =
                    known.iter().filter(|d| d.is_called(name)).map(|d| d.name.as_str()).collect();
                assert_eq!(meant, [descriptor.name.as_str()], "{name}");
            }
        }
    }
}

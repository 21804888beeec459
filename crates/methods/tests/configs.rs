//! The files of `configs/methods/`: each is read by the method that it names, and says what its head promises.

use std::path::Path;

use anomaly_methods::{ClipMethod, MethodDescription, Reference};

/// Makes a reader of the description of any method.
macro_rules! readers {
    ($($variant:ident: $method:ty,)+) => {
        /// Reads a description as the method of this name does; says what is wrong with it.
        fn read(file: &Path, method: &str) -> Result<(), String> {
            $(if method == <$method>::WORD {
                let said = MethodDescription::<<$method as ClipMethod>::Settings>::read(file, method);
                let said = said.map_err(|error| error.to_string())?;
                let recipe = said.training.map_or(Ok(()), |recipe| recipe.check());
                return recipe.map_err(|error| error.to_string());
            })+
            Err(format!("no method is called {method}"))
        }
    };
}

anomaly_methods::methods!(readers);

#[test]
fn every_file_is_read_and_its_head_says_what_it_is() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/methods");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for word in ["# Paper:", "# Command:", "# Data:", "# Duration:", "# Expected:"] {
            assert!(text.contains(word), "{}: no {word}", path.display());
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(text.contains(&format!("configs/methods/{name}")), "{name} names another file");
        let method = text.lines().find_map(|line| line.strip_prefix("method = "));
        let method = method.unwrap_or_default().trim_matches('"');
        assert!(text.contains(&format!("--method {method} ")), "{name} names another method");
        read(&path, method).unwrap_or_else(|error| panic!("{error}"));
        files += 1;
    }
    assert!(files >= 6);
    assert!(read(Path::new("none"), "none").is_err());
}

//! The product as a library: what the command line does, as calls and values.
//!
//! Open a CLIP, adapters and prompts into a detector, look at pictures, measure, calibrate, and run
//! benchmarks that go on where they were ended. Nothing here prints, parses a command line or listens for
//! signals: whatever is to be known while work is done goes to a [`Watcher`], and a [`Cancellation`] ends
//! it.

mod ablate;
pub mod backends;
mod bench;
mod calibrate;
mod cases;
mod catalogue;
mod child;
mod compared;
mod data;
mod error;
mod evaluate;
mod methods;
mod open;
mod overlap;
mod pictures;
mod precision;
mod predict;
mod registry;
mod train_method;
mod trained;
mod view;
mod watch;

pub use ablate::{AblateRequest, named, write_table};
pub use bench::{BenchOutcome, BenchRequest, FurtherWeights, MeasuredImage, Results, TellImage};
pub use calibrate::{CalibrateRequest, Calibrated, calibrate, refuse_unwritable};
pub use cases::{SeenImage, draw};
pub use catalogue::{DataRoot, find, known, published};
pub use child::{ChildJob, Launcher, TrainRequest};
pub use compared::{ComparedClip, ConvertedWeights, ReferenceRequest};
pub use data::{
    CacheRequest, DataRequest, Dataset, ToldFaults, cached, tell_each, tell_file_faults,
    tell_trouble,
};
pub use error::{InspectError, one_line};
pub use evaluate::{
    EvalRequest, Evaluated, Measuring, PIXEL_MEMORY, evaluate, for_each_image, to_bools,
};
pub use methods::{AdaptedClip, UnchangedClip};
pub use open::{
    ClipSource, LoadedDetector, LoadedModel, ShownPictures, calibration_of, conditions,
    conditions_with, described, open_adapter, open_model, preprocessing, prompt_names,
    refuse_other_clip, shared_conditions, source_sha256, warn_of_guesses,
};
pub use overlap::{
    Fingerprint, HashedImage, calibrated_on, fingerprint, refuse_calibration_data,
    refuse_reference_images, refuse_training_data, trained_on,
};
pub use precision::{PrecisionChoice, calibrated_precision};
pub use predict::{
    PredictOutput, PredictRequest, Predicted, Prediction, Target, Tell, predict, refuse_foreign,
    result_name, shown_path,
};
pub use registry::{Method, MethodFiles, MethodName, OpenMethod, read_experiment};
pub use train_method::{
    MethodTrainCall, MethodTrainRequest, MethodTrained, ProgramVersion, RecipeChanges, TellStep,
};
pub use trained::TrainedFile;
pub use view::{Judged, MapSize, SeenMap, Viewing};
pub use watch::{Cancellation, Severity, Unwatched, Warning, Watcher, WorkKind};

//! The settings of a run: a description, what `--set` changes in it, and options of their own.

use std::path::PathBuf;

use clap::Args;
use inspect::read_experiment;
use moeclip_data::Augmentation;
use moeclip_train::Experiment;

/// Settings of a run. What is not given here is as in --config, and else as in the paper.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct TrainSettings {
    /// Description of the run, as in configs/
    #[arg(long, value_name = "TOML")]
    pub(crate) config: Option<PathBuf>,
    /// Change one setting of the description, as in training.batch_size=4
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Passes over the images (20)
    #[arg(long)]
    pub(crate) epochs: Option<usize>,
    /// End after this many steps
    #[arg(long, value_name = "N")]
    pub(crate) steps: Option<usize>,
    /// Images per step (2)
    #[arg(long)]
    pub(crate) batch: Option<usize>,
    /// Learning rate at the start (5e-4)
    #[arg(long, value_name = "RATE")]
    pub(crate) learning_rate: Option<f64>,
    /// Seed of the start, the order and the augmentation (0)
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Side of the images in pixels (518)
    #[arg(long, value_name = "PIXELS")]
    pub(crate) image_size: Option<usize>,
    /// Layers behind which a mixture stands; the quarters of the tower by default
    #[arg(long, value_delimiter = ',', value_name = "LAYERS")]
    pub(crate) taps: Option<Vec<usize>>,
    /// Train on the images as they are
    #[arg(long)]
    pub(crate) no_augmentation: bool,
}

impl TrainSettings {
    /// The run: the file, then --set, then the options that have flags of their own.
    pub(crate) fn experiment(&self) -> anyhow::Result<Experiment> {
        let mut experiment = match &self.config {
            None => Experiment::default(),
            Some(path) => read_experiment(path)?,
        };
        for assignment in &self.set {
            experiment = experiment.set(assignment)?;
        }
        let Experiment { training, model, augmentation, .. } = &mut experiment;
        replace(&mut training.epochs, &self.epochs);
        replace(&mut training.batch_size, &self.batch);
        replace(&mut training.learning_rate.initial, &self.learning_rate);
        replace(&mut training.seed, &self.seed);
        replace(&mut model.image_size, &self.image_size);
        model.taps = self.taps.clone().or(model.taps.take());
        if self.no_augmentation {
            *augmentation = Augmentation::none();
        }
        Ok(experiment)
    }
}

fn replace<T: Clone>(setting: &mut T, given: &Option<T>) {
    if let Some(value) = given {
        *setting = value.clone();
    }
}

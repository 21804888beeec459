//! burn-train's terminal dashboard, fed by our own loop.
//!
//! It draws from a thread of its own. Its raw mode would swallow Ctrl-C, so that is let through again;
//! what it answers with a panic (its "kill") becomes a wish to stop.

use std::collections::BTreeSet;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use burn::data::dataloader::Progress;
use burn_train::Interrupter;
use burn_train::metric::{
    MetricDefinition, MetricEntry, MetricId, NumericAttributes, NumericEntry, SerializedEntry,
    format_float,
};
use burn_train::renderer::tui::TuiMetricsRendererWrapper;
use burn_train::renderer::{
    MetricState, MetricsRenderer, MetricsRendererTraining, ProgressType, TrainingProgress,
};
use moeclip_train::{RunLength, Scalar, StepMetrics};

use crate::interrupt;

/// What the dashboard's "kill" says when it panics.
const KILL: &str = "Killing training from user input.";

/// How held-out losses are called in logs; here they are the validation side of the losses.
const HELD_OUT: &str = "held-out/";

/// An open dashboard. Closing gives the terminal back.
pub(crate) struct Dashboard {
    renderer: TuiMetricsRendererWrapper,
    interrupter: Interrupter,
    known: BTreeSet<String>,
    extent: RunLength,
    killed: bool,
}

/// Which side of the dashboard a number stands on.
#[derive(Clone, Copy)]
enum Side {
    Training,
    HeldOut,
}

impl Dashboard {
    /// Takes the terminal for a run that goes on after `step`.
    pub(crate) fn open(extent: RunLength, step: usize) -> Self {
        let interrupter = Interrupter::new();
        interrupt::remember();
        quiet_about_kills();
        let epochs_done = Some(extent.position(step).epoch).filter(|epochs| *epochs > 0);
        let renderer = TuiMetricsRendererWrapper::new(interrupter.clone(), epochs_done);
        interrupt::let_ctrl_c_through();
        Self { renderer, interrupter, known: BTreeSet::new(), extent, killed: false }
    }

    /// Shows a step.
    pub(crate) fn step(&mut self, metrics: &StepMetrics) {
        if self.killed {
            return;
        }
        let shown = panic::catch_unwind(AssertUnwindSafe(|| self.show(metrics)));
        self.killed = shown.is_err();
    }

    /// Whether its user asked to end the run.
    pub(crate) fn asked_to_stop(&self) -> bool {
        self.killed || self.interrupter.should_stop()
    }

    fn show(&mut self, metrics: &StepMetrics) {
        for Scalar { name, value } in metrics.scalars() {
            // Each expert's load would be 32 plots; a line per tap is below.
            let (Some(value), false) = (value, name.contains("/expert-")) else { continue };
            match name.strip_prefix(HELD_OUT) {
                Some(loss) => self.number(&format!("loss/{loss}"), value, Side::HeldOut),
                None => self.number(&name, value, Side::Training),
            }
        }
        for tap in &metrics.report.taps {
            let percent = |share: &f32| format!("{:.0} %", 100.0 * share);
            let load: Vec<String> = tap.selected.iter().map(percent).collect();
            self.text(&format!("layer-{}/selected", tap.layer), load.join(", "));
        }
        let (progress, indicators) = self.progress(metrics);
        self.renderer.render_train(progress, indicators);
    }

    fn progress(&self, metrics: &StepMetrics) -> (TrainingProgress, Vec<ProgressType>) {
        let RunLength { steps_per_epoch, steps } = self.extent;
        let (step, each) = (metrics.report.step, steps_per_epoch.max(1));
        let of_epoch = Progress::new((step - 1) % each + 1, each);
        let of_run = Progress::new(metrics.epoch, steps.div_ceil(each));
        let detailed =
            |tag: &str, progress| ProgressType::Detailed { tag: tag.to_owned(), progress };
        let indicators =
            vec![detailed("Epoch", of_run.clone()), detailed("Step", Progress::new(step, steps))];
        let progress = Some(of_epoch);
        let progress =
            TrainingProgress { progress, global_progress: of_run, iteration: Some(step) };
        (progress, indicators)
    }

    fn number(&mut self, name: &str, value: f64, side: Side) {
        let formatted = format_float(value, 4);
        let attributes = NumericAttributes { unit: None, higher_is_better: false };
        let entry = self.entry(name, formatted, attributes.into());
        let state = MetricState::Numeric(entry, NumericEntry::Value(value));
        match side {
            Side::Training => self.renderer.update_train(state),
            Side::HeldOut => self.renderer.update_valid(state),
        }
    }

    fn text(&mut self, name: &str, text: String) {
        let entry = self.entry(name, text, burn_train::metric::MetricAttributes::None);
        self.renderer.update_train(MetricState::Generic(entry));
    }

    /// A value under its name, which the dashboard must know before.
    fn entry(
        &mut self,
        name: &str,
        text: String,
        attributes: burn_train::metric::MetricAttributes,
    ) -> MetricEntry {
        let metric_id = MetricId::new(Arc::new(name.to_owned()));
        if self.known.insert(name.to_owned()) {
            let (metric_id, name) = (metric_id.clone(), name.to_owned());
            let description = None;
            let definition = MetricDefinition { metric_id, name, description, attributes };
            self.renderer.register_metric(definition);
        }
        MetricEntry::new(metric_id, SerializedEntry::new(text.clone(), text))
    }
}

/// Keeps a "kill" from being told as a crash: the run ends in order.
fn quiet_about_kills() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if info.payload_as_str() != Some(KILL) {
            before(info);
        }
    }));
}

//! One file per command.

pub(crate) mod ablate;
pub(crate) mod bench;
pub(crate) mod calibrate;
pub(crate) mod convert_adapter;
pub(crate) mod convert_openclip;
pub(crate) mod datasets;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod eval;
pub(crate) mod explain;
pub(crate) mod inspect;
pub(crate) mod parity;
pub(crate) mod predict;
pub(crate) mod pretrain;
pub(crate) mod run_job;
pub(crate) mod train;

//! Tests of the public face: one program, so that what they share is linked once. The test of peak memory has a
//! process of its own.

mod benchmark;
mod comparison;
mod deployed;
mod evaluation;
mod experts;
mod metrics_golden;
mod metrics_memory;
mod metrics_naive;
mod pictures;
mod report;
mod sheet;
mod synthetic_honesty;

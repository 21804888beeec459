//! TensorBoard's event files: records of protocol buffers, each between two checksums.
//!
//! A record is the length of its message (`u64`), the checksum of these eight bytes, the message, and
//! its checksum; numbers are little-endian, and a checksum is a CRC-32C, rotated and shifted so that
//! a checksum of checksums stays one. Of the messages, only what a scalar needs is spelt out here.

use std::io::{self, Write};

use prost::Message;

use crate::LoggedStep;

/// What the first event of a file says.
const FILE_VERSION: &str = "brain.Event:2";

/// What a masked checksum is shifted by.
const MASK: u32 = 0xa282_ead8;

/// An event file that grows by an event a step.
#[derive(Debug)]
pub(super) struct EventLog<W> {
    out: W,
}

/// TensorFlow's `Event`, as far as it is needed.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub(super) wall_time: f64,
    #[prost(int64, tag = "2")]
    pub(super) step: i64,
    #[prost(string, optional, tag = "3")]
    pub(super) file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    pub(super) summary: Option<Summary>,
}

/// TensorFlow's `Summary`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub(super) value: Vec<SummaryValue>,
}

/// TensorFlow's `Summary.Value`, of a scalar.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SummaryValue {
    #[prost(string, tag = "1")]
    pub(super) tag: String,
    #[prost(float, optional, tag = "2")]
    pub(super) simple_value: Option<f32>,
}

impl<W: Write> EventLog<W> {
    pub(super) fn new(mut out: W) -> io::Result<Self> {
        let version = Event { file_version: Some(FILE_VERSION.into()), ..Event::default() };
        out.write_all(&record(&version.encode_to_vec()))?;
        Ok(Self { out })
    }

    /// Adds an event with every number that the step has.
    pub(super) fn step(&mut self, metrics: &impl LoggedStep) -> io::Result<()> {
        let named = metrics.scalars().into_iter().filter_map(|scalar| {
            let simple_value = Some(scalar.value? as f32);
            Some(SummaryValue { tag: scalar.name, simple_value })
        });
        let event = Event {
            wall_time: metrics.unix_seconds(),
            step: metrics.step() as i64,
            file_version: None,
            summary: Some(Summary { value: named.collect() }),
        };
        self.out.write_all(&record(&event.encode_to_vec()))
    }
}

fn record(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(message.len() + 16);
    record.extend(length);
    record.extend(checksum(&length).to_le_bytes());
    record.extend(message);
    record.extend(checksum(message).to_le_bytes());
    record
}

/// A masked CRC-32C.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(MASK)
}

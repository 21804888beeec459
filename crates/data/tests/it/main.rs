//! Tests of the public face: one program, so that Burn is linked once.

mod batches;
mod cache;
mod descriptor;
mod dicom;
mod files;
mod folders;
mod layouts;
mod lists;
mod masked;
mod people;
mod pictures;
mod pillow;
mod tables;
mod tree;
mod verify;

//! What every store of blobs and every database of records must do: a new one adds a test of a few
//! lines to each suite.

mod blobs;
mod records;

//! The suites that every store of blobs and every database of records must pass: a new one adds a test of a
//! few lines to each.

mod blobs;
mod records;

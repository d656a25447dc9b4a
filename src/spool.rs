//! The bytes that stay: in memory first, then in an unlinked temporary file.

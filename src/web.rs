//! What the reader of the mail sees.

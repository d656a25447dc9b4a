//! The conversation with Postfix.

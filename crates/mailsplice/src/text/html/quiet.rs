//! An emitter without what nobody here listens to: errors, and the content of comments and doctypes.
//!
//! To look for errors, the tokenizer judges each byte on its own, which takes longer than all the
//! rest of its work.

use html5gum::{Emitter, Error, ForwardingEmitter};

/// Passes on tags and text.
#[derive(Debug)]
pub(super) struct Quiet<E>(pub(super) E);

impl<E: Emitter> ForwardingEmitter for Quiet<E> {
    type Token = E::Token;

    fn inner(&mut self) -> &mut impl Emitter<Token = Self::Token> {
        &mut self.0
    }

    fn emit_error(&mut self, _: Error) {}

    fn should_emit_errors(&mut self) -> bool {
        false
    }

    fn push_comment(&mut self, _: &[u8]) {}

    fn push_doctype_name(&mut self, _: &[u8]) {}

    fn push_doctype_public_identifier(&mut self, _: &[u8]) {}

    fn push_doctype_system_identifier(&mut self, _: &[u8]) {}
}

//! Which part is detached, and why. Pure.

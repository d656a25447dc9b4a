//! The command `depollueur`: everything is in the library.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// The allocator of the program. It gives memory back to the system some seconds after it was freed,
/// wherever it lies: that of the C library keeps all below the last piece that lives on, which after a
/// crowd of readers was several times what the idle daemon takes. `.cargo/config.toml` sets it up.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    depollueur::cli::main()
}

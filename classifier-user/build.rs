//! Builds the kernel programs and leaves the objects in `OUT_DIR`, where `datapath` embeds them.

use anyhow::{Context as _, Result};
use aya_build::{Package, Toolchain};

/// The toolchain of rust-toolchain.toml: one for both halves, so that rustc and bpf-linker share an LLVM.
const TOOLCHAIN: &str = "1.95.0";

fn main() -> Result<()> {
    // `-Z build-std=core` on a stable compiler; aya-build asks for it only when this is set.
    // aya-build passes each line of the inner cargo on as a warning: only real ones are wanted.
    // SAFETY: a build script's main thread, before any other thread exists.
    unsafe {
        std::env::set_var("RUSTC_BOOTSTRAP", "1");
        std::env::set_var("CARGO_TERM_QUIET", "true");
    }
    println!("cargo:rerun-if-changed=../classifier-common/src");
    aya_build::build_ebpf(
        [Package { name: "classifier-ebpf", root_dir: "../classifier-ebpf", ..Package::default() }],
        Toolchain::Custom(TOOLCHAIN),
    )
    .context("the kernel program did not build; `cargo xtask setup` installs what it needs (rust-src, bpf-linker, LLVM 22)")
}

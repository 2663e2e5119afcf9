//! Single frames through the real programs: `BPF_PROG_TEST_RUN`.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
};

use aya::{Ebpf, programs::ProgramFd};
use classifier_common::abi::programs;

use super::object::{self, LoadError};
use crate::datapath::DatapathError;

/// Which program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// XDP receive.
    Xdp,
    /// TC ingress.
    TcRx,
    /// TC egress.
    TcTx,
}

/// Runs frames through one program, as if they came on the loopback interface (index 1).
pub struct Runner {
    program: OwnedFd,
    /// At TC, an all-zero `__sk_buff`: with a context the kernel sets the wire length, as egress does.
    context: &'static [u8],
    out: Vec<u8>,
}

/// `struct __sk_buff`.
static NO_CONTEXT: [u8; 192] = [0; 192];

/// `union bpf_attr` as `BPF_PROG_TEST_RUN` (kernel 4.12) reads it.
#[repr(C)]
#[derive(Default)]
struct TestRunAttr {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    padding: u32,
}

const BPF_PROG_TEST_RUN: libc::c_long = 10;
const BPF_F_TEST_XDP_LIVE_FRAMES: u32 = 1 << 1;

/// What a run of frames came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ran {
    /// The program's verdict.
    pub verdict: u32,
    /// Nanoseconds a run took on average, as the kernel timed it.
    pub nanoseconds: u32,
}

impl Runner {
    pub(super) fn new(ebpf: &mut Ebpf, entry: Entry) -> Result<Self, LoadError> {
        let program = match entry {
            Entry::Xdp => object::xdp(ebpf, programs::XDP_RX)?.fd(),
            Entry::TcRx => object::classifier(ebpf, programs::TC_RX)?.fd(),
            Entry::TcTx => object::classifier(ebpf, programs::TC_TX)?.fd(),
        };
        let program = program.map_err(|source| LoadError::Program {
            program: "for BPF_PROG_TEST_RUN",
            source: Box::new(source),
        })?;
        let context: &[u8] = if entry == Entry::Xdp { &[] } else { &NO_CONTEXT };
        Self::of(program, context).map_err(|source| {
            LoadError::Datapath(DatapathError::System { call: "duplicating a program's descriptor", source })
        })
    }

    pub(super) fn of(program: &ProgramFd, context: &'static [u8]) -> io::Result<Self> {
        Ok(Self { program: program.as_fd().try_clone_to_owned()?, context, out: Vec::new() })
    }

    /// Runs one frame `repeat` times. Nothing comes back but the verdict.
    ///
    /// # Errors
    /// `EINVAL` for what the kernel does not take: frames under 14 bytes; at TC IPv4 frames under 34 bytes and
    /// frames of more than a page.
    #[inline]
    pub fn run(&self, frame: &[u8], repeat: u32) -> io::Result<Ran> {
        self.call(frame, repeat, &mut [], 0)
    }

    /// Runs an XDP program over `repeat` frames and does with each what it says: frames that are redirected go out.
    ///
    /// # Errors
    /// Before kernel 5.18; for frames of more than a page.
    pub(super) fn run_live(&self, frame: &[u8], repeat: u32) -> io::Result<()> {
        self.call(frame, repeat, &mut [], BPF_F_TEST_XDP_LIVE_FRAMES).map(|_| ())
    }

    /// Runs one frame once and gives back what the program left of it.
    ///
    /// # Errors
    /// As [`Runner::run`].
    pub fn run_and_return(&mut self, frame: &[u8]) -> io::Result<(Ran, &[u8])> {
        let mut out = std::mem::take(&mut self.out);
        out.resize(frame.len(), 0);
        let ran = self.call(frame, 1, &mut out, 0);
        self.out = out;
        Ok((ran?, &self.out))
    }

    fn call(&self, frame: &[u8], repeat: u32, out: &mut [u8], flags: u32) -> io::Result<Ran> {
        let mut attr = TestRunAttr {
            prog_fd: self.program.as_raw_fd() as u32,
            data_size_in: frame.len() as u32,
            data_in: frame.as_ptr() as u64,
            data_size_out: out.len() as u32,
            data_out: if out.is_empty() { 0 } else { out.as_mut_ptr() as u64 },
            repeat,
            flags,
            ctx_size_in: self.context.len() as u32,
            ctx_in: if self.context.is_empty() { 0 } else { self.context.as_ptr() as u64 },
            ..TestRunAttr::default()
        };
        // SAFETY: the attributes live through the call, and name buffers of the sizes given.
        let result = unsafe {
            libc::syscall(libc::SYS_bpf, BPF_PROG_TEST_RUN, &raw mut attr, size_of::<TestRunAttr>())
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Ran { verdict: attr.retval, nanoseconds: attr.duration })
    }
}

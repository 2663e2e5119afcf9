//! A map's memory in this process: reading and writing it costs no system call.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
    ptr::NonNull,
    sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering},
};

use classifier_common::counter::Counter;

use crate::{datapath::DatapathError, fib::memory::Words};

/// The values of a `BPF_F_MMAPABLE` array map, shared with the kernel.
#[derive(Debug)]
pub(super) struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: plain shared memory without thread affinity; all access is by atomics of its words.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps `len` bytes of the map's values. `len` is value size (a multiple of 8) times entries.
    pub(super) fn new(map: BorrowedFd<'_>, len: usize) -> Result<Self, DatapathError> {
        // SAFETY: a fresh shared mapping chosen by the kernel; nothing of this process is replaced.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(DatapathError::System {
                call: "mmap of a BPF map",
                source: io::Error::last_os_error(),
            });
        }
        let Some(base) = NonNull::new(base.cast()) else {
            return Err(DatapathError::System {
                call: "mmap of a BPF map",
                source: io::ErrorKind::Other.into(),
            });
        };
        Ok(Self { base, len })
    }

    /// Bytes mapped.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The `T`s of the mapping from byte `at` on. `T` is an atomic, and `at` a multiple of its size.
    fn atomics<T>(&self, at: usize, count: usize) -> &[T] {
        let size = size_of::<T>();
        assert!(at.is_multiple_of(size) && at + count * size <= self.len, "outside of the mapping");
        // SAFETY: in bounds and aligned (the mapping is page-aligned); atomics may be shared with the kernel, any
        // bit pattern is valid, and the mapping lives as long as the borrow.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(at).cast(), count) }
    }

    /// 32-bit words.
    pub(super) fn words(&self) -> &[AtomicU32] {
        self.atomics(0, self.len / 4)
    }

    /// `count` counters from counter `index` on.
    pub(super) fn counters(&self, index: u32, count: usize) -> &[SharedCounter] {
        self.atomics(index as usize * size_of::<Counter>(), count)
    }

    /// `count` bytes, and as many whole 64-bit words over them, from counter `index` on.
    pub(super) fn bytes(&self, index: u32, count: usize) -> (&[AtomicU8], &[AtomicU64]) {
        let at = index as usize * size_of::<Counter>();
        (self.atomics(at, count), self.atomics(at, count.div_ceil(8)))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`, and no borrow outlives `self`. Failure would leave the memory mapped: harmless.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// A counter that the kernel writes. Its two halves are read one after the other: a packet may be in one and not
/// yet in the other, and is then in both at the next sweep.
#[derive(Debug)]
#[repr(C)]
pub(super) struct SharedCounter {
    packets: AtomicU64,
    bytes: AtomicU64,
}

impl SharedCounter {
    pub(super) fn load(&self) -> Counter {
        Counter { packets: self.packets.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }

    /// Counts, as the kernel would.
    pub(super) fn add(&self, counter: Counter) {
        self.packets.fetch_add(counter.packets, Ordering::Relaxed);
        self.bytes.fetch_add(counter.bytes, Ordering::Relaxed);
    }
}

impl Words for Mapping {
    fn load(&self, index: usize) -> u32 {
        self.words()[index].load(Ordering::Relaxed)
    }

    fn store(&mut self, index: usize, word: u32) {
        // Release: a row or node is seen filled by whoever sees the word that points to it.
        self.words()[index].store(word, Ordering::Release);
    }

    fn len(&self) -> usize {
        self.len / 4
    }
}

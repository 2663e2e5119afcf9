//! The system calls that aya has no words for: pins, what the kernel says of an object, and who asks.

use std::{
    ffi::{CStr, CString},
    io,
    os::{
        fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_OBJ_PIN: libc::c_long = 6;
const BPF_OBJ_GET: libc::c_long = 7;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const BPF_LINK_GET_FD_BY_ID: libc::c_long = 30;
const BPF_LINK_DETACH: libc::c_long = 34;
/// `BPF_FS_MAGIC` (linux/magic.h).
const BPF_FS: i64 = 0xcafe_4a11;

fn bpf<T>(command: libc::c_long, attr: &mut T) -> io::Result<i32> {
    // SAFETY: the attributes live through the call and are as long as is said; what they point to lives as long.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

fn owned(fd: i32) -> OwnedFd {
    // SAFETY: a descriptor that the kernel just made, and that nobody else has.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// `union bpf_attr`, as `BPF_OBJ_PIN` and `BPF_OBJ_GET` read it (kernel 4.4).
#[repr(C)]
#[derive(Default)]
struct PathAttr {
    pathname: u64,
    fd: u32,
    flags: u32,
}

fn c_string(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// Pins a map, program or link.
pub(super) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = c_string(path)?;
    let fd = object.as_raw_fd() as u32;
    bpf(BPF_OBJ_PIN, &mut PathAttr { pathname: path.as_ptr() as u64, fd, flags: 0 }).map(drop)
}

/// What is pinned there.
pub(super) fn pinned(path: &Path) -> io::Result<OwnedFd> {
    let path = c_string(path)?;
    let mut attr = PathAttr { pathname: path.as_ptr() as u64, ..PathAttr::default() };
    bpf(BPF_OBJ_GET, &mut attr).map(owned)
}

/// `union bpf_attr`, as `BPF_OBJ_GET_INFO_BY_FD` reads it (kernel 4.13).
#[repr(C)]
struct InfoAttr {
    fd: u32,
    len: u32,
    info: u64,
}

/// What the kernel says of an object; `T` is a beginning of its info structure, and all zero is a value of it.
fn info<T: Default>(object: BorrowedFd<'_>) -> io::Result<T> {
    let mut info = T::default();
    let mut attr = InfoAttr {
        fd: object.as_raw_fd() as u32,
        len: size_of::<T>() as u32,
        info: std::ptr::from_mut(&mut info) as u64,
    };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(info)
}

/// The beginning of `struct bpf_map_info`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MapInfo {
    pub(super) kind: u32,
    pub(super) id: u32,
    pub(super) key_size: u32,
    pub(super) value_size: u32,
    pub(super) max_entries: u32,
    pub(super) flags: u32,
}

/// The beginning of `struct bpf_prog_info`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ProgramInfo {
    pub(super) kind: u32,
    pub(super) id: u32,
    pub(super) tag: [u8; 8],
}

/// The beginning of `struct bpf_link_info` of XDP and TCX links (kernels 5.9 and 6.6).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LinkInfo {
    /// [`XDP_LINK`], [`TCX_LINK`].
    pub(super) kind: u32,
    pub(super) id: u32,
    pub(super) program: u32,
    padding: u32,
    /// 0 once the interface is gone.
    pub(super) ifindex: u32,
    /// `enum bpf_attach_type`, of TCX.
    pub(super) attach_type: u32,
}

/// `BPF_LINK_TYPE_XDP`.
pub(super) const XDP_LINK: u32 = 6;
/// `BPF_LINK_TYPE_TCX`.
pub(super) const TCX_LINK: u32 = 11;

/// What the kernel says of a map.
pub(super) fn map_info(map: BorrowedFd<'_>) -> io::Result<MapInfo> {
    info(map)
}

/// What the kernel says of a program.
pub(super) fn program_info(program: BorrowedFd<'_>) -> io::Result<ProgramInfo> {
    info(program)
}

/// What the kernel says of a link.
pub(super) fn link_info(link: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    info(link)
}

/// `union bpf_attr`, as far as the two link commands read it.
#[repr(C)]
#[derive(Default)]
struct LinkAttr {
    id_or_fd: u32,
    padding: [u32; 3],
}

/// The link of this number (kernel 5.8); needs CAP_SYS_ADMIN.
pub(super) fn link_of(id: u32) -> io::Result<OwnedFd> {
    bpf(BPF_LINK_GET_FD_BY_ID, &mut LinkAttr { id_or_fd: id, ..LinkAttr::default() }).map(owned)
}

/// `BPF_LINK_DETACH` (kernel 5.9): when it returns the program is off, whoever else holds the link.
pub(super) fn detach(link: BorrowedFd<'_>) -> io::Result<()> {
    let fd = link.as_raw_fd() as u32;
    bpf(BPF_LINK_DETACH, &mut LinkAttr { id_or_fd: fd, ..LinkAttr::default() }).map(drop)
}

/// Whether a directory is of a BPF file system.
pub(super) fn is_bpffs(directory: &Path) -> io::Result<bool> {
    let path = c_string(directory)?;
    let mut stat = std::mem::MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: a path that ends with a zero, and room for the answer; all zero is a value of it.
    let stat = unsafe {
        if libc::statfs(path.as_ptr(), stat.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        stat.assume_init()
    };
    Ok(stat.f_type as i64 == BPF_FS)
}

/// `union bpf_attr`, as `BPF_PROG_LOAD` reads it (kernel 4.20).
#[repr(C)]
#[derive(Default)]
struct LoadAttr {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    ifindex: u32,
    attach_type: u32,
}

const _: () = assert!(size_of::<LoadAttr>() == 72);

/// Has an XDP or TC program verified, and lets it go; what the verifier says of it in sum (`BPF_LOG_STATS`, kernel 5.2).
pub(super) fn verify(
    xdp: bool,
    license: &CStr,
    instructions: &[aya_obj::generated::bpf_insn],
) -> io::Result<String> {
    const SCHED_CLS: u32 = 3;
    const XDP: u32 = 6;
    /// `BPF_XDP`.
    const XDP_ATTACH: u32 = 37;
    /// `BPF_F_XDP_HAS_FRAGS`.
    const FRAGS: u32 = 1 << 5;
    const STATS: u32 = 4;
    let mut log = vec![0_u8; 1 << 16];
    let mut attr = LoadAttr {
        kind: if xdp { XDP } else { SCHED_CLS },
        instruction_count: instructions.len() as u32,
        instructions: instructions.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: STATS,
        log_size: log.len() as u32,
        log: log.as_mut_ptr() as u64,
        flags: if xdp { FRAGS } else { 0 },
        attach_type: if xdp { XDP_ATTACH } else { 0 },
        ..LoadAttr::default()
    };
    let loaded = bpf(BPF_PROG_LOAD, &mut attr).map(owned);
    let text = log.split(|&byte| byte == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(text).into_owned();
    loaded.map_err(|error| io::Error::new(error.kind(), format!("{error}: {text}"))).map(|_| text)
}

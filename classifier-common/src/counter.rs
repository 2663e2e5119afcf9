//! What is counted.

/// Frames and their bytes on the wire (layer 2 header and every VLAN tag in, FCS and preamble out).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counter {
    /// Wire packets: a GSO super-frame is as many as it becomes.
    pub packets: u64,
    /// Wire bytes.
    pub bytes: u64,
}

impl Counter {
    /// Nothing counted.
    pub const ZERO: Self = Self { packets: 0, bytes: 0 };

    /// Whether nothing was counted.
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        self.packets == 0 && self.bytes == 0
    }
}

impl core::ops::AddAssign for Counter {
    fn add_assign(&mut self, other: Self) {
        self.packets = self.packets.wrapping_add(other.packets);
        self.bytes = self.bytes.wrapping_add(other.bytes);
    }
}

impl core::ops::Add for Counter {
    type Output = Self;
    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

/// What came since `earlier`. Kernel counters wrap at 2^64, so the difference is modulo 2^64.
impl core::ops::Sub for Counter {
    type Output = Self;
    fn sub(self, earlier: Self) -> Self {
        Self {
            packets: self.packets.wrapping_sub(earlier.packets),
            bytes: self.bytes.wrapping_sub(earlier.bytes),
        }
    }
}

impl core::iter::Sum for Counter {
    fn sum<I: Iterator<Item = Self>>(counters: I) -> Self {
        counters.fold(Self::ZERO, |sum, counter| sum + counter)
    }
}

/// What became of a frame. The number is its place in the outcome counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Outcome {
    /// An IPv4 header was read, whatever it carries.
    Ipv4 = 0,
    /// An IPv6 header was read, whatever it carries.
    Ipv6 = 1,
    /// No IP in it: ARP, LLC, PPP control, an MPLS payload that is not IP.
    NonIp = 2,
    /// The frame ends before its header does, or the header contradicts itself.
    Malformed = 3,
    /// There may be IP inside, we did not look: a third VLAN tag, an MPLS stack deeper than we walk.
    Unsupported = 4,
}

impl Outcome {
    /// All, in index order.
    pub const ALL: [Self; 5] = [Self::Ipv4, Self::Ipv6, Self::NonIp, Self::Malformed, Self::Unsupported];

    /// The name in JSON and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::NonIp => "non_ip",
            Self::Malformed => "malformed",
            Self::Unsupported => "unsupported",
        }
    }
}

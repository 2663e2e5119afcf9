//! Small values of the command line and the configuration: each reads what a person writes, and says what it
//! expected where it cannot.

use std::{fmt, str::FromStr, time::Duration};

/// A value that is not what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}`: expected {expected}")]
pub struct ValueError {
    /// What was given.
    pub given: String,
    /// What would have been right.
    pub expected: &'static str,
}

impl ValueError {
    pub(crate) fn new(given: &str, expected: &'static str) -> Self {
        Self { given: given.to_owned(), expected }
    }
}

macro_rules! choice {
    ($(#[$meta:meta])* $name:ident, $expected:literal { $($(#[$vmeta:meta])* $variant:ident => $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vmeta])* $variant),+ }

        impl $name {
            /// All of them, in the order in which help shows them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];
            /// What a person is told to write.
            pub const EXPECTED: &str = $expected;

            /// The name on the command line and in the configuration.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl FromStr for $name {
            type Err = ValueError;

            fn from_str(text: &str) -> Result<Self, ValueError> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(ValueError::new(text, $expected)),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

choice! {
    /// Which addresses of a packet are counted.
    CountMode, "auto, both, remote or local" {
        /// Both where the banks fit the bank memory, else remote.
        #[default]
        Auto => "auto",
        /// Both.
        Both => "both",
        /// The Internet's address only.
        Remote => "remote",
        /// The ISP's address only.
        Local => "local",
    }
}

choice! {
    /// What a class stands for.
    GranularityChoice, "auto, prefix or as" {
        /// Prefixes where the banks fit the bank memory, else ASes.
        #[default]
        Auto => "auto",
        /// A class a prefix and origin AS.
        Prefix => "prefix",
        /// A class an AS and family: least memory.
        As => "as",
    }
}

choice! {
    /// How frames are seen on receive.
    XdpChoice, "auto, native, generic or tc" {
        /// XDP in the driver where it can, else TC ingress.
        #[default]
        Auto => "auto",
        /// XDP in the driver, or nothing.
        Native => "native",
        /// XDP in the stack, after GRO: inexact.
        Generic => "generic",
        /// TC ingress.
        Tc => "tc",
    }
}

/// How much kernel memory the banks may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BankMemory {
    /// This many bytes.
    Bytes(u64),
    /// This part of the machine's memory, 1 to 100.
    Percent(u8),
}

impl BankMemory {
    /// What a person is told to write.
    pub const EXPECTED: &str = "a size such as 512M or 2G, or a share of the memory such as 10%";

    /// The limit in bytes on a machine with `total` bytes of memory.
    #[must_use]
    pub const fn bytes(self, total: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => total / 100 * percent as u64,
        }
    }
}

impl Default for BankMemory {
    fn default() -> Self {
        Self::Percent(10)
    }
}

impl FromStr for BankMemory {
    type Err = ValueError;

    /// Units are binary (`K`, `M`, `G`, `T`, with or without `iB`); none is bytes.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let error = || ValueError::new(text, Self::EXPECTED);
        if let Some(percent) = text.strip_suffix('%') {
            let percent: u8 = percent.trim_end().parse().map_err(|_| error())?;
            return if (1..=100).contains(&percent) { Ok(Self::Percent(percent)) } else { Err(error()) };
        }
        let (number, unit) = split_unit(text);
        let shift = match unit.to_ascii_uppercase().trim_end_matches("IB").trim_end_matches('B') {
            "" => 0,
            "K" => 10,
            "M" => 20,
            "G" => 30,
            "T" => 40,
            _ => return Err(error()),
        };
        let number: u64 = number.parse().map_err(|_| error())?;
        match number.checked_mul(1 << shift) {
            Some(bytes) if bytes > 0 => Ok(Self::Bytes(bytes)),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for BankMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{bytes}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// How much of a disk, or of memory, may be taken, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSize(pub u64);

impl DiskSize {
    /// What a person is told to write.
    pub const EXPECTED: &str = "a size of at least 10MB, such as 500MB, 10GB or 1TB";
    /// The least that anything can be kept in.
    const MIN: u64 = 10_000_000;
}

impl FromStr for DiskSize {
    type Err = ValueError;

    /// Units are those of disks, powers of 1000 (`MB`, `GB`, `TB`), or with an `i` powers of 1024; none is bytes.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        bytes(text)
            .filter(|&bytes| bytes >= Self::MIN)
            .map(Self)
            .ok_or_else(|| ValueError::new(text, Self::EXPECTED))
    }
}

/// Reads a size as [`DiskSize`] does, but of any size.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text);
    let unit = unit.to_ascii_uppercase();
    let unit = unit.strip_suffix('B').unwrap_or(&unit);
    let (unit, base) = unit.strip_suffix('I').map_or((unit, 1000_u64), |unit| (unit, 1024));
    let power = match unit {
        "" if base == 1000 => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(base.pow(power))
}

/// A length of time as people write it: `500ms`, `5s`, `5m`, `24h`, `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    /// What a person is told to write.
    pub const EXPECTED: &str = "a duration such as 500ms, 5s, 5m, 24h or 7d";
}

impl FromStr for Span {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let error = || ValueError::new(text, Self::EXPECTED);
        let (number, unit) = split_unit(text);
        let number: u64 = number.parse().map_err(|_| error())?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(error()),
        };
        match number.checked_mul(millis) {
            Some(millis) if millis > 0 => Ok(Self(Duration::from_millis(millis))),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for Span {
    /// In the largest unit that divides it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let (size, unit) = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")]
            .into_iter()
            .find(|(size, _)| millis > 0 && millis.is_multiple_of(*size))
            .unwrap_or((1, "ms"));
        write!(f, "{}{unit}", millis / size)
    }
}

fn split_unit(text: &str) -> (&str, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    (number, unit.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bank_memory_reads_sizes_and_shares() {
        for (text, expected) in [
            ("10%", BankMemory::Percent(10)),
            ("100 %", BankMemory::Percent(100)),
            ("4096", BankMemory::Bytes(4096)),
            ("512M", BankMemory::Bytes(512 << 20)),
            ("512 MiB", BankMemory::Bytes(512 << 20)),
            ("2g", BankMemory::Bytes(2 << 30)),
            ("1TB", BankMemory::Bytes(1 << 40)),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in [
            "",
            "0",
            "0%",
            "101%",
            "-1",
            "10 percent",
            "5X",
            "1.5G",
            "99999999999999999999",
            "18446744073709551615K",
        ] {
            assert!(text.parse::<BankMemory>().is_err(), "{text}");
        }
    }

    #[test]
    fn bank_memory_is_a_share_of_what_is_there() {
        assert_eq!(BankMemory::default().bytes(8_000_000_000), 800_000_000);
        assert_eq!(BankMemory::Bytes(7).bytes(8_000_000_000), 7);
    }

    #[test]
    fn disk_sizes_are_decimal_as_disks_are() {
        for (text, bytes) in [
            ("10GB", 10_000_000_000),
            ("10 gb", 10_000_000_000),
            ("500M", 500_000_000),
            ("1TB", 1_000_000_000_000),
            ("2GiB", 2 << 30),
            ("64Mi", 64 << 20),
            ("10000000", 10_000_000),
        ] {
            assert_eq!(text.parse(), Ok(DiskSize(bytes)), "{text}");
        }
        for text in ["", "10", "9999999", "9MB", "GB", "10iB", "10%", "1.5GB", "-1GB", "99999999999TB"] {
            assert!(text.parse::<DiskSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn spans_read_and_show() {
        for (text, millis, shown) in [
            ("500ms", 500, "500ms"),
            ("5s", 5_000, "5s"),
            ("60s", 60_000, "1m"),
            ("90s", 90_000, "90s"),
            ("24h", 86_400_000, "1d"),
            ("7d", 604_800_000, "7d"),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.0, Duration::from_millis(millis), "{text}");
            assert_eq!(span.to_string(), shown, "{text}");
        }
        for text in ["", "5", "0s", "5 minutes", "s", "-5s", "1.5h", "18446744073709551615d"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn choices_say_what_they_expect() {
        assert_eq!("both".parse(), Ok(CountMode::Both));
        assert_eq!(
            "all".parse::<CountMode>().unwrap_err().to_string(),
            "`all`: expected auto, both, remote or local"
        );
        for &mode in XdpChoice::ALL {
            assert_eq!(mode.name().parse(), Ok(mode));
            assert!(XdpChoice::EXPECTED.contains(mode.name()));
        }
    }
}

//! Numbers that look random and are the same in every run: splitmix64's mixing (Steele, Lea, Flood, OOPSLA 2014).

/// From 0 up to, not including, 1.
pub(super) fn unit(number: u64, salt: u64) -> f64 {
    let mut bits =
        number.wrapping_add(salt.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

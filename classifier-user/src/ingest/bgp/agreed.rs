//! What two OPENs agree on (RFC 4271, sections 4.2 and 6.2; RFC 5492).

use std::net::{IpAddr, Ipv4Addr};

use super::{
    codec::{
        Families, Reset,
        open::{AS_TRANS, Capabilities, GracefulRestart, LongLivedRestart, Open},
        update::Context,
    },
    settings::PeerSettings,
};
use crate::model::{Asn, Family};

/// As long as `stale_time` may be: a week. RFC 9494 has room for 194 days.
const LONGEST: u32 = 7 * 24 * 3600;

/// What a session is, after both OPENs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The peer's AS.
    pub asn: Asn,
    /// The peer's BGP identifier.
    pub identifier: Ipv4Addr,
    /// Seconds of silence after which the session is lost; 0: never.
    pub hold_time: u16,
    /// Families that both have.
    pub families: Families<bool>,
    /// Both have AS numbers of 4 bytes.
    pub four_octet: bool,
    /// Families of which the peer sends several routes a prefix.
    pub add_path: Families<bool>,
    /// Both take long messages.
    pub extended_message: bool,
    /// The peer sends all again when asked.
    pub route_refresh: bool,
    /// It says when that begins and ends.
    pub enhanced_refresh: bool,
    /// What the peer says of its restarts.
    pub graceful_restart: Option<GracefulRestart>,
    /// What it says of routes that stay for longer.
    pub long_lived_restart: Option<LongLivedRestart>,
}

impl Agreed {
    /// How the peer's UPDATEs are read.
    #[must_use]
    pub const fn context(&self, settings: &PeerSettings) -> Context {
        Context {
            four_octet: self.four_octet,
            internal: settings.internal(),
            families: self.families,
            add_path: self.add_path,
        }
    }

    /// For how many seconds the peer's routes are good when the session is lost (RFC 4724, section 4.2; RFC 9494, section
    /// 4.2): that is what its restart may take, if it keeps forwarding meanwhile and is not only a helper, and what it says
    /// of routes of a longer life, up to [`LONGEST`].
    pub(super) fn good_for(&self) -> u32 {
        let Some(graceful) = self.graceful_restart else { return 0 };
        let promised = |families| self.families.and(families) != Families::default();
        let restart = if promised(graceful.families) { graceful.restart_time.into() } else { 0 };
        let long_lived = self.long_lived_restart.filter(|long_lived| promised(long_lived.families));
        (restart + long_lived.map_or(0, |long_lived| long_lived.stale_time)).min(LONGEST)
    }

    /// Whether the peer keeps forwarding through a restart: then a new connection of its replaces the old session
    /// (RFC 4724, section 5).
    #[must_use]
    pub fn restarts_gracefully(&self) -> bool {
        self.graceful_restart.is_some_and(|graceful| graceful.families.iter().count() > 0)
    }
}

/// Our OPEN.
///
/// Graceful restart is offered without families, and always as if just restarted: the first says that we are a helper
/// and know of End-of-RIB (RFC 4724, section 3), the second that nobody is to wait for ours (section 4.1). We never
/// send an UPDATE, so a router that came back and waited for it would hold its own routes back until its timer ends.
/// Long-lived graceful restart is offered without families too: a router that keeps using routes of this kind sends them
/// only to those who know of it (RFC 9494, section 4.3).
pub(super) fn our_open(settings: &PeerSettings, local: IpAddr) -> Open {
    Open {
        short_as: u16::try_from(settings.local_as).unwrap_or(AS_TRANS),
        hold_time: settings.hold_time,
        identifier: settings.router_id.unwrap_or_else(|| identifier(local, settings.address)),
        capabilities: Capabilities {
            families: Some(settings.families),
            four_octet_as: Some(settings.local_as),
            extended_message: true,
            route_refresh: true,
            enhanced_refresh: true,
            add_path_send: Families::default(),
            add_path_receive: if settings.add_path { settings.families } else { Families::default() },
            graceful_restart: Some(GracefulRestart {
                restarting: true,
                restart_time: 0,
                families: Families::default(),
            }),
            long_lived_restart: Some(LongLivedRestart::default()),
        },
    }
}

/// A BGP identifier of the session's own address. On the router itself both ends may have the same address, which is
/// likely the router's identifier as well: then, and for IPv6, it is a number in 127.0.0.0/8 made of the address.
fn identifier(local: IpAddr, peer: IpAddr) -> Ipv4Addr {
    let bits = match local {
        IpAddr::V4(address) if local != peer && !address.is_unspecified() => return address,
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    };
    // FNV-1a.
    let hash = bits
        .to_be_bytes()
        .into_iter()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    Ipv4Addr::from_bits(127 << 24 | hash & 0x00ff_ffff)
}

/// Holds the peer's OPEN against ours.
///
/// # Errors
/// [`Reset`] with the NOTIFICATION of RFC 4271, section 6.2.
pub(super) fn agree(settings: &PeerSettings, ours: &Open, theirs: &Open) -> Result<Agreed, Reset> {
    let asn = theirs.asn();
    if asn != settings.remote_as {
        let problem = format!("it is AS {asn}, configured is AS {}", settings.remote_as);
        return Err(Reset::new(2, 2, problem));
    }
    // RFC 6286, section 2.2.
    if theirs.identifier.is_unspecified() {
        return Err(Reset::new(2, 3, "its BGP identifier is 0.0.0.0"));
    }
    if settings.internal() && theirs.identifier == ours.identifier {
        let problem = format!(
            "its BGP identifier {} is ours too: configure another `router_id` for one of both",
            theirs.identifier
        );
        return Err(Reset::new(2, 3, problem));
    }
    if matches!(theirs.hold_time, 1 | 2) {
        return Err(Reset::new(2, 6, format!("a hold time of {} s", theirs.hold_time)));
    }
    // RFC 4760, section 8: who speaks of no families speaks IPv4 unicast.
    let ipv4 = Families { ipv4: true, ipv6: false };
    let families = settings.families.and(theirs.capabilities.families.unwrap_or(ipv4));
    if families == Families::default() {
        let wanted: Vec<&str> = settings.families.iter().map(Family::name).collect();
        let wanted = wanted.join(" and ");
        let problem = format!("it has no {wanted} unicast routes for us: enable the family on its side");
        let data: Vec<u8> = settings
            .families
            .iter()
            .flat_map(|family| [1, 4, 0, if family == Family::Ipv4 { 1 } else { 2 }, 0, 1])
            .collect();
        return Err(Reset::new(2, 7, problem).with_data(&data));
    }
    let (our, their) = (&ours.capabilities, &theirs.capabilities);
    Ok(Agreed {
        asn,
        identifier: theirs.identifier,
        hold_time: ours.hold_time.min(theirs.hold_time),
        families,
        four_octet: their.four_octet_as.is_some(),
        add_path: families.and(our.add_path_receive).and(their.add_path_send),
        extended_message: their.extended_message,
        route_refresh: their.route_refresh,
        enhanced_refresh: their.route_refresh && their.enhanced_refresh,
        graceful_restart: their.graceful_restart,
        long_lived_restart: their.graceful_restart.and(their.long_lived_restart),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> PeerSettings {
        PeerSettings::new("192.0.2.1".parse().unwrap(), 64_500)
    }

    fn theirs(settings: &PeerSettings) -> Open {
        let mut open = our_open(settings, settings.address);
        open.identifier = Ipv4Addr::new(192, 0, 2, 1);
        open.capabilities.add_path_send = Families::BOTH;
        open
    }

    fn ours(settings: &PeerSettings) -> Open {
        our_open(settings, "192.0.2.2".parse().unwrap())
    }

    fn error(settings: &PeerSettings, open: &Open) -> (u8, u8) {
        let reset = agree(settings, &ours(settings), open).unwrap_err();
        (reset.notification.code, reset.notification.subcode)
    }

    #[test]
    fn what_both_have() {
        let mut settings = settings();
        settings.add_path = true;
        let mut open = theirs(&settings);
        open.hold_time = 9;
        open.capabilities.families = Some(Families { ipv4: false, ipv6: true });
        open.capabilities.extended_message = false;
        let agreed = agree(&settings, &ours(&settings), &open).unwrap();
        assert_eq!(agreed.hold_time, 9);
        assert_eq!(agreed.families, Families { ipv4: false, ipv6: true });
        assert_eq!(agreed.add_path, Families { ipv4: false, ipv6: true });
        assert!(agreed.four_octet && agreed.enhanced_refresh && !agreed.extended_message);
        assert!(!agreed.restarts_gracefully());
        open.hold_time = 0;
        assert_eq!(agree(&settings, &ours(&settings), &open).unwrap().hold_time, 0);
        settings.add_path = false;
        assert_eq!(agree(&settings, &ours(&settings), &open).unwrap().add_path, Families::default());
    }

    #[test]
    fn how_long_routes_are_good() {
        let mut open = theirs(&settings());
        let both = Families::BOTH;
        let mut good_for =
            |graceful: Option<(u16, Families<bool>)>, long_lived: Option<(u32, Families<bool>)>| {
                open.capabilities.graceful_restart = graceful.map(|(restart_time, families)| {
                    GracefulRestart { restart_time, families, ..GracefulRestart::default() }
                });
                open.capabilities.long_lived_restart =
                    long_lived.map(|(stale_time, families)| LongLivedRestart { stale_time, families });
                let ipv4 = PeerSettings { families: Families { ipv4: true, ipv6: false }, ..settings() };
                agree(&ipv4, &ours(&ipv4), &open).unwrap().good_for()
            };
        assert_eq!(good_for(None, None), 0);
        assert_eq!(good_for(Some((120, both)), None), 120);
        assert_eq!(good_for(Some((120, both)), Some((3600, both))), 3720);
        assert_eq!(good_for(None, Some((3600, both))), 0, "RFC 9494, section 3.1");
        assert_eq!(good_for(Some((120, both)), Some((0xff_ffff, both))), 604_800);
        // A helper promises nothing, nor does who speaks of another family.
        for other in [Families::default(), Families { ipv4: false, ipv6: true }] {
            assert_eq!(good_for(Some((120, other)), None), 0);
            assert_eq!(good_for(Some((120, other)), Some((3600, both))), 3600);
            assert_eq!(good_for(Some((120, both)), Some((3600, other))), 120);
        }
    }

    #[test]
    fn an_old_speaker_is_ipv4_with_short_numbers() {
        let mut open = theirs(&settings());
        open.capabilities = Capabilities::default();
        let agreed = agree(&settings(), &ours(&settings()), &open).unwrap();
        assert_eq!(agreed.families, Families { ipv4: true, ipv6: false });
        assert!(!agreed.four_octet && !agreed.route_refresh && !agreed.extended_message);
    }

    #[test]
    fn what_does_not_suit_has_its_code() {
        let mut open = theirs(&settings());
        open.capabilities.four_octet_as = Some(64_501);
        assert_eq!(error(&settings(), &open), (2, 2));
        open = theirs(&settings());
        open.identifier = Ipv4Addr::UNSPECIFIED;
        assert_eq!(error(&settings(), &open), (2, 3));
        open.identifier = ours(&settings()).identifier;
        assert_eq!(error(&settings(), &open), (2, 3));
        let external = PeerSettings { local_as: 64_999, ..settings() };
        assert!(
            agree(&external, &ours(&external), &open).is_ok(),
            "RFC 6286: across ASes it may be the same"
        );
        open = theirs(&settings());
        open.hold_time = 2;
        assert_eq!(error(&settings(), &open), (2, 6));
        open = theirs(&settings());
        open.capabilities.families = Some(Families::default());
        assert_eq!(error(&settings(), &open), (2, 7));
    }

    #[test]
    fn a_long_as_is_as_trans_in_the_short_field() {
        let settings = PeerSettings { local_as: 4_200_000_000, ..settings() };
        let open = ours(&settings);
        assert_eq!((open.short_as, open.asn()), (23_456, 4_200_000_000));
    }

    #[test]
    fn identifiers() {
        let of = |local: &str| identifier(local.parse().unwrap(), "192.0.2.1".parse().unwrap());
        assert_eq!(of("192.0.2.2"), Ipv4Addr::new(192, 0, 2, 2));
        for made in [of("192.0.2.1"), of("2001:db8::1"), of("2001:db8::2")] {
            assert_eq!(made.octets()[0], 127);
        }
        assert_ne!(of("2001:db8::1"), of("2001:db8::2"));
    }
}

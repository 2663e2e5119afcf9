//! UPDATE messages to routes (RFC 4271, section 4.3; RFC 4760; RFC 7606).

use std::sync::Arc;

use super::{
    Families, Reset,
    attributes::{AS_PATH, Fault, NEXT_HOP, ORIGIN, Problem, Read},
    bytes::Bytes,
    nlri::{self, Form},
    path::Path,
};
use crate::{
    ingest::live::{Attributes, Route},
    model::Family,
};

pub use super::path::MAX_PATH;

/// What was agreed on, and changes how an UPDATE is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// Both sides have AS numbers of 4 bytes (RFC 6793).
    pub four_octet: bool,
    /// The peer is of the same AS.
    pub internal: bool,
    /// Families that are taken; routes of others are passed over.
    pub families: Families<bool>,
    /// Families whose prefixes have path identifiers (RFC 7911).
    pub add_path: Families<bool>,
}

/// What was in an UPDATE, beside its routes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Routes that are announced.
    pub announced: usize,
    /// Routes that are withdrawn, those included that the peer announced with a malformed attribute.
    pub withdrawn: usize,
    /// The peer has sent all of this family (RFC 4724, section 2).
    pub end_of_rib: Option<Family>,
    /// Why announced routes were withdrawn (RFC 7606: treat-as-withdraw).
    pub treated_as_withdraw: Option<Problem>,
    /// Which attribute was left out (RFC 7606: attribute discard).
    pub discarded: Option<Problem>,
    /// Prefixes passed over: those of families that are not taken count as one.
    pub ignored: usize,
}

/// Reads UPDATEs of one session.
#[derive(Clone, Debug)]
pub struct Decoder {
    context: Context,
    path: Path,
}

impl Decoder {
    /// For a session where this was agreed.
    #[must_use]
    pub fn new(context: Context) -> Self {
        Self { context, path: Path::default() }
    }

    /// Appends the routes of an UPDATE, withdrawn ones first.
    ///
    /// # Errors
    /// [`Reset`] where RFC 7606 leaves no other way; `routes` is then as it was.
    pub fn decode(&mut self, body: &[u8], routes: &mut Vec<Route>) -> Result<Contents, Reset> {
        let before = routes.len();
        let read = self.update(body, routes);
        if read.is_err() {
            routes.truncate(before);
        }
        read
    }

    fn update(&mut self, body: &[u8], routes: &mut Vec<Route>) -> Result<Contents, Reset> {
        let mut bytes = Bytes(body);
        let mut part = || {
            let length = bytes.u16()?;
            bytes.take(length.into())
        };
        let (Some(withdrawn), Some(attributes)) = (part(), part()) else {
            return Err(Reset::new(3, 1, "an UPDATE whose lengths do not fit"));
        };
        let nlri = bytes.0;
        let mut contents = Contents::default();
        if withdrawn.is_empty() && attributes.is_empty() && nlri.is_empty() {
            contents.end_of_rib = self.context.families.ipv4.then_some(Family::Ipv4);
            return Ok(contents);
        }
        let mut read = Read::of(attributes, &self.context)?;

        let before = routes.len();
        contents.ignored += self.network_field(withdrawn, None, routes)?;
        if let Some(unreach) = read.unreach {
            contents.ignored += self.multiprotocol(unreach.family, unreach.nlri, None, routes, 15)?;
            if unreach.nlri.is_empty() && withdrawn.is_empty() && nlri.is_empty() && !read.others {
                contents.end_of_rib = unreach.family.filter(|&family| self.context.families[family]);
            }
        }
        contents.withdrawn = routes.len() - before;

        let reachable = !nlri.is_empty() || read.reach.is_some();
        if reachable {
            // RFC 7606, section 3 (d).
            for (attribute, is) in [
                (ORIGIN, read.origin.is_some()),
                (AS_PATH, read.as_path.is_some()),
                (NEXT_HOP, read.next_hop || nlri.is_empty()),
            ] {
                if !is && read.withdraw.is_none() {
                    read.withdraw = Some(Problem { attribute, fault: Fault::Missing });
                }
            }
            if let (Some(value), None) = (read.as_path, read.withdraw)
                && let Err(fault) = self.path.read(value, self.context.four_octet, read.as4_path)
            {
                read.withdraw = Some(Problem { attribute: AS_PATH, fault });
            }
        } else if let (Some(problem), true) = (read.withdraw, read.others) {
            // Section 5.2: the prefixes cannot be told, so they cannot be withdrawn.
            return Err(Reset::new(3, 1, format!("{problem}, and no prefixes")));
        }
        contents.discarded = read.discarded;
        contents.treated_as_withdraw = read.withdraw;

        if reachable {
            let attributes = read.withdraw.is_none().then(|| {
                Arc::new(Attributes {
                    path: self.path.sequence.as_slice().into(),
                    set: self.path.set.as_slice().into(),
                    local_pref: read.local_pref,
                    med: read.med,
                    origin: read.origin.unwrap_or_default(),
                })
            });
            let attributes = attributes.as_ref();
            let before = routes.len();
            if let Some(reach) = read.reach {
                contents.ignored += self.multiprotocol(reach.family, reach.nlri, attributes, routes, 14)?;
            }
            contents.ignored += self.network_field(nlri, attributes, routes)?;
            let more = routes.len() - before;
            *(if attributes.is_some() { &mut contents.announced } else { &mut contents.withdrawn }) += more;
        }
        Ok(contents)
    }

    /// The fields of RFC 4271, which have IPv4 prefixes.
    fn network_field(
        &self,
        bytes: &[u8],
        attributes: Option<&Arc<Attributes>>,
        routes: &mut Vec<Route>,
    ) -> Result<usize, Reset> {
        // RFC 7606, section 5.3.
        self.prefixes(Some(Family::Ipv4), bytes, attributes, routes)
            .ok_or_else(|| Reset::new(3, 10, "prefixes that do not fit in their field"))
    }

    fn multiprotocol(
        &self,
        family: Option<Family>,
        bytes: &[u8],
        attributes: Option<&Arc<Attributes>>,
        routes: &mut Vec<Route>,
        attribute: u8,
    ) -> Result<usize, Reset> {
        self.prefixes(family, bytes, attributes, routes).ok_or_else(|| {
            let problem = Problem { attribute, fault: Fault::Length };
            Reset::new(3, 9, format!("{problem}: prefixes that do not fit in it"))
        })
    }

    fn prefixes(
        &self,
        family: Option<Family>,
        bytes: &[u8],
        attributes: Option<&Arc<Attributes>>,
        routes: &mut Vec<Route>,
    ) -> Option<usize> {
        match family.filter(|&family| self.context.families[family]) {
            Some(family) => {
                let form = Form { family, add_path: self.context.add_path[family] };
                nlri::read(bytes, form, attributes, routes)
            }
            None => Some(usize::from(!bytes.is_empty())),
        }
    }
}

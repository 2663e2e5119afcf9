//! Taking over what AS-Stats kept, so that an ISP keeps its past.
//!
//! AS-Stats (<https://github.com/manuelkasper/AS-Stats>, `bin/asstatd.pl`) has one round-robin database an AS,
//! `XX/ASN.rrd`, with four data sources a link: bytes in and out, of IPv4 and of IPv6. Reading order: [`rrd`] (what
//! `rrdtool dump` prints), [`pieces`] (bytes in stretches of time).

mod pieces;
pub mod rrd;

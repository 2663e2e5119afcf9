use std::{
    collections::HashMap,
    process::{Command, Stdio},
};

use super::*;
use crate::{
    ingest::{LoadOptions, TableSpec, export, well_known::check_well_known},
    model::Prefix,
    table::rib::{PrefixCounts, Rib, SourceId},
};

fn rib() -> (Rib, SourceTable) {
    let table = load().unwrap();
    let mut rib = Rib::new();
    let changes = rib.replace_source(SourceId::BUILTIN, table.routes.clone());
    assert_eq!(changes.len(), table.routes.len());
    (rib, table)
}

#[test]
fn the_built_in_table_is_whole() {
    let (rib, table) = rib();
    // What `summarize_address_range` of Python's ipaddress makes of the package's ranges: 564,580 IPv4 prefixes, of
    // which the one overlap between two ranges makes one prefix a second time.
    assert_eq!(rib.counts(), PrefixCounts { ipv4: 564_579, ipv6: 167_903 });
    assert_eq!(table.names.len(), 91_065);
    check_well_known(&rib, &table.names).unwrap();
    let about = about().unwrap();
    assert_eq!(about.date.to_string(), "2026-06-17");
    assert_eq!(table.date.unwrap().to_string(), "2026-06-17T00:00:00Z");
    for named in ["RouteViews", "DB-IP", "https://db-ip.com", "NRO", "CC BY 4.0"] {
        assert!(about.attribution.contains(named), "{named}");
    }
    assert!(about.source.contains("@ip-location-db/asn"), "{}", about.source);
}

#[test]
fn the_built_in_table_again_changes_nothing() {
    let (mut rib, table) = rib();
    assert_eq!(rib.replace_source(SourceId::BUILTIN, table.routes), []);
}

/// The lines of `bgpdump -m` as prefix → origin.
fn bgpdump(file: &Path) -> HashMap<Prefix, u32> {
    let output = Command::new("bgpdump").arg("-m").arg(file).stderr(Stdio::null()).output();
    let output = output.expect("bgpdump is installed (`cargo xtask setup`)");
    assert!(output.status.success());
    let mut routes = HashMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let fields: Vec<&str> = line.split('|').collect();
        assert_eq!((fields[0], fields[1]), ("TABLE_DUMP2", "1781654400"), "{line}");
        // Field 5 is the prefix, field 6 the path.
        assert_eq!(routes.insert(fields[5].parse().unwrap(), fields[6].parse().unwrap()), None, "{line}");
    }
    routes
}

#[test]
fn bgpdump_reads_our_mrt_as_we_do() {
    let (rib, table) = rib();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rib.mrt");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    export::write(&rib, &table.names, export::ExportFormat::Mrt, table.date.unwrap(), &mut file).unwrap();
    drop(file);

    let ours =
        crate::ingest::load(&TableSpec::File(path.clone()), &LoadOptions::default(), &mut |_| {}).unwrap();
    assert_eq!(ours.routes, table.routes);
    let theirs = bgpdump(&path);
    assert_eq!(theirs.len(), table.routes.len());
    for (prefix, origins) in &table.routes {
        assert_eq!(theirs.get(prefix), Some(&origins.chosen()), "{prefix}");
    }
}

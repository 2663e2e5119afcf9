use std::io::Write;

use super::*;
use crate::model::Family;

/// A directory with one table file.
struct Fixture {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

fn file(name: &str, content: impl AsRef<[u8]>) -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    std::fs::write(&path, content).unwrap();
    Fixture { _directory: directory, path }
}

fn load_bytes(content: impl AsRef<[u8]>, options: LoadOptions) -> Result<SourceTable, IngestError> {
    let fixture = file("table", content);
    load(&TableSpec::File(fixture.path.clone()), &options, &mut |_| {})
}

fn table(content: impl AsRef<[u8]>) -> SourceTable {
    load_bytes(content, LoadOptions::default()).unwrap()
}

/// The error without the directory's name.
fn error(content: impl AsRef<[u8]>) -> String {
    let error = load_bytes(content, LoadOptions::default()).unwrap_err().to_string();
    match error.rfind("/table") {
        Some(place) => error[place + 1..].to_owned(),
        None => error,
    }
}

fn routes(table: &SourceTable) -> Vec<(String, Vec<u32>)> {
    table.routes.iter().map(|(prefix, origins)| (prefix.to_string(), origins.all().to_vec())).collect()
}

fn expected(routes: &[(&str, &[u32])]) -> Vec<(String, Vec<u32>)> {
    routes.iter().map(|(prefix, asns)| ((*prefix).to_owned(), asns.to_vec())).collect()
}

#[test]
fn table_specs() {
    assert_eq!("builtin".parse(), Ok(TableSpec::Builtin));
    assert_eq!("./builtin".parse(), Ok(TableSpec::File("./builtin".into())));
    assert_eq!("rib.bz2".parse::<TableSpec>().unwrap().to_string(), "rib.bz2");
}

#[test]
fn ranges_csv() {
    let table = table(concat!(
        "1.0.0.0,1.0.0.255,13335,\"Cloudflare, Inc.\"\n",
        "1.0.64.0,1.0.128.255,18144,\"Enecom,Inc.\"\r\n",
        "\n# a comment\n",
        "2001:200::,2001:200:1b9:ffff:ffff:ffff:ffff:ffff,2500,WIDE \"\"Project\n",
        "10.0.0.0,10.0.0.255,4294967295"
    ));
    assert_eq!(table.kind, Format::RangesCsv);
    assert_eq!(
        routes(&table)[..4],
        expected(&[
            ("1.0.0.0/24", &[13335]),
            ("1.0.64.0/18", &[18144]),
            ("1.0.128.0/24", &[18144]),
            ("10.0.0.0/24", &[u32::MAX]),
        ])
    );
    // 442 /48s are 256 + 128 + 32 + 16 + 8 + 2.
    let v6: Vec<_> = table.routes[4..].iter().map(|(prefix, _)| prefix.netmask()).collect();
    assert_eq!(v6, [40, 41, 43, 44, 45, 47]);
    assert_eq!(table.names.get(13335), Some("Cloudflare, Inc."));
    assert_eq!(table.names.get(18144), Some("Enecom,Inc."));
    assert_eq!((table.report.lines, table.report.notices.len()), (4, 0));
}

#[test]
fn ranges_csv_with_numbers_and_with_a_header() {
    let table = table(concat!(
        "start,end,asn,name\n",
        "16777216,16777471,13335,\"Cloudflare, Inc.\"\n",
        "42540528726795050063891204319802818560,42540528806023212578155541913346768895,2500,WIDE\n"
    ));
    assert_eq!(routes(&table), expected(&[("1.0.0.0/24", &[13335]), ("2001:200::/32", &[2500])]));
}

#[test]
fn iptoasn() {
    let table = table(concat!(
        "1.0.0.0\t1.0.0.255\t13335\tUS\tCLOUDFLARENET\n",
        "1.0.1.0\t1.0.3.255\t0\tNone\tNot routed\n",
        "2001:db8::\t2001:db8:ffff:ffff:ffff:ffff:ffff:ffff\t64496\tZZ\tDOC\n"
    ));
    assert_eq!(table.kind, Format::Iptoasn);
    assert_eq!(
        routes(&table),
        expected(&[
            ("1.0.0.0/24", &[13335]),
            ("1.0.1.0/24", &[0]),
            ("1.0.2.0/23", &[0]),
            ("2001:db8::/32", &[64496])
        ])
    );
    assert_eq!(table.report.unrouted, 2);
    assert_eq!((table.names.get(13335), table.names.get(0)), (Some("CLOUDFLARENET"), None));
}

#[test]
fn pfx2as() {
    let table = table("1.0.0.0\t24\t13335\n1.0.4.0\t22\t38803_56203\n2001:db8::\t32\t9,8_7\n0.0.0.0\t0\t3\n");
    assert_eq!(table.kind, Format::Pfx2as);
    assert_eq!(
        routes(&table),
        expected(&[
            ("0.0.0.0/0", &[3]),
            ("1.0.0.0/24", &[13335]),
            ("1.0.4.0/22", &[38803, 56203]),
            ("2001:db8::/32", &[7, 8, 9])
        ])
    );
    assert_eq!((table.report.moas, table.report.as_sets), (2, 1));
    assert_eq!(table.report.notices, [Notice::AsSets { count: 1 }, Notice::DefaultRoute(Family::Ipv4)]);
    assert!(table.report.notices[1].to_string().contains("(0.0.0.0/0)"));
}

#[test]
fn pyasn() {
    let table = table(
        "; IP-ASN32-DAT file\n; Original file : rib.20260617.0000.bz2\n1.0.0.0/24\t13335\n2001:db8::/32\t1\n",
    );
    assert_eq!(table.kind, Format::Pyasn);
    assert_eq!(routes(&table), expected(&[("1.0.0.0/24", &[13335]), ("2001:db8::/32", &[1])]));
}

#[test]
fn networks_lst() {
    let table = table("! local\n13335,1.0.0.0/24\n64496, 2001:db8::/32\n");
    assert_eq!(table.kind, Format::NetworksLst);
    assert_eq!(routes(&table), expected(&[("1.0.0.0/24", &[13335]), ("2001:db8::/32", &[64496])]));
}

#[test]
fn prefix_csv() {
    let table =
        table("prefix,asn,name\n1.0.0.0/24,13335_7,\"Cloud \"\"flare\"\", Inc.\"\n2001:db8::/32,1,\"\"\n");
    assert_eq!(table.kind, Format::PrefixCsv);
    assert_eq!(routes(&table), expected(&[("1.0.0.0/24", &[13335, 7]), ("2001:db8::/32", &[1])]));
    assert_eq!(table.names.get(13335), Some("Cloud \"flare\", Inc."));
    assert_eq!(table.names.len(), 1);
}

#[test]
fn names_alone() {
    let names = table("1 LVLT-1 - Level 3 Parent, LLC, US\n13335 CLOUDFLARENET - Cloudflare, Inc., US\n");
    assert_eq!((names.kind, names.routes.len()), (Format::AsnTxt, 0));
    assert_eq!(names.names.get(1), Some("Level 3 Parent, LLC"));

    let names = table("asn,name,class,cc\nAS1,\"Level 3 Parent, LLC\",Carrier,US\nAS2,UDEL-DCN,Unknown,US\n");
    assert_eq!((names.kind, names.routes.len()), (Format::AsnsCsv, 0));
    assert_eq!((names.names.get(1), names.names.get(2)), (Some("Level 3 Parent, LLC"), Some("UDEL-DCN")));
}

#[test]
fn overrides() {
    let text =
        "# ours\n10.0.0.0/8 AS64512 Our lab # not routed\n2001:db8::/32\t64513\n192.0.2.0/24 64512 Other\n";
    let fixture = file("overrides", text);
    let table = load_overrides(&fixture.path, &LoadOptions::default()).unwrap();
    assert_eq!(table.kind, Format::Override);
    assert_eq!(
        routes(&table),
        expected(&[("10.0.0.0/8", &[64512]), ("192.0.2.0/24", &[64512]), ("2001:db8::/32", &[64513])])
    );
    assert_eq!((table.names.get(64512), table.names.len()), (Some("Our lab"), 1));

    // Nothing to override is no error.
    for empty in ["", "# nothing yet\n"] {
        let fixture = file("overrides", empty);
        assert_eq!(load_overrides(&fixture.path, &LoadOptions::default()).unwrap().routes, []);
    }
    let fixture = file("overrides", "10.0.0.0/8 64512\n13335,1.0.0.0/24\n");
    let error = load_overrides(&fixture.path, &LoadOptions::default()).unwrap_err().to_string();
    assert!(
        error.ends_with(
            "overrides:2: the line has another form: \"13335,1.0.0.0/24\"; expected prefix asn [name]"
        ),
        "{error}"
    );
}

const RANGES: &str = "1.0.0.0,1.0.0.255,13335,\"Cloudflare, Inc.\"\n8.8.8.0,8.8.8.255,15169,Google LLC\n";

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(content: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn zstd(content: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn compressed_files_are_recognised_whole_and_cut() {
    let wanted = routes(&table(RANGES));
    assert_eq!(wanted.len(), 2);
    // Enough for several reads, of lines that do not compress to nothing.
    let long: String = (0..200_000u32)
        .map(|i| {
            let address = std::net::Ipv4Addr::from_bits(i << 8);
            format!("{address}\t24\t{}\n", i.wrapping_mul(2_654_435_761) % 400_000 + 1)
        })
        .collect();
    for (name, compress) in [("gzip", gzip as fn(&[u8]) -> Vec<u8>), ("bzip2", bzip2), ("zstd", zstd)] {
        assert_eq!(routes(&table(compress(RANGES.as_bytes()))), wanted, "{name}");
        // Files put together, as `cat` does.
        let (first, second) = RANGES.split_at(RANGES.find('\n').unwrap() + 1);
        let both = [compress(first.as_bytes()), compress(second.as_bytes())].concat();
        assert_eq!(routes(&table(both)), wanted, "{name}");

        let whole = compress(long.as_bytes());
        assert_eq!(table(&whole).routes.len(), 200_000, "{name}");
        for cut in [whole.len() - 1, whole.len() / 2, 12] {
            assert_eq!(
                error(&whole[..cut]),
                format!("table: the {name} data ends in the middle: the file was cut, fetch it again"),
                "{name} cut at {cut}"
            );
        }
        let mut damaged = whole.clone();
        let middle = damaged.len() / 2;
        damaged[middle..middle + 64].fill(0x55);
        let error = error(damaged);
        assert!(error.starts_with(&format!("table: the {name} data is damaged (")), "{name}: {error}");
        assert_eq!(self::error(compress(b"")), EMPTY, "{name}");
    }
}

const EMPTY: &str = "table: there is no route in this file: it is empty, or has comments only";

#[test]
fn files_without_a_table() {
    assert_eq!(error(""), EMPTY);
    assert_eq!(error("# nothing\n\n; here\n"), EMPTY);
    assert_eq!(
        error("prefix,asn,name\n"),
        format!("table: {UNKNOWN} \"prefix,asn,name\". Known are {FORMATS}")
    );
    assert_eq!(
        error("<!DOCTYPE html>\n<html>Not found</html>\n"),
        format!("table: {UNKNOWN} \"<!DOCTYPE html> <html>Not found</html>\". Known are {FORMATS}")
    );
    let image = [&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], &[0, 200, 255].repeat(1000)].concat();
    assert!(error(image).starts_with(&format!("table: {UNKNOWN} \".PNG")));
    let missing = load(&TableSpec::File("/nonexistent/t".into()), &LoadOptions::default(), &mut |_| {});
    let missing = missing.unwrap_err().to_string();
    assert!(missing.starts_with("cannot open the table /nonexistent/t: No such file"), "{missing}");
    let directory = load(&TableSpec::File("/".into()), &LoadOptions::default(), &mut |_| {}).unwrap_err();
    assert!(directory.to_string().starts_with("cannot read the table /: "), "{directory}");
}

const UNKNOWN: &str = "this is no table that can be read; it begins with";
const FORMATS: &str = "ranges CSV, iptoasn TSV, CAIDA pfx2as, pyasn .dat, pmacct networks.lst, MRT TABLE_DUMP_V2, \
                       mmdb, AS names (asn.txt, asns.csv), and lines of `prefix asn [name]`";

#[test]
fn wrong_lines_are_named() {
    let after = |good: &str, bad: &str| error(format!("{good}\n{bad}\n{good}\n"));
    let csv = "1.0.0.0,1.0.0.255,13335,\"Cloudflare, Inc.\"";
    for (good, bad, problem, expected) in [
        (
            csv,
            "1.1.0.0,1.1.0.255,4294967296,x",
            "AS number 4294967296 is over 32 bits",
            "start,end,asn,\"name\"",
        ),
        (csv, "1.1.0.0,1.1.0.256,1,x", "`1.1.0.256` is no IP address", "start,end,asn,\"name\""),
        (csv, "1.1.0.0,1.1.0.255,x,x", "`x` is no AS number", "start,end,asn,\"name\""),
        (csv, "1.1.0.0,1.1.0.255", "the line has another form", "start,end,asn,\"name\""),
        (csv, "1.1.0.0,1.1.0.255,1,\"x", "the line has another form", "start,end,asn,\"name\""),
        (csv, "1.1.0.255,1.1.0.0,1,x", "the range ends before it begins", "start,end,asn,\"name\""),
        (
            csv,
            "1.1.0.0,2001:db8::,1,x",
            "the range begins in one address family and ends in the other",
            "start,end,asn,\"name\"",
        ),
        (
            "1.0.0.0/24,13335,\"x\"",
            "1.0.1.1/24,13335,x",
            "1.0.1.1/24 has host bits set; the network is 1.0.1.0/24",
            "prefix,asn,\"name\"",
        ),
        (
            "1.0.0.0\t24\t13335",
            "1.0.1.1\t24\t13335",
            "1.0.1.1/24 has host bits set; the network is 1.0.1.0/24",
            "address<tab>length<tab>asn",
        ),
        (
            "1.0.0.0\t24\t13335",
            "1.0.1.0\t33\t13335",
            "/33 is longer than an address has bits (32)",
            "address<tab>length<tab>asn",
        ),
        ("1.0.0.0\t24\t13335", "1.0.1.0\t24", "the line has another form", "address<tab>length<tab>asn"),
        ("1.0.0.0/24\t13335", "1.0.1.0\t13335", "`1.0.1.0` is no prefix (address/length)", "prefix<tab>asn"),
        (
            "13335,1.0.0.0/24",
            "13335,1.0.1.0/24x",
            "`1.0.1.0/24x` is no prefix (address/length)",
            "asn,prefix",
        ),
        (
            "1.0.0.0\t1.0.0.255\t1\tUS\tX",
            "1.0.1.0\t1.0.1.255\t-1\tUS\tX",
            "`-1` is no AS number",
            "start<tab>end<tab>asn<tab>country<tab>name",
        ),
        ("10.0.0.0/8 64512", "10.0.0.0/8", "the line has another form", "prefix asn [name]"),
        ("1 LVLT - Level 3, US", "x LVLT", "`x` is no AS number", "asn NAME - Long name, country"),
        ("AS1,Level 3,Carrier,US", "ASx,Level 3", "`ASx` is no AS number", "asn,\"name\",class,country"),
    ] {
        assert_eq!(after(good, bad), format!("table:2: {problem}: \"{bad}\"; expected {expected}"));
        let skipped =
            load_bytes(format!("{good}\n{bad}\n{good}\n"), LoadOptions { skip_bad_lines: true }).unwrap();
        assert_eq!((skipped.report.lines, skipped.report.bad_lines), (3, 1), "{bad}");
        assert_eq!(skipped.routes, table(format!("{good}\n")).routes, "{bad}");
        let told = skipped.report.notices[0].to_string();
        assert!(told.starts_with("bad lines left out: 1, the first one: ") && told.contains(bad), "{told}");
    }
    // The first line bad, the format told by the second.
    assert_eq!(
        error(format!("1.1.0.0;1.1.0.255;1\n{csv}\n")),
        "table:1: the line has another form: \"1.1.0.0;1.1.0.255;1\"; expected start,end,asn,\"name\""
    );
    let long = format!("{csv}\n1.1.0.0,1.1.0.255,1,\"{}\"\n{csv}\n", "x".repeat(70_000));
    let error = error(&long);
    assert!(
        error.starts_with("table:2: the line is longer than 65536 bytes: \"1.1.0.0,1.1.0.255,1,"),
        "{error}"
    );
    assert!(error.ends_with("…\"; expected start,end,asn,\"name\"") && error.len() < 400, "{error}");
    assert_eq!(load_bytes(long, LoadOptions { skip_bad_lines: true }).unwrap().report.bad_lines, 1);
}

#[test]
fn lines_that_contradict_each_other() {
    let ranges = "1.0.0.0,1.0.0.255,1,A\n2.0.0.0,2.0.0.255,9,B\n1.0.0.0,1.0.0.255,2,C\n";
    assert_eq!(error(ranges), "table:3: 1.0.0.0 to 1.0.0.255 is given to AS2 here and to AS1 in line 1");
    let prefixes = "2001:db8::/32 1\n10.0.0.0/8 5\n2001:db8::/32 2\n";
    assert_eq!(error(prefixes), "table:3: 2001:db8::/32 is given to AS2 here and to AS1 in line 1");
    for text in [ranges, prefixes] {
        let table = load_bytes(text, LoadOptions { skip_bad_lines: true }).unwrap();
        assert_eq!((table.routes.len(), table.report.bad_lines), (2, 1));
        let (_, origins) = table.routes.iter().find(|(_, origins)| origins.chosen() < 3).unwrap();
        assert_eq!(origins.chosen(), 1);
    }
    let again = table("1.0.0.0,1.0.0.255,1,A\n1.0.0.0,1.0.0.255,1,A\n");
    assert_eq!((again.routes.len(), again.report.duplicates, again.report.notices.len()), (1, 1, 0));
    let again = table("10.0.0.0/8 1\n10.0.0.0/8 1\n");
    assert_eq!((again.routes.len(), again.report.duplicates), (1, 1));
}

#[test]
fn overlapping_ranges() {
    // The one overlap in the built-in table's data.
    let table = table("214.95.0.0,215.0.255.255,749,DoD\n215.0.0.0,215.1.3.255,721,DoD NIC\n");
    assert_eq!(
        routes(&table),
        expected(&[
            ("214.95.0.0/16", &[749]),
            ("214.96.0.0/11", &[749]),
            ("214.128.0.0/9", &[749]),
            ("215.0.0.0/16", &[721]),
            ("215.1.0.0/22", &[721])
        ])
    );
    assert_eq!(table.report.overlaps, 1);
    assert_eq!(
        table.report.notices[0].to_string(),
        "overlapping ranges: 1 (an address in several goes to the narrowest)"
    );
}

#[test]
fn progress_ends_with_the_whole_file() {
    let fixture = file("table", gzip(RANGES.as_bytes()));
    let size = std::fs::metadata(&fixture.path).unwrap().len();
    let mut last = None;
    load(&TableSpec::File(fixture.path.clone()), &LoadOptions::default(), &mut |progress| {
        last = Some(progress);
    })
    .unwrap();
    assert_eq!(last, Some(Progress { read: size, total: Some(size) }));
}

#[test]
fn exports_are_read_back_the_same() {
    use crate::table::rib::{Rib, SourceId};
    let mut rib = Rib::new();
    let several = Origins::from_list(&[64499, 64497, 64498]).unwrap();
    rib.update(SourceId::BUILTIN, "10.0.0.0/8".parse().unwrap(), Some(64496.into()));
    rib.update(SourceId::BUILTIN, "10.0.0.0/9".parse().unwrap(), Some(1.into()));
    rib.update(SourceId::OVERRIDE, "10.0.0.0/9".parse().unwrap(), Some(several));
    rib.update(SourceId::BUILTIN, "0.0.0.0/0".parse().unwrap(), Some(u32::MAX.into()));
    rib.update(SourceId::BUILTIN, "192.0.2.1/32".parse().unwrap(), Some(0.into()));
    rib.update(SourceId::BUILTIN, "2001:db8::/32".parse().unwrap(), Some(64496.into()));
    rib.update(SourceId::BUILTIN, "2001:db8::1/128".parse().unwrap(), Some(64500.into()));
    let mut names = Names::default();
    names.insert(64496, "With, comma and \"quotes\"");
    let wanted = expected(&[
        ("0.0.0.0/0", &[u32::MAX]),
        ("10.0.0.0/8", &[64496]),
        ("10.0.0.0/9", &[64499, 64497, 64498]),
        ("192.0.2.1/32", &[0]),
        ("2001:db8::/32", &[64496]),
        ("2001:db8::1/128", &[64500]),
    ]);
    for (format, kind) in
        export::ExportFormat::ALL.into_iter().zip([Format::PrefixCsv, Format::Pfx2as, Format::Mrt])
    {
        let mut bytes = Vec::new();
        export::write(&rib, &names, format, "2026-06-17T00:00:00Z".parse().unwrap(), &mut bytes).unwrap();
        let table = table(&bytes);
        assert_eq!((table.kind, routes(&table)), (kind, wanted.clone()));
        if format == export::ExportFormat::Csv {
            assert_eq!(table.names.get(64496), names.get(64496));
        }
        if format == export::ExportFormat::Mrt {
            assert_eq!(table.date.unwrap().to_string(), "2026-06-17T00:00:00Z");
        }
        assert_eq!(format.name().parse(), Ok(format));
    }
    assert_eq!("xml".parse::<export::ExportFormat>(), Err(export::UnknownFormat("xml".into())));
}

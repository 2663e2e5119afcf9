//! The embedded object, looked at without any privilege: its programs, its maps, and that nothing in its source ends
//! otherwise than by passing the frame on.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use classifier_common::abi::{globals, maps, programs};
use classifier_user::datapath::kernel::OBJECT;
use object::{
    Architecture, BinaryFormat, Endianness, Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind,
};

/// Names of the symbols in a section, by what they are.
fn symbols(file: &object::File<'_>, section: &str, kind: SymbolKind) -> BTreeSet<String> {
    let index = file.section_by_name(section).unwrap_or_else(|| panic!("a section {section}")).index();
    file.symbols()
        .filter(|symbol| symbol.section_index() == Some(index) && symbol.kind() == kind)
        .map(|symbol| symbol.name().expect("a name").to_owned())
        .collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn it_holds_the_programs_the_maps_and_the_licence() {
    let file = object::File::parse(OBJECT).expect("an object");
    assert_eq!(file.format(), BinaryFormat::Elf);
    assert_eq!(file.architecture(), Architecture::Bpf);
    assert_eq!(
        file.endianness(),
        if cfg!(target_endian = "big") { Endianness::Big } else { Endianness::Little }
    );

    // All sections with instructions, so that no other program is in it.
    let mut found = BTreeMap::new();
    for section in file.sections() {
        if section.kind() == object::SectionKind::Text && section.size() > 0 {
            let name = section.name().expect("a name").to_owned();
            let functions = symbols(&file, &name, SymbolKind::Text);
            found.insert(name, functions);
        }
    }
    found.remove(".text");
    let expected = BTreeMap::from([
        ("xdp.frags".to_owned(), set(&[programs::XDP_RX])),
        ("classifier".to_owned(), set(&[programs::TC_RX, programs::TC_TX])),
    ]);
    assert_eq!(found, expected);

    let expected = set(&[
        maps::FIB4_ROOT,
        maps::FIB4_ROWS,
        maps::FIB6_ROOT,
        maps::FIB6_OTHER,
        maps::FIB6_ROWS,
        maps::FIB6_NODES,
        maps::PORTS,
        maps::VLANS,
        maps::HOOKS,
        maps::BANKS,
        maps::GRACE,
        maps::FILLER,
    ]);
    assert_eq!(symbols(&file, ".maps", SymbolKind::Data), expected);

    let constants = symbols(&file, ".rodata", SymbolKind::Data);
    for name in [globals::SLICES, globals::SIDES] {
        assert!(constants.contains(name), "no constant {name} in {constants:?}");
    }
    // Programs that write to a section of their own would need a map for it.
    for name in [".bss", ".data"] {
        let size = file.section_by_name(name).map_or(0, |section| section.size());
        assert_eq!(size, 0, "{name}: state is in maps only");
    }

    let licence = file.section_by_name("license").expect("a licence").data().expect("its text");
    assert_eq!(licence, b"Dual MIT/GPL\0");
}

fn sources(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("the kernel half's source") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, into);
        } else {
            into.push(path);
        }
    }
}

/// Words of a source: identifiers, as far as they are of ASCII.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

#[test]
fn its_source_knows_no_verdict_but_to_pass_on() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../classifier-ebpf/src"), &mut files);
    assert!(files.len() >= 5, "{files:?}");
    let mut seen = BTreeSet::new();
    for path in files {
        let text = fs::read_to_string(&path).expect("a source");
        // Its programs are of tests and benchmarks, and end their frames.
        let harness = path.file_name().is_some_and(|name| name == "harness.rs");
        for word in words(&text) {
            let verdict = ["XDP_", "TC_ACT_", "TCX_"].iter().any(|prefix| word.starts_with(prefix));
            if verdict && !harness {
                assert!(matches!(word, "XDP_PASS" | "TCX_NEXT"), "{}: {word}", path.display());
                seen.insert(word.to_owned());
            }
            // What sends, drops or changes a frame's bytes; the harness puts a tag into metadata.
            let acts = [
                "redirect",
                "clone_redirect",
                "store_bytes",
                "change_head",
                "change_tail",
                "adjust",
                "vlan_push",
            ]
            .iter()
            .any(|helper| word.starts_with("bpf_") && word.contains(helper));
            assert!(!acts || harness, "{}: {word}", path.display());
        }
    }
    assert_eq!(seen, set(&["XDP_PASS", "TCX_NEXT"]));
}

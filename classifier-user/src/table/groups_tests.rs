use super::*;
use crate::ingest;

fn read(text: &str) -> Result<Groups, GroupsError> {
    Groups::default().with_text(Path::new("g.toml"), text)
}

fn error(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

const TWO: &str = r#"
[[group]]
key = "one"
name = "The one"
kind = "content"
asns = [1, 2]

[[group]]
key = "other"
name = "Other"
kind = "telecom"
match = ["x"]
asns = [
    3,
    4,
]
"#;

#[test]
fn groups_are_found_by_as_key_and_name() {
    let groups = read(TWO).unwrap();
    assert_eq!(groups.all().len(), 2);
    assert_eq!(groups.of(4).map(|place| groups.all()[place].key.as_str()), Some("other"));
    assert_eq!(groups.of(5), None);
    assert_eq!(groups.find("THE ONE").unwrap().asns, [1, 2]);
    assert_eq!(groups.find("Other").unwrap().kind, "telecom");
    assert_eq!(groups.nearest("othr").unwrap().key, "other");
    assert_eq!(groups.nearest("zzz"), None);
    assert_eq!(read("").unwrap().all(), []);
}

#[test]
fn the_same_key_replaces_and_others_are_added() {
    let text = "[[group]]\nkey = \"one\"\nname = \"New\"\nkind = \"cdn\"\nasns = [9]\n\
                [[group]]\nkey = \"third\"\nname = \"Third\"\nkind = \"cdn\"\nasns = [1]\n";
    let groups = read(TWO).unwrap().with_text(Path::new("mine.toml"), text).unwrap();
    let keys: Vec<_> = groups.all().iter().map(|group| (group.key.as_str(), group.asns.clone())).collect();
    assert_eq!(keys, [("other", vec![3, 4]), ("one", vec![9]), ("third", vec![1])]);
    assert_eq!(groups.of(2), None);
}

#[test]
fn an_as_in_two_groups() {
    let again = TWO.replace("    4,", "    2,");
    assert_eq!(
        error(&again),
        "g.toml:15: AS2 is in the group `other` here and in the group `one` at g.toml:6; an AS can be in one group \
         only: take it out of one of them (a group of the same key in your file replaces a built-in one)"
    );
    let mine = "[[group]]\nkey = \"mine\"\nname = \"Mine\"\nkind = \"x\"\nasns = [2906]\n";
    let error = Groups::builtin().unwrap().with_text(Path::new("mine.toml"), mine).unwrap_err().to_string();
    assert!(
        error.starts_with(
            "mine.toml:5: AS2906 is in the group `mine` here and in the group `netflix` at built-in"
        ),
        "{error}"
    );
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let group = |lines: &str| format!("[[group]]\nkey = \"a\"\nname = \"A\"\nkind = \"k\"\n{lines}\n");
    assert_eq!(error(&group("asn = [1]")), "g.toml:5: unknown key `asn`; did you mean `asns`?");
    assert_eq!(error(&group("asns = [1]\nzzz = 1")), "g.toml:6: unknown key `zzz`");
    assert_eq!(error("[[groups]]\nkey = \"a\""), "g.toml:1: unknown key `groups`; did you mean `group`?");
    assert_eq!(error(&group("")), "g.toml:1: this group has no `asns`");
    let asns = "`asns` must be an array of AS numbers (1 to 4294967295)";
    for bad in ["[]", "1", "[0]", "[4294967296]", "[-1]", "[\"AS1\"]", "[1.5]"] {
        assert_eq!(error(&group(&format!("asns = {bad}"))), format!("g.toml:5: {asns}"), "{bad}");
    }
    assert_eq!(
        error("\n[[group]]\nkey = \"A b\"\nname = \"A\"\nkind = \"k\"\nasns = [1]"),
        "g.toml:3: `key` must be of lower case letters, digits, `-` and `_`"
    );
    assert_eq!(
        error("[[group]]\nkey = 1\nname = \"A\"\nkind = \"k\"\nasns = [1]"),
        "g.toml:2: `key` must be a text that is not empty"
    );
    assert_eq!(error("group = 1"), "g.toml:1: `group` must be an array of tables: `[[group]]`");
    let twice = format!("{}{}", group("asns = [1]"), group("asns = [2]"));
    assert_eq!(error(&twice), "g.toml:6: there is a group `a` already, at g.toml:1");
    assert!(error("[[group]]\nkey = ").starts_with("g.toml:2: "), "{}", error("[[group]]\nkey = "));
    let missing = Groups::default().with_file(Path::new("/nonexistent/g.toml")).unwrap_err().to_string();
    assert!(missing.starts_with("cannot read the groups /nonexistent/g.toml: "), "{missing}");
}

#[test]
fn the_built_in_groups_are_who_they_are_said_to_be() {
    let groups = Groups::builtin().unwrap();
    assert!(groups.all().len() >= 45, "{}", groups.all().len());
    let table = ingest::builtin::load().unwrap();
    for written in &groups.written {
        assert!(!written.matches.is_empty(), "{}: without `match`", written.group.key);
        for &asn in &written.group.asns {
            let name = table.names.get(asn).unwrap_or_else(|| panic!("AS{asn} has no name")).to_lowercase();
            assert!(
                written.matches.iter().any(|part| name.contains(part)),
                "{}: AS{asn} is called {name}",
                written.group.key
            );
        }
    }
    for (key, asn) in
        [("netflix", 40027), ("google", 15169), ("orange", 3215), ("free", 12322), ("sfr", 15557)]
    {
        assert_eq!(groups.of(asn), groups.all().iter().position(|group| group.key == key), "{key}");
    }
}

//! Each promise of SECURITY.md names its tests. A promise whose test was renamed or removed is only a wish.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_promise_of_security_md_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let tests = functions(&[root.join("src"), root.join("tests")]);
    let (mut promises, mut missing) = (0, Vec::new());
    for row in page
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains("`src/"))
    {
        promises += 1;
        let column = row.rsplit(" | ").next().unwrap();
        let named: Vec<&str> = column.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "no test is named: {row}");
        missing.extend(named.into_iter().filter(|name| !tests.contains(*name)));
        for place in row
            .split(" | ")
            .nth(1)
            .unwrap()
            .split('`')
            .skip(1)
            .step_by(2)
        {
            assert!(root.join(place).exists(), "{place} does not exist");
        }
    }
    assert!(promises > 20, "the table could not be read");
    assert_eq!(missing, Vec::<&str>::new());
}

fn functions(places: &[PathBuf]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for place in places {
        for entry in fs::read_dir(place).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                names.extend(functions(&[path]));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(path).unwrap();
                let declared = text
                    .lines()
                    .filter_map(|line| line.trim().split("fn ").nth(1));
                names.extend(
                    declared
                        .filter_map(|rest| rest.split('(').next())
                        .map(ToOwned::to_owned),
                );
            }
        }
    }
    names
}

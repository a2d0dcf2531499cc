//! What crates may use: rows, purity, and the picture of it all.
//!
//! A crate uses crates on higher rows only, never its neighbours. Crates above the I/O line have no async runtime, HTTP
//! or engine client anywhere below them.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::Path,
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::cargo;

/// The rows of the house; the smaller the number, the higher the row.
const ROWS: [(&str, u8); 12] = [
    ("hemline-query", 0),
    ("hemline-model", 1),
    ("hemline-plan", 2),
    ("hemline-crd", 2),
    ("hemline-protocol", 2),
    ("hemline-hub-core", 3),
    ("hemline-sources", 4),
    ("hemline-hub", 4),
    ("hemline-agent", 4),
    ("hemline-reconcile", 5),
    ("hemline-api", 6),
    ("hemline-cli", 7),
];
/// Rows above this one are pure.
const FIRST_IMPURE_ROW: u8 = 4;
/// Development only: no production crate uses them, and they use no production crate, only each other, except for [`LAWS`].
const ASIDE: [&str; 3] = ["hemline-testkit", "hemline-fuzz", "xtask"];
/// States laws about pure crates and about the borders of the hub, so it uses those.
const LAWS: &str = "hemline-fuzz";
/// The one impure crate that has such borders.
const BORDERS: &str = "hemline-hub";
/// What no pure crate may have below it, however deep.
const IMPURE: [&str; 14] = [
    "tokio",
    "async-std",
    "smol",
    "async-io",
    "mio",
    "hyper",
    "reqwest",
    "ureq",
    "kube-client",
    "git2",
    "bollard",
    "rumqttd",
    "rumqttc",
    "rusqlite",
];
/// Third-party crates in the lock file; raised only on purpose. A third of them are the ciphers and curves below russh and
/// pgp, for Git over SSH and signed commits; the C libraries in their place would be no less code, and not in this list.
/// Forty came with age, which opens secrets: half of them are its translations, which cannot be left out, and ciphers are no
/// place to save crates by writing one's own.
const LOCKED_LIMIT: usize = 515;

/// The crates of the workspace and everything they use.
pub(crate) struct Graph {
    /// Package id → name.
    names: BTreeMap<String, String>,
    /// Members of the workspace: name → id.
    members: BTreeMap<String, String>,
    /// Package id → what it uses when built for real (normal and build dependencies).
    uses: BTreeMap<String, BTreeSet<String>>,
    /// Package id → what only its tests use.
    tests_use: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    /// Asks cargo.
    ///
    /// # Errors
    /// When `cargo metadata` fails or says something unexpected.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let output = cargo()
            .current_dir(root)
            .args(["metadata", "--format-version", "1", "--filter-platform", host()?.as_str()])
            .output()
            .context("cargo metadata could not be started")?;
        if !output.status.success() {
            bail!("cargo metadata failed:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata is not JSON")?;
        Self::from_metadata(&metadata).context("cargo metadata lacks a field")
    }

    fn from_metadata(metadata: &Value) -> Option<Self> {
        let mut names = BTreeMap::new();
        for package in metadata["packages"].as_array()? {
            names.insert(package["id"].as_str()?.to_owned(), package["name"].as_str()?.to_owned());
        }
        let mut members = BTreeMap::new();
        for member in metadata["workspace_members"].as_array()? {
            let id = member.as_str()?;
            members.insert(names.get(id)?.clone(), id.to_owned());
        }
        let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut tests_use: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in metadata["resolve"]["nodes"].as_array()? {
            let id = node["id"].as_str()?;
            for dependency in node["deps"].as_array()? {
                let used = dependency["pkg"].as_str()?.to_owned();
                let kinds = dependency["dep_kinds"].as_array()?;
                let table =
                    if kinds.iter().all(|kind| kind["kind"] == "dev") { &mut tests_use } else { &mut uses };
                table.entry(id.to_owned()).or_default().insert(used);
            }
        }
        Some(Self { names, members, uses, tests_use })
    }

    /// One line for each break of a rule.
    pub(crate) fn broken_rules(&self) -> Vec<String> {
        let mut broken = Vec::new();
        for (name, id) in &self.members {
            let row = row(name);
            if row.is_none() && !ASIDE.contains(&name.as_str()) {
                broken.push(format!("{name} has no row; give it one in {}", file!()));
            }
            for used in self.direct(&self.uses, id) {
                self.check_edge(name, row, used, &mut broken);
            }
            for used in self.direct(&self.tests_use, id).filter(|used| !ASIDE.contains(used)) {
                self.check_edge(name, row, used, &mut broken);
            }
            if row.is_some_and(|row| row < FIRST_IMPURE_ROW) {
                for impure in IMPURE {
                    if let Some(path) = self.path(id, impure) {
                        broken.push(format!("{name} is above the I/O line but uses {}", path.join(" → ")));
                    }
                }
            }
        }
        let third_party = self.names.len() - self.members.len();
        if third_party > LOCKED_LIMIT {
            broken.push(format!(
                "{third_party} third-party crates are in use, more than {LOCKED_LIMIT}; raise the limit on purpose"
            ));
        }
        broken
    }

    fn check_edge(&self, name: &str, own: Option<u8>, used: &str, broken: &mut Vec<String>) {
        if !self.members.contains_key(used) || (ASIDE.contains(&name) && ASIDE.contains(&used)) {
            return;
        }
        match (own, row(used)) {
            (Some(own), Some(other)) if other < own => {}
            (None, Some(other)) if name == LAWS && (other < FIRST_IMPURE_ROW || used == BORDERS) => {}
            (Some(own), Some(other)) => broken.push(format!(
                "{name} (row {own}) uses {used} (row {other}); a crate uses higher rows only, never sideways"
            )),
            _ => broken.push(format!("{name} uses {used}, which stands aside or has no row")),
        }
    }

    fn direct<'a>(
        &'a self,
        table: &'a BTreeMap<String, BTreeSet<String>>,
        id: &str,
    ) -> impl Iterator<Item = &'a str> {
        table.get(id).into_iter().flatten().filter_map(|used| self.names.get(used)).map(String::as_str)
    }

    /// The shortest way from a crate to a crate of that name, by names, if there is one.
    fn path(&self, from: &str, to: &str) -> Option<Vec<String>> {
        let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
        let mut queue = VecDeque::from([from]);
        while let Some(id) = queue.pop_front() {
            if id != from && self.names.get(id).is_some_and(|name| name == to) {
                let mut way = vec![to.to_owned()];
                let mut at = id;
                while let Some(previous) = came_from.get(at).filter(|previous| **previous != from) {
                    way.extend(self.names.get(*previous).cloned());
                    at = previous;
                }
                way.reverse();
                return Some(way);
            }
            for used in self.uses.get(id).into_iter().flatten() {
                if used != from && !came_from.contains_key(used.as_str()) {
                    came_from.insert(used, id);
                    queue.push_back(used);
                }
            }
        }
        None
    }

    /// The graph as text: rows, then crates with what they use of ours and of others.
    pub(crate) fn picture(&self) -> String {
        let mut text = String::from(
            "Which crate uses what. Written by `cargo xtask tidy`; a test fails when it is stale.\n\
             A crate uses crates of higher rows only, never sideways; rows 0 to 3 have no async runtime.\n",
        );
        let mut rows: Vec<(Option<u8>, &str, &str)> =
            self.members.iter().map(|(name, id)| (row(name), name.as_str(), id.as_str())).collect();
        rows.sort_by_key(|(row, name, _)| (row.unwrap_or(u8::MAX), *name));
        for (row, name, id) in rows {
            let place = row.map_or_else(|| "aside".to_owned(), |row| format!("row {row}"));
            let (ours, others): (Vec<&str>, Vec<&str>) =
                self.direct(&self.uses, id).partition(|used| self.members.contains_key(*used));
            let ours: Vec<&str> = ours.iter().map(|used| short(used)).collect();
            let list = |names: &[&str]| if names.is_empty() { "-".to_owned() } else { names.join(" ") };
            text += &format!(
                "\n{place}  {}\n  ours    {}\n  others  {}\n",
                short(name),
                list(&ours),
                list(&others)
            );
        }
        text
    }
}

fn row(name: &str) -> Option<u8> {
    ROWS.iter().find(|(known, _)| *known == name).map(|(_, row)| *row)
}

fn short(name: &str) -> &str {
    name.strip_prefix("hemline-").unwrap_or(name)
}

/// The triple of this machine, as the compiler calls it: without it cargo would report crates of other systems too.
fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = std::process::Command::new(rustc).arg("-vV").output().context("rustc -vV")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let host =
        said.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc -vV names no host")?;
    Ok(host.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Graph;

    fn graph(edges: &[(&str, &[&str])], members: &[&str]) -> Graph {
        let ids: std::collections::BTreeSet<&str> =
            edges.iter().flat_map(|(from, to)| std::iter::once(*from).chain(to.iter().copied())).collect();
        let packages: Vec<_> = ids.iter().map(|id| json!({"id": id, "name": id})).collect();
        let nodes: Vec<_> = edges
            .iter()
            .map(|(from, to)| {
                let uses: Vec<_> =
                    to.iter().map(|to| json!({"pkg": to, "dep_kinds": [{"kind": null}]})).collect();
                json!({"id": from, "deps": uses})
            })
            .collect();
        let metadata =
            json!({"packages": packages, "workspace_members": members, "resolve": {"nodes": nodes}});
        Graph::from_metadata(&metadata).expect("complete")
    }

    #[test]
    fn a_higher_row_is_fine_and_a_neighbour_is_not() {
        let members = ["hemline-query", "hemline-model", "hemline-plan", "hemline-crd"];
        let fine =
            graph(&[("hemline-plan", &["hemline-model", "hemline-query"]), ("hemline-crd", &[])], &members);
        assert_eq!(fine.broken_rules(), Vec::<String>::new());
        let sideways =
            graph(&[("hemline-plan", &["hemline-crd", "hemline-model", "hemline-query"])], &members);
        assert_eq!(
            sideways.broken_rules(),
            ["hemline-plan (row 2) uses hemline-crd (row 2); a crate uses higher rows only, never sideways"]
        );
    }

    #[test]
    fn a_runtime_deep_below_a_pure_crate_is_found() {
        let deep = graph(
            &[("hemline-model", &["handy"]), ("handy", &["deeper"]), ("deeper", &["tokio"])],
            &["hemline-model"],
        );
        assert_eq!(
            deep.broken_rules(),
            ["hemline-model is above the I/O line but uses handy → deeper → tokio"]
        );
    }

    #[test]
    fn nobody_uses_what_stands_aside_and_every_crate_has_a_row() {
        let aside = graph(
            &[("hemline-hub", &["hemline-testkit"]), ("hemline-new", &[])],
            &["hemline-hub", "hemline-testkit", "hemline-new"],
        );
        let broken = aside.broken_rules();
        assert_eq!(broken.len(), 2, "{broken:?}");
        assert!(broken[0].contains("hemline-hub uses hemline-testkit"), "{broken:?}");
        assert!(broken[1].contains("hemline-new has no row"), "{broken:?}");
    }
}

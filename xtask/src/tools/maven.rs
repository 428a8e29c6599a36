//! Owns programs that come as artifacts of Maven's repositories: exactly those that a list names, each with its hash.
//! Knows nothing of what the artifacts are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::cache::Cache;
use super::debian;
use crate::failure::{During, Failure, Outcome};
use crate::process;

const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies";

/// What a list brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jars {
    pub folder: PathBuf,
    /// The version of the first artifact: what the list is for.
    pub version: String,
}

/// One line of a list: `group:artifact:version \`, or `…:version@type \` if it is no jar, and then its hash.
#[derive(Debug, PartialEq, Eq)]
struct Artifact<'a> {
    group: &'a str,
    name: &'a str,
    version: &'a str,
    kind: &'a str,
    sha256: &'a str,
}

/// The artifacts that the file `list` names, in one folder.
pub fn jars(cache: &Cache, name: &str, list: &Path) -> Outcome<Jars> {
    let text = fs::read_to_string(list).during(list.display())?;
    let artifacts = parse(&text).during(list.display())?;
    let first = artifacts.first().ok_or_else(|| Failure::new(format!("{name}: an empty list")))?;
    let version = first.version.to_owned();
    let fill = |folder: &Path| {
        eprintln!("fetching {name} ({} {version} and what it needs)", first.name);
        fill(cache, folder, &artifacts)
    };
    let folder = cache.slot(name, &text, fill)?;
    Ok(Jars { folder, version })
}

/// Sees to it that there is a Java to run them.
pub fn ensure_java() -> Outcome {
    debian::ensure("java", "-version", "default-jre-headless")
}

fn fill(cache: &Cache, folder: &Path, artifacts: &[Artifact<'_>]) -> Outcome {
    debian::ensure("mvn", "--version", "maven")?;
    let project = folder.join("pom.xml");
    fs::write(&project, pom(artifacts)).during(project.display())?;
    // Maven's own repository is one for all, and it does not lock it.
    let turn = cache.turn("maven")?;
    let mut maven = Command::new("mvn");
    maven.current_dir(folder).args(["--batch-mode", "--quiet", COPY]);
    process::capture(maven.arg(format!("-DoutputDirectory={}", folder.display())))?;
    drop(turn);
    let sums: String = artifacts.iter().map(Artifact::sum).collect();
    fs::write(folder.join("sums"), sums).during(folder.display())?;
    let mut check = Command::new("sha256sum");
    check.current_dir(folder).args(["--check", "--quiet", "--strict", "sums"]);
    process::capture(&mut check).map(drop)
}

/// A project that depends on these artifacts and on nothing that they depend on: the list is complete.
fn pom(artifacts: &[Artifact<'_>]) -> String {
    let dependencies: String = artifacts.iter().map(Artifact::dependency).collect();
    format!(
        "<project><modelVersion>4.0.0</modelVersion><groupId>cache</groupId>\
         <artifactId>cache</artifactId><version>1</version><packaging>pom</packaging>\n\
         <dependencies>\n{dependencies}</dependencies></project>\n"
    )
}

impl Artifact<'_> {
    fn dependency(&self) -> String {
        let Self { group, name, version, kind, .. } = self;
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId>\
             <version>{version}</version><type>{kind}</type><exclusions><exclusion>\
             <groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions></dependency>\n"
        )
    }

    /// As `sha256sum --check` reads it.
    fn sum(&self) -> String {
        format!("{}  {}-{}.{}\n", self.sha256, self.name, self.version, self.kind)
    }
}

fn parse(list: &str) -> Result<Vec<Artifact<'_>>, String> {
    let mut lines = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut artifacts = Vec::new();
    while let Some(line) = lines.next() {
        let hash = lines.next().and_then(|hash| hash.trim().strip_prefix("--hash=sha256:"));
        let artifact = hash.and_then(|hash| artifact(line.trim_end_matches(['\\', ' ']), hash));
        artifacts.push(artifact.ok_or_else(|| format!("{line} is no artifact with a hash"))?);
    }
    Ok(artifacts)
}

fn artifact<'a>(coordinates: &'a str, sha256: &'a str) -> Option<Artifact<'a>> {
    let (coordinates, kind) = coordinates.split_once('@').unwrap_or((coordinates, "jar"));
    let (group, rest) = coordinates.split_once(':')?;
    let (name, version) = rest.split_once(':')?;
    Some(Artifact { group, name, version, kind, sha256 })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str =
        "# Two.\na.b:c_2:1.0 \\\n    --hash=sha256:00\nd:e:2@so \\\n    --hash=sha256:11\n";

    #[test]
    fn a_list_names_artifacts_and_their_hashes() {
        let artifacts = parse(LIST).unwrap();
        assert_eq!(artifacts[0].sum(), "00  c_2-1.0.jar\n");
        assert_eq!(artifacts[1].sum(), "11  e-2.so\n");
        assert!(pom(&artifacts).contains("<version>2</version><type>so</type>"));
    }

    #[test]
    fn an_artifact_without_a_hash_is_refused() {
        assert!(parse("a:b:1\n").is_err());
        assert!(parse("a:b:1 \\\nc:d:2 \\\n    --hash=sha256:11\n").is_err());
    }
}

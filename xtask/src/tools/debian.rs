//! Owns tools that come as Debian packages. They are downloaded and unpacked into the cache, so that
//! nothing is started, nothing on the system changes and no root is needed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use super::apt::Apt;
use super::cache::Cache;
use crate::failure::{During, Failure, Outcome};
use crate::process;

/// `program` out of `package`: from the cache, else from the search path, else fetched.
///
/// The version is the distribution's choice either way, so one that is installed already is as good.
pub fn program(cache: &Cache, package: &str, program: &str) -> Outcome<PathBuf> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let cached = cache.root().join(program).join("bin").join(program);
    if !cached.exists()
        && let Some(path) = on_search_path(program)
    {
        return Ok(path);
    }
    let fill = |folder: &Path| {
        eprintln!("fetching {program} (Debian package {package})");
        unpack(cache, folder, package, program)
    };
    match cache.slot(program, &format!("{package}\n{release}"), fill) {
        Ok(_) => Ok(cached),
        Err(error) => {
            install(package).map_err(|_| error)?;
            on_search_path(program)
                .ok_or_else(|| Failure::new(format!("{package} brought no {program}")))
        }
    }
}

/// The folder into which `package` is unpacked, with every package that it depends on, directly or not, whose name
/// starts with one of `also`. For a server: its own service file and its user are of no use in a folder.
pub fn files(cache: &Cache, name: &str, package: &str, also: &[&str]) -> Outcome<PathBuf> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let fill = |folder: &Path| {
        eprintln!("fetching {name} (Debian package {package})");
        let apt = Apt::new(cache)?;
        apt.fetch(folder, apt.closure(package, also)?)?;
        extract(folder, &folder.join("files"))
    };
    let stamp = format!("{package}\n{}\n{release}", also.join(" "));
    Ok(cache.slot(name, &stamp, fill)?.join("files"))
}

/// The search path for shared libraries that lie in `files`.
pub fn library_path(files: &Path) -> String {
    let roots = [files.join("usr/lib"), files.join("lib")];
    let entries = roots.iter().filter_map(|root| fs::read_dir(root).ok()).flatten().flatten();
    let folders = entries.map(|entry| entry.path().display().to_string());
    let folders: Vec<_> = folders.filter(|folder| folder.contains("-linux-gnu")).collect();
    folders.join(":")
}

/// Sees to it that `program` runs, from `package` if it is not there.
pub(super) fn ensure(program: &str, version_argument: &str, package: &str) -> Outcome {
    let runs = process::capture(Command::new(program).arg(version_argument)).map(drop);
    runs.or_else(|error| install(package).map_err(|why| Failure::new(format!("{error}; {why}"))))
}

/// Held while something is installed: apt itself refuses where it could wait.
static INSTALLING: Mutex<()> = Mutex::new(());

/// Installs `package` on the system; only root can.
pub(super) fn install(package: &str) -> Outcome {
    let root = process::capture(Command::new("id").arg("-u"))?.trim() == "0";
    if !root {
        return Err(Failure::new(format!("as root: apt-get install {package}")));
    }
    let _turn = INSTALLING.lock();
    eprintln!("installing the Debian package {package}");
    // An index that is there and slightly old may do, so a failed update is not the end.
    let _ = process::capture(Command::new("apt-get").args(["update", "--quiet"]));
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command.args(["install", "--yes", "--quiet", "--no-install-recommends", package]);
    process::capture(&mut command).map(drop)
}

/// Unpacks `package` and the shared libraries it names, and writes a starter that finds them.
fn unpack(cache: &Cache, folder: &Path, package: &str, program: &str) -> Outcome {
    let apt = Apt::new(cache)?;
    let files = folder.join("files");
    apt.fetch(folder, [package])?;
    extract(folder, &files)?;
    if process::capture(Command::new(files.join("usr/bin").join(program)).arg("--version")).is_err()
    {
        apt.fetch(folder, apt.closure(package, &["lib"])?)?;
        extract(folder, &files)?;
    }
    let starter = folder.join("bin").join(program);
    fs::create_dir_all(folder.join("bin")).during(folder.display())?;
    fs::write(&starter, starter_text(program)).during(starter.display())?;
    fs::set_permissions(&starter, fs::Permissions::from_mode(0o755)).during(starter.display())
}

fn starter_text(program: &str) -> String {
    format!(
        "#!/bin/sh\n\
         files=$(dirname \"$(readlink -f \"$0\")\")/../files\n\
         for lib in \"$files\"/usr/lib/*-linux-gnu* \"$files\"/lib/*-linux-gnu*; do\n\
         \x20   LD_LIBRARY_PATH=$lib${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}\n\
         done\n\
         export LD_LIBRARY_PATH\n\
         exec \"$files/usr/bin/{program}\" \"$@\"\n"
    )
}

/// Unpacks every package file in `folder` into `files`, and drops the package files.
fn extract(folder: &Path, files: &Path) -> Outcome {
    for entry in fs::read_dir(folder).during(folder.display())? {
        let package = entry.during(folder.display())?.path();
        if package.extension().is_some_and(|extension| extension == "deb") {
            process::capture(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(files))?;
            fs::remove_file(&package).during(package.display())?;
        }
    }
    Ok(())
}

fn on_search_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_starter_is_a_shell_script_for_the_program() {
        let text = starter_text("h2load");
        assert!(text.starts_with("#!/bin/sh\n") && text.contains("usr/bin/h2load\" \"$@\""));
    }
}

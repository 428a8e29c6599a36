//! Owns tools that come as Debian packages. They are downloaded and unpacked into the cache, so that
//! nothing is started, nothing on the system changes and no root is needed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

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

/// Installs `package` on the system; only root can.
pub(super) fn install(package: &str) -> Outcome {
    let root = process::capture(Command::new("id").arg("-u"))?.trim() == "0";
    if !root {
        return Err(Failure::new(format!("as root: apt-get install {package}")));
    }
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
    let apt = Apt { state: cache.root().join("apt") };
    let files = folder.join("files");
    apt.fetch(folder, package)?;
    extract(folder, &files)?;
    if process::capture(Command::new(files.join("usr/bin").join(program)).arg("--version")).is_err()
    {
        let control = apt.depends(package)?;
        for library in libraries(&control) {
            apt.fetch(folder, &library)?;
        }
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

/// Names of the libraries in the output of `apt-cache depends`. The C library must be the system's own:
/// it belongs to the loader that starts the program.
fn libraries(depends: &str) -> Vec<String> {
    let names = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    let wanted = |name: &&str| name.starts_with("lib") && !name.starts_with("libc6");
    names.filter(wanted).map(str::to_owned).collect()
}

/// apt with an index of its own: the system's may be missing, and only root may fetch that.
struct Apt {
    state: PathBuf,
}

impl Apt {
    fn fetch(&self, folder: &Path, package: &str) -> Outcome {
        let download = || {
            let mut command = self.command("apt-get");
            process::capture(command.current_dir(folder).args(["download", package]))
        };
        if download().is_ok() {
            return Ok(());
        }
        process::capture(self.command("apt-get").arg("update"))?;
        download().map(drop)
    }

    fn depends(&self, package: &str) -> Outcome<String> {
        process::capture(self.command("apt-cache").args(["depends", package]))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let lists = self.state.join("lists");
        let cache = self.state.join("cache");
        // If these cannot be made, apt says so itself and better.
        let _ = fs::create_dir_all(lists.join("partial"));
        let _ = fs::create_dir_all(cache.join("archives/partial"));
        command.args(["--quiet", "--option", "APT::Sandbox::User=root", "--option"]);
        command.arg(format!("Dir::State::Lists={}", lists.display())).arg("--option");
        command.arg(format!("Dir::Cache={}", cache.display()));
        command
    }
}

fn on_search_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_taken_and_the_c_library_is_not() {
        let depends = "nghttp2-client\n  Depends: libnghttp2-14\n  Depends: libc6\n  \
                       Depends: libssl3t64\n  Depends: adduser\n  Breaks: nghttp2\n";
        assert_eq!(libraries(depends), ["libnghttp2-14", "libssl3t64"]);
    }

    #[test]
    fn the_starter_is_a_shell_script_for_the_program() {
        let text = starter_text("h2load");
        assert!(text.starts_with("#!/bin/sh\n") && text.contains("usr/bin/h2load\" \"$@\""));
    }
}

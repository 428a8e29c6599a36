//! Whom a TLS connection trusts: the certificate authorities that a mapping names in `ca_file`. It knows the file, and not the
//! protocols that are spoken over it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::SourceError;

/// Largest file of authorities that is read, in bytes: all public ones together have a quarter of it.
const CA_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// With what a certificate begins in a PEM file.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

/// The file of a mapping, if it names one.
#[derive(Clone, Debug)]
pub(crate) struct CaFile(Option<PathBuf>);

impl CaFile {
    /// # Errors
    /// When authorities are named for a connection without TLS; `needs` says what would have it.
    pub(crate) fn new(named: &str, tls: bool, needs: &str) -> Result<Self, SourceError> {
        if named.is_empty() {
            return Ok(Self(None));
        }
        if !tls {
            return Err(SourceError::configuration(format!("ca_file is set without {needs}")));
        }
        Ok(Self(Some(PathBuf::from(named))))
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        self.0.as_deref()
    }

    /// What is in it. Read anew for each connection: authorities may be changed without a new mapping. It blocks for as long as the disk
    /// takes.
    ///
    /// # Errors
    /// When it is not a file with certificates.
    pub(crate) fn pem(&self) -> Result<Option<String>, SourceError> {
        let Some(path) = &self.0 else { return Ok(None) };
        let wrong = |why: &str| {
            SourceError::configuration(format!(
                "ca_file {} {why}; expected a PEM file with certificates on the poller's machine",
                path.display()
            ))
        };
        let pem = read(path).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
        if !pem.contains(CERTIFICATE) {
            return Err(wrong("holds no certificate"));
        }
        Ok(Some(pem))
    }
}

fn read(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    // A pipe would be waited for.
    let attributes = file.metadata()?;
    if !attributes.is_file() || attributes.len() > CA_FILE_BYTES_MAX {
        let says = format!("it is no file of at most {CA_FILE_BYTES_MAX} bytes");
        return Err(io::Error::other(says));
    }
    let mut pem = String::new();
    file.take(CA_FILE_BYTES_MAX).read_to_string(&mut pem)?;
    Ok(pem)
}

/// What to do about a server whose certificate nobody vouches for, after what the TLS library says.
pub(crate) fn advised(says: String) -> String {
    let unknown = ["UnknownIssuer", "certificate verify failed"];
    if unknown.iter().any(|text| says.contains(text)) {
        return format!("{says}; if its authority is not a public one, name it in ca_file");
    }
    says
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Problem;

    #[test]
    fn a_file_that_holds_no_authority_is_named_with_what_was_expected() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("key.pem"), "-----BEGIN PRIVATE KEY-----").unwrap();
        std::fs::write(at("large.pem"), vec![b'x'; 1024 * 1024 + 1]).unwrap();
        std::fs::write(at("ca.der"), [0x30, 0x82, 0xff]).unwrap();
        for (name, why) in [
            ("gone.pem", "cannot be read: No such file"),
            ("", "it is no file of at most 1048576 bytes"),
            ("large.pem", "it is no file of at most 1048576 bytes"),
            ("ca.der", "cannot be read: stream did not contain valid UTF-8"),
            ("key.pem", "holds no certificate"),
        ] {
            let named = at(name).display().to_string();
            let error = CaFile::new(&named, true, "").unwrap().pem().unwrap_err();
            assert_eq!(error.problem, Problem::Configuration);
            let says = error.to_string();
            assert!(says.contains(why) && says.contains(&named), "{name}: {says}");
            assert!(says.contains("on the poller's machine"), "{says}");
        }
    }

    #[test]
    fn a_file_is_read_anew_and_none_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let file = CaFile::new(&path.display().to_string(), true, "").unwrap();
        for text in ["a", "b"] {
            std::fs::write(&path, format!("{CERTIFICATE}{text}")).unwrap();
            assert_eq!(file.pem().unwrap(), Some(format!("{CERTIFICATE}{text}")));
        }
        assert_eq!(CaFile::new("", false, "TLS").unwrap().pem().unwrap(), None);
        let error = CaFile::new("ca.pem", false, "an url of rediss://").unwrap_err();
        assert!(error.to_string().contains("ca_file is set without an url of rediss://"));
    }
}

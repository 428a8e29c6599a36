//! Whom a TLS connection trusts: the certificate authorities that a mapping names in `ca_file`. It knows the file, and not the
//! protocols that are spoken over it.

use std::io;
use std::path::{Path, PathBuf};

use tokio::task::spawn_blocking;

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

    #[cfg(any(feature = "kafka", feature = "nats"))]
    pub(crate) fn path(&self) -> Option<&Path> {
        self.0.as_deref()
    }

    /// What is in it. Read anew for each connection: authorities may be changed without a new mapping.
    ///
    /// # Errors
    /// When it is not a file with certificates.
    pub(crate) async fn pem(&self) -> Result<Option<String>, SourceError> {
        let Some(path) = self.0.clone() else { return Ok(None) };
        // A disk may take its time.
        let read = spawn_blocking(move || read(&path)).await;
        let read = read.unwrap_or_else(|_| Err(io::Error::other("the reading thread ended")));
        let pem = read.map_err(|error| self.wrong(&format!("cannot be read: {error}")))?;
        if !pem.contains(CERTIFICATE) {
            return Err(self.wrong("holds no certificate"));
        }
        Ok(Some(pem))
    }

    /// What is wrong with the file, or with its lack.
    pub(crate) fn wrong(&self, why: &str) -> SourceError {
        let Some(path) = &self.0 else {
            return SourceError::configuration(format!(
                "the system's store of certificate authorities {why}: install them on the poller's machine, or name a ca_file"
            ));
        };
        SourceError::configuration(format!(
            "ca_file {} {why}; expected a PEM file with certificates on the poller's machine",
            path.display()
        ))
    }
}

fn read(path: &Path) -> io::Result<String> {
    // Looked at before it is opened: a pipe would be waited for.
    let attributes = std::fs::metadata(path)?;
    if !attributes.is_file() || attributes.len() > CA_FILE_BYTES_MAX {
        let says = format!("it is no file of at most {CA_FILE_BYTES_MAX} bytes");
        return Err(io::Error::other(says));
    }
    // Between certificates there may be remarks in whatever encoding.
    Ok(String::from_utf8_lossy(&std::fs::read(path)?).into_owned())
}

/// What to do about a server whose certificate nobody vouches for, after what the TLS library says.
pub(crate) fn advised(says: String) -> String {
    let has = |texts: &[&str]| texts.iter().any(|text| says.contains(text));
    if has(&["UnknownIssuer", "certificate verify failed"]) {
        return format!("{says}; if its authority is not a public one, name it in ca_file");
    }
    if has(&["CaUsedAsEndEntity"]) {
        return format!(
            "{says}; the server shows the certificate of an authority as its own: give it one that is none (CA:FALSE)"
        );
    }
    says
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Problem;

    #[tokio::test]
    async fn a_file_that_holds_no_authority_is_named_with_what_was_expected() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("key.pem"), "-----BEGIN PRIVATE KEY-----").unwrap();
        std::fs::write(at("large.pem"), vec![b'x'; 1024 * 1024 + 1]).unwrap();
        std::fs::write(at("ca.der"), [0x30, 0x82, 0xff]).unwrap();
        let made = std::process::Command::new("mkfifo").arg(at("pipe")).status();
        assert!(made.unwrap().success());
        for (name, why) in [
            ("gone.pem", "cannot be read: No such file"),
            ("", "it is no file of at most 1048576 bytes"),
            ("large.pem", "it is no file of at most 1048576 bytes"),
            ("pipe", "it is no file of at most 1048576 bytes"),
            ("ca.der", "holds no certificate"),
            ("key.pem", "holds no certificate"),
        ] {
            let named = at(name).display().to_string();
            let error = CaFile::new(&named, true, "").unwrap().pem().await.unwrap_err();
            assert_eq!(error.problem, Problem::Configuration);
            let says = error.to_string();
            assert!(says.contains(why) && says.contains(&named), "{name}: {says}");
            assert!(says.contains("on the poller's machine"), "{says}");
        }
    }

    #[tokio::test]
    async fn a_file_is_read_anew_and_none_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let file = CaFile::new(&path.display().to_string(), true, "").unwrap();
        for text in ["a", "b"] {
            let latin = [b"caf\xe9\n", CERTIFICATE.as_bytes(), text.as_bytes()].concat();
            std::fs::write(&path, latin).unwrap();
            let read = file.pem().await.unwrap().unwrap();
            assert!(read.ends_with(&format!("{CERTIFICATE}{text}")), "{read}");
        }
        assert_eq!(CaFile::new("", false, "TLS").unwrap().pem().await.unwrap(), None);
        let error = CaFile::new("ca.pem", false, "an url of rediss://").unwrap_err();
        assert!(error.to_string().contains("ca_file is set without an url of rediss://"));
    }
}

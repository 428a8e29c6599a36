//! Where a field stands, and how it is taken away and given back: a server that is killed and started again, a connection that is
//! cut where a server would forget everything, a file that is moved away. It does not know what is in the field.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use xtask::repo::Repo;
use xtask::servers::Server;

use super::field::{Field, Trouble, trouble};
use super::proxy::Proxy;
use super::{Kind, file};

/// How long a connection stays cut.
const CUT: Duration = Duration::from_millis(1_500);

/// A field and what it stands on; ends with it.
pub struct Ground {
    pub field: Arc<dyn Field>,
    outage: Outage,
}

/// What happens when the source goes away.
#[derive(Debug)]
pub enum Outage {
    /// The server is killed and started again, with what it had written.
    Restart(Server),
    /// All connections to the server break, and no new one is taken for a while.
    Cut(Server, Proxy),
    /// The file is moved away and a new one begun.
    Rotation(PathBuf),
}

impl Ground {
    /// Starts a server for `kind` that nobody else uses, and makes what is read.
    ///
    /// # Errors
    /// If there is no such server here, or it did not do as it was told.
    pub async fn start(kind: Kind, folder: &Path) -> Result<Self, Trouble> {
        let Some(product) = kind.product() else {
            let field = kind.open("", folder).await?;
            return Ok(Self { field, outage: Outage::Rotation(file::path_in(folder)) });
        };
        let folder = folder.join("server");
        let started = move || Server::start(product, &Repo::find()?, &folder);
        let server =
            tokio::task::spawn_blocking(started).await.map_err(|e| trouble("start")(&e))?;
        let server = server.map_err(|e| trouble("start")(&e))?;
        let address = server.address();
        if !kind.is_in_memory() {
            let field = kind.open(&address, Path::new("")).await?;
            return Ok(Self { field, outage: Outage::Restart(server) });
        }
        let proxy = Proxy::start(&address).await.map_err(|e| trouble("proxy")(&e))?;
        let field = kind.open(&format!("http://{}", proxy.address()), Path::new("")).await?;
        Ok(Self { field, outage: Outage::Cut(server, proxy) })
    }

    /// Takes the field away and gives it back. Nobody may write into it meanwhile.
    ///
    /// # Errors
    /// If it does not come back.
    pub async fn interrupt(&mut self) -> Result<(), Trouble> {
        match &mut self.outage {
            Outage::Restart(server) => tokio::task::block_in_place(|| {
                server.kill();
                server.restart().map_err(|e| trouble("restart")(&e))
            }),
            Outage::Cut(_, proxy) => {
                proxy.cut();
                tokio::time::sleep(CUT).await; // tidy: allow sleeps: the source is away for this long
                proxy.mend();
                Ok(())
            }
            Outage::Rotation(path) => file::rotate(path).map_err(|e| trouble("rotate")(&e)),
        }
    }

    /// What it is called in a report.
    #[must_use]
    pub fn outage(&self) -> &'static str {
        match self.outage {
            Outage::Restart(_) => "restarts",
            Outage::Cut(..) => "cuts",
            Outage::Rotation(_) => "rotations",
        }
    }

    /// The version of the server; empty if there is none.
    #[must_use]
    pub fn version(&self) -> &str {
        match &self.outage {
            Outage::Restart(server) | Outage::Cut(server, _) => server.version(),
            Outage::Rotation(_) => "",
        }
    }
}

impl fmt::Debug for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ground").field("outage", &self.outage).finish_non_exhaustive()
    }
}

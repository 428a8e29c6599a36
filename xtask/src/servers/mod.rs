//! Owns the servers that tests and contributors want beside Trine: `servers up`, `servers down` and `servers env`, and
//! as a library one private server for whoever needs to kill it. A file a server says how that one is run.

mod activemq;
mod aws;
mod conversation;
mod dynamodb;
mod elasticmq;
mod java;
mod kafka;
mod kinesis;
mod lifeline;
mod ministack;
mod nats;
mod pid;
mod product;
mod rabbitmq;
mod redis;
mod remembered;
mod server;
mod shared;
mod site;

use std::thread;

pub use product::Product;
pub use server::Server;
pub use shared::Shared;

use crate::failure::{Failure, Outcome};
use crate::repo::Repo;
use crate::tools::{Cache, Toolbox};
use remembered::{Known, Remembered};

/// Starts each server that is not up yet, all at once, and prints its version and address.
pub fn up(repo: &Repo, names: &[String]) -> Outcome {
    let products = names.iter().map(|name| Product::named(name)).collect::<Outcome<Vec<_>>>()?;
    let failures: Vec<_> = thread::scope(|scope| {
        let starts: Vec<_> =
            products.iter().map(|product| scope.spawn(|| up_one(repo, *product))).collect();
        let ends = starts.into_iter().map(thread::ScopedJoinHandle::join);
        let ends = ends.map(|end| end.unwrap_or_else(|_| Err(Failure::new("a start panicked"))));
        ends.filter_map(Result::err).collect()
    });
    match failures.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(
            failures.iter().map(Failure::to_string).collect::<Vec<_>>().join("\n"),
        )),
    }
}

fn up_one(repo: &Repo, product: Product) -> Outcome {
    let name = product.name();
    // Two runs that want the same server: one starts it and the other finds it.
    let turn = Cache::open(repo.tools_directory())?.turn(&format!("up-{name}"))?;
    let remembered = Remembered::at(repo, product);
    if let Some(known) = remembered.running() {
        println!("{name} {} is up already at {}", known.version, known.address);
        return Ok(());
    }
    remembered.end()?;
    remembered.forget()?;
    let server = Server::start(product, repo, &remembered.folder)?;
    let (version, address) = (server.version().to_owned(), server.address());
    println!("{name} {version} is up at {address}");
    // Kept before it is let go: what is not remembered must not go on running.
    let further = server.further().into_iter();
    let further = further.map(|(variable, value)| (variable.to_owned(), value)).collect();
    let known = Known { version, address, further, pids: server.pids() };
    remembered.keep(&known)?;
    server.leave_running();
    drop(turn);
    Ok(())
}

/// Ends every server that `up` started, or only those of `names`, and removes what they wrote.
pub fn down(repo: &Repo, names: &[String]) -> Outcome {
    for product in wanted(names)? {
        let remembered = Remembered::at(repo, product);
        if remembered.end()? {
            println!("{} is down", product.name());
        }
        remembered.forget()?;
    }
    Ok(())
}

/// Prints `export` lines for the servers that are up, with the variables in which tests look for them.
pub fn env(repo: &Repo) -> Outcome {
    let mut tools = Vec::new();
    for product in Product::ALL {
        let Some(known) = Remembered::at(repo, product).running() else { continue };
        if let Some(variable) = product.variable() {
            println!("export {variable}='{}'", known.address);
        }
        for (variable, value) in &known.further {
            println!("export {variable}='{value}'");
        }
        tools.extend(product.tool());
    }
    print!("{}", Toolbox::gather(repo, &tools)?.exports());
    Ok(())
}

fn wanted(names: &[String]) -> Outcome<Vec<Product>> {
    match names {
        [] => Ok(Product::ALL.to_vec()),
        names => names.iter().map(|name| Product::named(name)).collect(),
    }
}

//! Compiles the contract with protox: no protoc is needed to build Trine.

use std::path::PathBuf;

use prost::Message as _;

const FILES: [&str; 7] = [
    "trine/v1/reason.proto",
    "trine/v1/invocation.proto",
    "trine/v1/function.proto",
    "trine/v1/worker.proto",
    "trine/v1/admin.proto",
    "trine/v1/mapping.proto",
    "trine/v1/poller.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for file in FILES {
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    // `bytes` fields become `bytes::Bytes`: a broker hands payloads on, it does not copy them.
    let contract = tonic_prost_build::configure().bytes(".");
    contract.codec_path("crate::codec::ContractCodec").compile_fds(descriptors)?;
    Ok(())
}

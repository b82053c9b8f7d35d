// SPDX-License-Identifier: MIT OR Apache-2.0
//! `--net`: whose network a box uses.

use clonebox::{Network, NetworkNamespace};

use crate::named;

/// Reads it, and opens what is joined. Docker's words for what is there, and podman's for a path.
pub(crate) fn read(word: &str) -> Result<Network, String> {
    let path = word.strip_prefix("ns:").unwrap_or(word);
    if let Some(name) = word.strip_prefix("container:") {
        return of_box(name).map(Network::Join);
    }
    match word {
        "host" => Ok(Network::Host),
        "none" => Ok(Network::Private),
        "pasta" => Ok(Network::Pasta),
        _ if path.starts_with('/') => NetworkNamespace::open(path)
            .map(Network::Join)
            .map_err(|error| error.to_string()),
        _ => Err(
            "expected none, pasta, host, container:NAME or the path of a network namespace"
                .to_owned(),
        ),
    }
}

fn of_box(name: &str) -> Result<NetworkNamespace, String> {
    let registry = named::registry().map_err(|failure| match failure {
        crate::Failure::Box(error) => error.to_string(),
        _ => "there is no place for boxes with names".to_owned(),
    })?;
    let network = registry.find(name).and_then(|found| found.network());
    network.map_err(|error| error.to_string())
}

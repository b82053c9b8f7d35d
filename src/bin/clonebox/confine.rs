// SPDX-License-Identifier: MIT OR Apache-2.0
//! The walls inside of a box.

use clonebox::{Namespace, Spec};

use crate::args::Args;
use crate::convert::optional;
use crate::usage::UsageError;

/// Reads the options.
pub(crate) fn confine(spec: &mut Spec, args: &Args) -> Result<(), UsageError> {
    let keyring = optional("--keyring", args.keyring.as_deref(), |word| match word {
        "private" => Ok(Namespace::Private),
        "host" => Ok(Namespace::Host),
        _ => Err("expected private or host"),
    })?;
    spec.keyring = keyring.unwrap_or_else(|| spec.keyring.clone());
    Ok(())
}

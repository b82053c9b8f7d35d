// SPDX-License-Identifier: MIT OR Apache-2.0
//! Other limits for a box that runs.

use nix::errno::Errno;

use super::entry::Entry;
use crate::cgroup::Place;
use crate::error::Error;
use crate::plan::{CgroupFile, cgroup_changes};
use crate::spec::{Limits, Spec};

/// A file of a cgroup, and what is to be written there.
type Change<'a> = (&'a Place, &'a CgroupFile);

impl Entry {
    /// Changes its limits while it runs. All of them are changed, or none is.
    ///
    /// # Errors
    ///
    /// As [`pidfd`](Self::pidfd); [`ErrorKind::Spec`](crate::ErrorKind::Spec) for limits that make no sense, or of a
    /// controller for which the box has no cgroup; [`ErrorKind::State`](crate::ErrorKind::State) with what the kernel
    /// says: `EBUSY`, for example, where more memory is in use.
    pub fn update(&self, limits: &Limits) -> Result<(), Error> {
        self.pidfd()?;
        let spec = Spec {
            limits: limits.clone(),
            ..Spec::new("/")
        };
        let wrong = spec.validate();
        if !wrong.is_empty() {
            return Err(Error::violations(&wrong));
        }
        let places = &self.record.cgroups;
        let known: Vec<_> = places
            .iter()
            .map(|place| (place.unified, place.controllers.as_slice()))
            .collect();
        let changes =
            cgroup_changes(limits, &known).map_err(|missing| Error::violations(&missing))?;
        let changes = changes.iter();
        let changes = changes.filter_map(|(at, file)| Some((places.get(*at)?, file)));
        let mut changes: Vec<Change<'_>> = changes.collect();
        let is_there = |(place, file): &Change<'_>| place.text(&file.name).is_some();
        if changes
            .iter()
            .any(|change| change.1.alternative && is_there(change))
        {
            changes.retain(|change| !change.1.alternative || is_there(change));
        }
        write(changes).map_err(|((_, file), errno)| {
            let (name, value) = (&file.name, &file.value);
            let action = format!("set {name} of the box {} to {value}", self.name());
            Error::state_failed(&action, errno)
        })
    }
}

/// Writes all of them. If one cannot be written, the others are as they were.
fn write(mut changes: Vec<Change<'_>>) -> Result<(), (Change<'_>, Errno)> {
    let mut before: Vec<(&Place, &str, String)> = Vec::new();
    while !changes.is_empty() {
        let mut refused = Vec::new();
        let count = changes.len();
        for change in changes {
            let (place, file) = change;
            let old = place.text(&file.name).unwrap_or_default();
            match place.write(&file.name, &file.value) {
                Ok(()) => before.push((place, &file.name, old.trim().to_owned())),
                Err(errno) => refused.push((change, errno)),
            }
        }
        // One limit may be in the way of another until that is changed as well: on version 1 there is never more
        // memory than memory and swap together.
        if let Some(first) = refused.first()
            && (refused.len() == count || refused.iter().any(|(_, errno)| *errno != Errno::EINVAL))
        {
            while let Some((place, name, old)) = before.pop() {
                // It was so a moment ago.
                let _ = place.write(name, &old);
            }
            return Err(*first);
        }
        changes = refused.into_iter().map(|(change, _)| change).collect();
    }
    Ok(())
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which namespaces the box has of its own, and what is in them.

use super::Command;
use crate::spec::{
    IdMapping, Namespace, Network, Origin, Port, Setting, TimeOffset, UserNamespace,
};

impl Command {
    /// Sets the host name: 1 to 64 bytes.
    pub fn hostname(&mut self, hostname: impl Into<String>) -> &mut Self {
        self.spec_mut().hostname = Some(setting!("hostname", hostname.into()));
        self
    }

    /// Chooses the UTS namespace.
    pub fn uts(&mut self, namespace: Namespace) -> &mut Self {
        self.spec_mut().namespaces.uts = setting!("uts", namespace);
        self
    }

    /// Chooses the PID namespace.
    pub fn pid(&mut self, namespace: Namespace) -> &mut Self {
        self.spec_mut().namespaces.pid = setting!("pid", namespace);
        self
    }

    /// Chooses the IPC namespace.
    pub fn ipc(&mut self, namespace: Namespace) -> &mut Self {
        self.spec_mut().namespaces.ipc = setting!("ipc", namespace);
        self
    }

    /// Chooses the network.
    pub fn net(&mut self, network: impl Into<Network>) -> &mut Self {
        self.spec_mut().namespaces.net = setting!("net", network.into());
        self
    }

    /// Opens a port of the host that leads to one of the box, with [`Network::Pasta`].
    pub fn port(&mut self, port: Port) -> &mut Self {
        self.spec_mut().ports.push(setting!("port", port));
        self
    }

    /// Chooses the cgroup namespace.
    pub fn cgroupns(&mut self, namespace: Namespace) -> &mut Self {
        self.spec_mut().namespaces.cgroup = setting!("cgroupns", namespace);
        self
    }

    /// Chooses whether there is a user namespace, and whose ids it has.
    pub fn userns(&mut self, namespace: UserNamespace) -> &mut Self {
        self.spec_mut().namespaces.user = setting!("userns", namespace);
        self
    }

    /// Gives the user namespace user ids, instead of what [`userns`](Self::userns) chooses. The group ids are
    /// the same unless [`gidmap`](Self::gidmap) gives others.
    pub fn uidmap(&mut self, mapping: IdMapping) -> &mut Self {
        let mapping = setting!("uidmap", mapping);
        self.spec_mut().namespaces.uid_mappings.push(mapping);
        self
    }

    /// The same for group ids.
    pub fn gidmap(&mut self, mapping: IdMapping) -> &mut Self {
        let mapping = setting!("gidmap", mapping);
        self.spec_mut().namespaces.gid_mappings.push(mapping);
        self
    }

    /// Shifts the clocks that count from the boot.
    pub fn time_offset(&mut self, offset: TimeOffset) -> &mut Self {
        self.spec_mut().namespaces.time = Some(setting!("time_offset", offset));
        self
    }
}

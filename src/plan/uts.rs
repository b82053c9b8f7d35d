// SPDX-License-Identifier: MIT OR Apache-2.0
//! The host name. See sethostname(2).

use super::call::{Call, Value};
use super::draft::Draft;
use super::exec::c_string;
use super::slot;
use super::step::Steps;
use crate::spec::{Namespace, Origin};

pub(super) fn names(draft: &Draft<'_>, steps: &mut Steps) {
    let spec = draft.spec;
    if spec.namespaces.uts.value == Namespace::Host {
        return;
    }
    let (hostname, origin) = match (&spec.hostname, &spec.name) {
        (Some(hostname), _) => (&hostname.value, &hostname.origin),
        (None, Some(name)) => (&name.value, &name.origin),
        (None, None) => (&draft.name, &Origin::Default),
    };
    let text = c_string(hostname.clone().into_bytes());
    let length = Value::GivenLength(slot::HOSTNAME_LENGTH, text.as_bytes().len());
    let text = Value::Given(slot::HOSTNAME, text);
    let call = Call::new("sethostname", libc::SYS_sethostname, [text, length]);
    steps.push(origin, "set the host name", call);
}

//! What a box has in common with the host unless a namespace keeps it apart: sockets, signals, memory, queues.

use std::ffi::CString;
use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use crate::support::processes::marker;
use crate::support::rootfs::Root;
use crate::support::segment::Segment;
use crate::support::user::Place;
use crate::support::{run_probe, tests};

/// A POSIX message queue and its name.
struct Queue(String);

impl Queue {
    fn new() -> Self {
        let name = format!("/{}", marker("clonebox-test"));
        let path = CString::new(name.as_str()).expect("no NUL");
        let flags = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR | libc::O_CLOEXEC;
        let attributes = std::ptr::null_mut::<libc::mq_attr>();
        // SAFETY: the string lives during the call; without attributes the kernel has its own.
        let queue = unsafe { libc::mq_open(path.as_ptr(), flags, 0o600, attributes) };
        assert!(queue >= 0, "{}", std::io::Error::last_os_error());
        // SAFETY: the descriptor is ours, and not used again.
        unsafe { libc::close(queue) };
        Self(name)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let path = CString::new(self.0.as_str()).expect("no NUL");
        // SAFETY: the string lives during the call.
        unsafe { libc::mq_unlink(path.as_ptr()) };
    }
}

tests! {
    fn an_abstract_socket_is_reached_unless_the_network_is_the_boxes_own() needs [Box] {
        let (name, root) = (marker("clonebox-test"), Root::new());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let _listener = UnixListener::bind_addr(&address).expect("nobody has the name");
        let attack = ["abstract", &name];
        run_probe(&[], &attack).succeeds().prints("fine\n");
        root.run(&[], &attack).succeeds().prints("fine\n");
        run_probe(&["--net", "none"], &attack).succeeds().prints("ECONNREFUSED\n");
        root.run(&["--net", "none"], &attack).succeeds().prints("ECONNREFUSED\n");
    }

    fn a_process_outside_is_signalled_only_in_the_hosts_pid_namespace() needs [Box, Pids] {
        let own = std::process::id().to_string();
        run_probe(&["--pid", "host"], &["signal", &own]).succeeds().prints("fine\n");
        run_probe(&[], &["signal", &own]).succeeds().prints("ESRCH\n");
        Root::new().run(&[], &["signal", &own]).succeeds().prints("ESRCH\n");
    }

    fn system_v_memory_is_reached_unless_ipc_is_private() needs [Box] {
        let segment = Segment::new();
        let attack = ["segment", segment.key()];
        run_probe(&[], &attack).succeeds().prints("fine\n");
        run_probe(&["--ipc", "private"], &attack).succeeds().prints("ENOENT\n");
        Root::new().run(&["--ipc", "private"], &attack).succeeds().prints("ENOENT\n");
    }

    fn a_message_queue_is_reached_unless_ipc_is_private() needs [Root] {
        let queue = Queue::new();
        let attack = ["queue", &queue.0];
        run_probe(&[], &attack).succeeds().prints("fine\n");
        run_probe(&["--ipc", "private"], &attack).succeeds().prints("ENOENT\n");
        Root::new().run(&["--ipc", "private"], &attack).succeeds().prints("ENOENT\n");
    }

    fn dev_shm_of_a_root_filesystem_is_its_own() needs [Box] {
        let file = tempfile::NamedTempFile::new_in("/dev/shm").expect("/dev/shm");
        let path = file.path().display().to_string();
        run_probe(&[], &["open", &path]).succeeds().prints("fine\n");
        Root::new().run(&[], &["open", &path]).succeeds().prints("ENOENT\n");
    }

    fn what_only_root_may_write_is_not_an_ordinary_users_in_a_box() needs [Root, Userns, Idmap] {
        let (place, file) = (Place::new(), tempfile::NamedTempFile::new().expect("a file"));
        let path = file.path().display().to_string();
        fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("ours");
        run_probe(&[], &["open-to-write", &path]).succeeds().prints("fine\n");
        place.box_of_user(&[], &["open-to-write", &path]).succeeds().prints("EACCES\n");
        place.box_of_user(&["--cap-add", "ALL"], &["open-to-write", &path]).succeeds().prints("EACCES\n");
    }
}

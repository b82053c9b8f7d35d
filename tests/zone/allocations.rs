//! The child allocates nothing: another thread may have held the allocator's lock at the clone.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeSet;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, Ordering};
use std::thread;

use clonebox::{
    CapabilitySet, Command, HostFacts, IdFacts, ParentDeath, Plan, Stdio, compile, compile_template,
};

use crate::support::filter;
use crate::support::harness::Test;
use crate::support::need::Need;
use crate::support::process::{raw_pid, wait};
use crate::support::program::Program;
use crate::support::recipe::{CALLS, RECIPES, Recipe};
use crate::support::shared;

/// The system's allocator, which counts what other processes than this one ask of it.
struct Counting;

/// Where to count; nowhere until a test arms it. The word is common memory, so that it would also
/// count a child that has a copy of ours.
static COUNT: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());
static OWN_PID: AtomicI32 = AtomicI32::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn note() {
    // SAFETY: the pointer is null or that of a word which is never unmapped.
    if let Some(count) = unsafe { COUNT.load(Ordering::Relaxed).as_ref() }
        && raw_pid() != OWN_PID.load(Ordering::Relaxed)
    {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        note();
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: the caller's promise.
        unsafe { System.realloc(memory, layout, size) }
    }
}

/// Counts from now on.
fn arm() -> &'static AtomicU64 {
    let count = shared::word();
    OWN_PID.store(raw_pid(), Ordering::Relaxed);
    COUNT.store(ptr::from_ref(count).cast_mut(), Ordering::Relaxed);
    count
}

/// The tests of this module.
pub(crate) fn tests() -> Vec<Test> {
    let test = |name, needs, run: fn()| Test::new(module_path!(), name, needs, run);
    let of_recipes = RECIPES.iter().map(|recipe| {
        let name = "the_child_of_{}_allocates_nothing";
        recipe.test(module_path!(), name, &[], launches)
    });
    of_recipes
        .chain([
            test(
                "a_child_that_fails_allocates_nothing",
                &[Need::Box],
                a_child_that_fails,
            ),
            test(
                "a_launch_of_a_template_allocates_nothing",
                &[Need::Box],
                a_launch,
            ),
            test(
                "a_launch_with_values_of_its_own_allocates_what_these_need",
                &[Need::Box],
                a_launch_with_values,
            ),
            test(
                "a_launch_of_a_template_with_a_root_filesystem_allocates_nothing",
                &[Need::Root],
                a_launch_in_a_root,
            ),
            test(
                "a_launch_of_a_template_maps_no_memory",
                &[Need::Box, Need::Seccomp],
                a_launch_with_the_last_ones_memory,
            ),
            test(
                "an_allocation_in_a_copy_of_this_process_is_counted",
                &[],
                in_a_copy,
            ),
            test(
                "an_allocation_in_a_process_that_shares_the_memory_is_counted",
                &[],
                in_shared_memory,
            ),
            test(
                "the_boxes_launched_here_have_every_kind_of_step",
                &[],
                every_kind_of_step,
            ),
            test(
                "every_kind_of_step_in_the_sources_is_known_here",
                &[Need::Sources],
                every_kind_in_the_sources,
            ),
        ])
        .collect()
}

fn launches(recipe: &Recipe) {
    let program = Program::new();
    let template = recipe.prepare(&program.path());
    let plans = [Some(template.plan()), template.mounts_plan()];
    let unknown = plans
        .into_iter()
        .flatten()
        .flat_map(Plan::steps)
        .map(|step| step.name())
        .find(|name| !CALLS.contains(name));
    assert!(unknown.is_none(), "{unknown:?} is not in CALLS");
    let count = arm();
    for _ in 0..3 {
        let status = template.spawn().expect("the box starts").wait();
        let status = status.expect("it ends");
        assert!(status.success(), "{status}");
    }
    assert_eq!(count.load(Ordering::Relaxed), 0);
}

fn a_child_that_fails() {
    let mut command = Command::new("/nonexistent/program");
    command.parent_death(ParentDeath::KillWithThread);
    let template = command.prepare().expect("a good description");
    let count = arm();
    template.spawn().expect_err("there is no such program");
    assert_eq!(count.load(Ordering::Relaxed), 0);
}

/// Neither does the parent, from whatever thread, after the first launches.
fn assert_launches_allocate_nothing(command: &mut Command) {
    let null = || Stdio::null();
    command.stdin(null()).stdout(null()).stderr(null());
    let template = command.prepare().expect("a good description");
    let launch = || {
        let mut child = template.spawn().expect("the box starts");
        assert!(child.wait().expect("it ends").success());
    };
    let count = shared::word();
    let counted = || {
        launch();
        COUNT.store(ptr::from_ref(count).cast_mut(), Ordering::Relaxed);
        launch();
        launch();
        COUNT.store(ptr::null_mut(), Ordering::Relaxed);
        assert_eq!(count.load(Ordering::Relaxed), 0);
    };
    counted();
    thread::scope(|scope| {
        // The end of the scope is not that of the thread, which frees what it has.
        scope.spawn(counted).join().expect("it does not panic");
    });
    COUNT.store(ptr::from_ref(count).cast_mut(), Ordering::Relaxed);
    allocate();
    assert_eq!(
        count.load(Ordering::Relaxed),
        2,
        "one of this process is counted"
    );
}

fn a_launch() {
    let program = Program::new();
    assert_launches_allocate_nothing(&mut Command::new(program.path()));
}

/// The stack and the shared page are those of the launch before.
fn a_launch_with_the_last_ones_memory() {
    let program = Program::new();
    let template = Command::new(program.path())
        .prepare()
        .expect("a good description");
    let launch = || {
        let mut child = template.spawn().expect("the box starts");
        assert!(child.wait().expect("it ends").success());
    };
    launch();
    let calls = [
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mprotect,
        libc::SYS_brk,
    ];
    filter::refuse(&calls, libc::EPERM);
    launch();
    launch();
}

/// Streams need nothing; a host name and a working directory are a string each, which is given back.
fn a_launch_with_values() {
    let program = Program::new();
    let mut command = Command::new(program.path());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let template = command.prepare().expect("a good description");
    let launch = |strings: bool| {
        let mut launch = template.launch();
        launch.stdout(Stdio::null()).stderr(Stdio::null());
        launch.current_dir("/");
        if strings {
            launch.hostname("one");
        }
        let mut child = launch.spawn().expect("the box starts");
        assert!(child.wait().expect("it ends").success());
    };
    let count = shared::word();
    launch(true);
    for (strings, expected) in [(false, 2), (true, 4)] {
        count.store(0, Ordering::Relaxed);
        COUNT.store(ptr::from_ref(count).cast_mut(), Ordering::Relaxed);
        launch(strings);
        COUNT.store(ptr::null_mut(), Ordering::Relaxed);
        assert_eq!(count.load(Ordering::Relaxed), expected);
    }
}

fn a_launch_in_a_root() {
    let program = Program::new();
    let path = program.path();
    let root = path.parent().expect("a path");
    let name = Path::new("/").join(path.file_name().expect("a path"));
    for overlay in [false, true] {
        let mut command = Command::new(&name);
        if overlay {
            command.rootfs_overlay(root);
        } else {
            command.rootfs(root);
        }
        assert_launches_allocate_nothing(&mut command);
    }
}

/// Asks for memory and gives it back: 2.
fn allocate() {
    drop(black_box(Box::new(black_box(1u64))));
}

fn in_a_copy() {
    let count = arm();
    // SAFETY: this process has one thread, so that its copy may do as it likes.
    match unsafe { libc::fork() } {
        0 => {
            allocate();
            // SAFETY: the copy ends here, without the destructors of what it has copied.
            unsafe { libc::_exit(0) };
        }
        pid => drop(wait(pid)),
    }
    assert_eq!(count.load(Ordering::Relaxed), 2);
    allocate();
    assert_eq!(count.load(Ordering::Relaxed), 2, "its own are not counted");
}

fn in_shared_memory() {
    extern "C" fn child(_: *mut libc::c_void) -> i32 {
        allocate();
        0
    }
    let mut stack = vec![0u128; 16 * 1024];
    let count = arm();
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack is the child's until it has ended (CLONE_VFORK). It allocates, which a child
    // in shared memory must not; here nobody else does so at the same time.
    let pid = unsafe {
        libc::clone(
            child,
            stack.as_mut_ptr_range().end.cast(),
            flags,
            ptr::null_mut(),
        )
    };
    wait(pid);
    assert_eq!(count.load(Ordering::Relaxed), 2);
}

/// What root's machine may be like. The recipes change it where they need another one.
fn facts(uid: u32) -> HostFacts {
    HostFacts {
        clone3: true,
        close_range_cloexec: true,
        uid,
        gid: uid,
        supplementary_groups: true,
        bounding: CapabilitySet::ALL,
        permitted: CapabilitySet(if uid == 0 { u64::MAX } else { 0 }),
        effective: CapabilitySet(if uid == 0 { u64::MAX } else { 0 }),
        last_cap: 40,
        terminals: [false; 3],
        foreground: false,
        ignored_signals: 0,
        environment: Vec::new(),
        entropy: 0,
        user: None,
        keyctl: true,
        landlock: 0,
        devices: Vec::new(),
        cgroups: clonebox::CgroupFacts::default(),
        paths: clonebox::PathFacts::default(),
        pasta: None,
        join: None,
        ids: IdFacts::default(),
    }
}

fn every_kind_of_step() {
    let mut found = BTreeSet::new();
    for recipe in &RECIPES {
        let (spec, facts) = recipe.on_paper(facts(0));
        let whole = compile(&spec, &facts).expect("a good description");
        let split = compile_template(&spec, &facts).expect("a good description");
        for plan in [Some(Box::new(whole)), Some(split.each), split.once]
            .iter()
            .flatten()
        {
            found.extend(plan.steps().map(|step| step.name()));
        }
    }
    assert_eq!(found, BTreeSet::from(CALLS));
}

/// Steps are made of numbers that the libc crate has names for: they can be found in the text.
fn every_kind_in_the_sources() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/plan");
    let mut found = BTreeSet::new();
    for file in fs::read_dir(directory).expect("the sources are here") {
        let path = file.expect("it can be listed").path();
        let text = fs::read_to_string(path).expect("it can be read");
        for rest in text.split("libc::SYS_").skip(1) {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            found.insert(rest[..end.unwrap_or(rest.len())].to_owned());
        }
    }
    assert_eq!(found, CALLS.map(str::to_owned).into());
}

//! Filters: what policies compile to, run as the kernel would. No privilege, no box; `tests/it/seccomp.rs` asks
//! the kernel itself.

use std::collections::BTreeMap;

use clonebox_seccomp::{
    ALLOW, Answer, Arch, Condition, Data, KILL_PROCESS, MAX_LEN, Op, Policy, Program, Rule, TRAP,
    Verdict, calls, check, compile, default_profile, errno, number, run,
};
use proptest::prelude::*;

const FOREIGN: Answer = Answer::always(errno(38));
const ARCHES: [Arch; 4] = [Arch::X86_64, Arch::Aarch64, Arch::X86, Arch::Arm];
const X32: u32 = 0x4000_0000;

fn data(arch: Arch, nr: u32, args: [u64; 6]) -> Data {
    Data {
        nr,
        arch: arch.audit(),
        instruction_pointer: 0x1234_5678_9abc,
        args,
    }
}

/// What a policy says, without a compiler.
fn expected(policies: &[Policy], data: &Data, capabilities: u64) -> u32 {
    let found = policies
        .iter()
        .find(|policy| policy.arch.audit() == data.arch);
    let answer = match found {
        None => FOREIGN,
        Some(policy) if policy.arch == Arch::X86_64 && data.nr >= X32 => FOREIGN,
        Some(policy) => policy
            .calls
            .get(&data.nr)
            .map_or(policy.unknown, |verdict| verdict.answer(&data.args)),
    };
    if answer.unless & capabilities != 0 {
        ALLOW
    } else {
        answer.word
    }
}

/// Values on both sides of each border that the verdicts have, in both halves.
fn edges(policies: &[Policy]) -> Vec<u64> {
    let conditions = policies
        .iter()
        .flat_map(|policy| policy.calls.values())
        .flat_map(|verdict| &verdict.rules)
        .flat_map(|rule| &rule.conditions);
    let mut edges = vec![0, 1, u64::MAX, 1 << 31, 1 << 32, u64::from(u32::MAX)];
    for condition in conditions {
        for value in [
            condition.value,
            condition.mask,
            condition.value & condition.mask,
        ] {
            edges.extend([
                value,
                value.wrapping_add(1),
                value.wrapping_sub(1),
                value ^ 1 << 32,
                value ^ 1 << 63,
                value | 0xffff_ffff_0000_0000,
                value.rotate_left(32),
            ]);
        }
    }
    edges.sort_unstable();
    edges.dedup();
    edges
}

/// Numbers on both sides of each border.
fn numbers(policies: &[Policy]) -> Vec<u32> {
    let known = policies
        .iter()
        .flat_map(|policy| policy.calls.keys().copied());
    let mut numbers: Vec<u32> = known
        .flat_map(|nr| [nr, nr.wrapping_sub(1), nr.wrapping_add(1)])
        .collect();
    numbers.extend([
        0,
        600,
        X32 - 1,
        X32,
        X32 + 1,
        X32 + 59,
        u32::MAX / 2,
        u32::MAX,
    ]);
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// Compares everywhere.
fn agrees(policies: &[Policy], program: &Program, capabilities: u64) {
    let code = program.resolve(capabilities);
    check(&code).expect("the kernel takes it");
    let (numbers, edges) = (numbers(policies), edges(policies));
    for arch in ARCHES {
        for &nr in &numbers {
            let asks = policies.iter().any(|policy| {
                policy.arch == arch
                    && policy
                        .calls
                        .get(&nr)
                        .is_some_and(|verdict| !verdict.rules.is_empty())
            });
            for &edge in if asks { &edges[..] } else { &edges[..1] } {
                for index in 0..if asks { 6 } else { 1 } {
                    for rest in [0, u64::MAX] {
                        let mut args = [rest; 6];
                        args[index] = edge;
                        let data = data(arch, nr, args);
                        assert_eq!(
                            run(&code, &data),
                            Some(expected(policies, &data, capabilities)),
                            "{data:x?} with {capabilities:#x}"
                        );
                    }
                }
            }
        }
    }
}

fn default_policies(arches: &[Arch]) -> Vec<Policy> {
    let profile = default_profile().expect("a good profile");
    arches.iter().map(|arch| profile.policy(*arch)).collect()
}

#[test]
fn the_default_filter_is_its_profile_on_every_number_and_edge_with_and_without_capabilities() {
    for arches in [
        &[Arch::X86_64][..],
        &[Arch::X86_64, Arch::X86],
        &[Arch::Aarch64],
        &[Arch::Aarch64, Arch::Arm],
    ] {
        let policies = default_policies(arches);
        let program = compile(&policies, FOREIGN).expect("it is short");
        for capabilities in [0, 1 << 21, u64::MAX] {
            agrees(&policies, &program, capabilities);
        }
    }
}

#[test]
fn the_default_filter_is_short() {
    for arch in [Arch::X86_64, Arch::Aarch64] {
        let program = compile(&default_policies(&[arch]), FOREIGN).expect("it is short");
        assert!(program.code.len() < 200, "{}", program.code.len());
        // No number takes more than a dozen comparisons: what the kernel's cache is made of is a few.
        let depth = calls(arch).map(|(_, nr)| steps(&program.code, &data(arch, nr, [0; 6])));
        assert!(depth.max() < Some(40));
    }
}

#[test]
fn the_documented_lengths_are_those_of_the_filters() {
    let document = include_str!("../docs/seccomp.md");
    for (name, arches) in [
        ("the default profile", &[Arch::X86_64][..]),
        ("the same, with 32-bit programs", &[Arch::X86_64, Arch::X86]),
    ] {
        let program = compile(&default_policies(arches), FOREIGN).expect("it is short");
        let row = format!("| {name} | {} |", program.code.len());
        assert!(document.contains(&row), "{row}");
    }
}

/// How many instructions a call takes.
fn steps(code: &[clonebox_seccomp::Instruction], data: &Data) -> usize {
    // The shortest beginning that answers has all instructions up to the return; its length is no measure of
    // the way, so the way is walked: an instruction that is replaced changes the answer if it lies on it.
    (0..code.len())
        .filter(|&at| {
            let mut changed = code.to_vec();
            changed[at] = clonebox_seccomp::Instruction {
                code: 6,
                jt: 0,
                jf: 0,
                k: TRAP,
            };
            run(&changed, data) == Some(TRAP)
        })
        .count()
}

/// What the answer of the default filter is for a box of these capabilities.
fn answer(capabilities: u64, name: &str, args: &[u64]) -> u32 {
    let policies = default_policies(&[Arch::X86_64]);
    let code = compile(&policies, FOREIGN)
        .expect("it is short")
        .resolve(capabilities);
    let nr = number(Arch::X86_64, name).expect(name);
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    run(&code, &data(Arch::X86_64, nr, all)).expect("an answer")
}

/// The eleven that a box keeps.
const KEPT: u64 = clonebox::CapabilitySet::DEFAULT.0;
const EPERM: u32 = errno(1);
const ENOSYS: u32 = errno(38);
const EAFNOSUPPORT: u32 = errno(97);

#[test]
fn what_docker_documents_as_blocked_is_blocked() {
    // docs.docker.com/engine/security/seccomp, "Significant syscalls blocked by the default profile", without those
    // that it allows since Linux 4.8 (ptrace and its kin) and those with conditions, which have tests of their own.
    for name in [
        "acct",
        "add_key",
        "bpf",
        "clock_settime",
        "create_module",
        "delete_module",
        "finit_module",
        "get_kernel_syms",
        "get_mempolicy",
        "init_module",
        "ioperm",
        "iopl",
        "kcmp",
        "kexec_file_load",
        "kexec_load",
        "keyctl",
        "lookup_dcookie",
        "mbind",
        "mount",
        "move_pages",
        "nfsservctl",
        "open_by_handle_at",
        "perf_event_open",
        "pivot_root",
        "query_module",
        "quotactl",
        "reboot",
        "request_key",
        "set_mempolicy",
        "setns",
        "settimeofday",
        "swapon",
        "swapoff",
        "sysfs",
        "_sysctl",
        "umount2",
        "uselib",
        "userfaultfd",
        "ustat",
        "io_uring_setup",
        "io_uring_enter",
        "io_uring_register",
        "fsopen",
        "fsmount",
        "move_mount",
        "open_tree",
        "mount_setattr",
        "syslog",
        "vhangup",
        "pidfd_getfd",
    ] {
        assert_eq!(answer(KEPT, name, &[]), EPERM, "{name}");
    }
}

#[test]
fn a_capability_opens_what_it_is_for_and_nothing_else() {
    for (name, capability) in [
        ("mount", 21),
        ("bpf", 39),
        ("bpf", 21),
        ("syslog", 34),
        ("reboot", 22),
        ("kcmp", 19),
    ] {
        assert_eq!(answer(1 << capability, name, &[]), ALLOW, "{name}");
        assert_eq!(
            answer(!(1 << capability | 1 << 21), name, &[]) == ALLOW,
            name == "bpf" && capability == 21
        );
    }
    assert_eq!(answer(KEPT, "chroot", &[]), ALLOW);
    assert_eq!(answer(0, "chroot", &[]), EPERM);
    assert_eq!(answer(u64::MAX, "kexec_load", &[]), EPERM);
    assert_eq!(answer(u64::MAX, "keyctl", &[]), EPERM);
}

#[test]
fn no_namespace_is_made_without_cap_sys_admin() {
    const NAMESPACES: [u64; 7] = [
        0x1000_0000,
        0x2_0000,
        0x2000_0000,
        0x4000_0000,
        0x0800_0000,
        0x0400_0000,
        0x0200_0000,
    ];
    for flag in NAMESPACES {
        for more in [0, 0x11, 0x1234_0000_0000_0011] {
            assert_eq!(answer(KEPT, "clone", &[flag | more]), EPERM, "{flag:#x}");
            assert_eq!(
                answer(KEPT, "unshare", &[flag | more & !0xff]),
                EPERM,
                "{flag:#x}"
            );
            assert_eq!(answer(1 << 21, "clone", &[flag | more]), ALLOW);
        }
    }
    // A thread, a process; CLONE_NEWTIME, which only unshare takes: in clone its bit is of the signal.
    assert_eq!(answer(KEPT, "clone", &[0x003d_0f00]), ALLOW);
    assert_eq!(answer(KEPT, "clone", &[17]), ALLOW);
    assert_eq!(answer(KEPT, "unshare", &[0x80]), EPERM);
    assert_eq!(answer(KEPT, "unshare", &[0x400]), ALLOW);
    assert_eq!(answer(KEPT, "clone3", &[]), ENOSYS);
    assert_eq!(answer(1 << 21, "clone3", &[]), ALLOW);
}

#[test]
fn input_is_not_pushed_into_a_terminal_whatever_the_high_half_says() {
    for request in [0x5412, 0x541c] {
        for high in [0, 1 << 32, 0xffff_ffff << 32] {
            assert_eq!(answer(u64::MAX, "ioctl", &[0, request | high]), EPERM);
            assert_eq!(answer(u64::MAX, "ioctl", &[0, (request + 1) | high]), ALLOW);
        }
    }
}

#[test]
fn sockets_are_of_five_families() {
    for family in 0..64 {
        let allowed = [1, 2, 10, 16, 17].contains(&family);
        for high in [0, 1 << 32] {
            for name in ["socket", "socketpair"] {
                let answer = answer(u64::MAX, name, &[family | high]);
                assert_eq!(
                    answer,
                    if allowed { ALLOW } else { EAFNOSUPPORT },
                    "{name} {family}"
                );
            }
        }
    }
}

#[test]
fn personalities_are_those_that_change_no_rule_of_memory() {
    for (personality, allowed) in [
        (0, true),
        (8, true),
        (0x2_0000, true),
        (0x2_0008, true),
        (0xffff_ffff, true),
        (u64::MAX, true),
        (0x004_0000, false),
        (0x40_0000, false),
    ] {
        assert_eq!(
            answer(KEPT, "personality", &[personality]) == ALLOW,
            allowed,
            "{personality:#x}"
        );
    }
}

#[test]
fn what_is_newer_than_the_profile_is_missing_and_so_are_other_architectures() {
    let policies = default_policies(&[Arch::X86_64]);
    let code = compile(&policies, FOREIGN)
        .expect("it is short")
        .resolve(u64::MAX);
    for nr in [500, 1000, X32, X32 + 1, u32::MAX] {
        assert_eq!(
            run(&code, &data(Arch::X86_64, nr, [0; 6])),
            Some(ENOSYS),
            "{nr}"
        );
    }
    assert_eq!(run(&code, &data(Arch::X86, 20, [0; 6])), Some(ENOSYS));
    let both = default_policies(&[Arch::X86_64, Arch::X86]);
    let code = compile(&both, FOREIGN).expect("it is short").resolve(0);
    // getpid and mount of i386.
    assert_eq!(run(&code, &data(Arch::X86, 20, [0; 6])), Some(ALLOW));
    assert_eq!(run(&code, &data(Arch::X86, 21, [0; 6])), Some(EPERM));
}

fn answers() -> impl Strategy<Value = Answer> {
    let word = prop_oneof![
        Just(ALLOW),
        Just(KILL_PROCESS),
        Just(TRAP),
        (1u16..5).prop_map(errno)
    ];
    (
        word,
        prop_oneof![3 => Just(0), 1 => (0u64..4).prop_map(|bit| 1 << bit)],
    )
        .prop_map(|(word, unless)| Answer { word, unless })
}

fn words() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0u64..4,
        Just(u64::MAX),
        Just(1 << 32),
        Just(0xffff_ffff),
        any::<u32>().prop_map(|high| u64::from(high) << 32)
    ]
}

fn conditions() -> impl Strategy<Value = Condition> {
    let op = prop_oneof![
        Just(Op::Equal),
        Just(Op::NotEqual),
        Just(Op::Less),
        Just(Op::LessOrEqual),
        Just(Op::Greater),
        Just(Op::GreaterOrEqual),
    ];
    (0u8..6, prop_oneof![Just(u64::MAX), words()], op, words()).prop_map(
        |(index, mask, op, value)| Condition {
            index,
            mask,
            op,
            value,
        },
    )
}

fn verdicts() -> impl Strategy<Value = Verdict> {
    let rule = (prop::collection::vec(conditions(), 1..4), answers())
        .prop_map(|(conditions, answer)| Rule { conditions, answer });
    let rules =
        prop_oneof![2 => Just(Vec::new()).boxed(), 1 => prop::collection::vec(rule, 1..5).boxed()];
    (rules, answers()).prop_map(|(rules, otherwise)| Verdict { rules, otherwise })
}

fn policies() -> impl Strategy<Value = Vec<Policy>> {
    let calls = || prop::collection::btree_map(0u32..120, verdicts(), 0..60);
    (calls(), calls(), answers(), any::<bool>()).prop_map(|(native, compat, unknown, both)| {
        let policy = |arch, calls: BTreeMap<u32, Verdict>| Policy {
            arch,
            calls,
            unknown,
        };
        let native = policy(Arch::X86_64, native);
        let compat = policy(Arch::X86, compat);
        if both {
            vec![native, compat]
        } else {
            vec![native]
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_program_answers_as_its_policies_say(policies in policies(), capabilities in 0u64..16) {
        let program = compile(&policies, FOREIGN).expect("it is short enough");
        agrees(&policies, &program, capabilities);
    }
}

#[test]
fn a_policy_that_says_one_thing_of_all_calls_is_not_taken_for_another() {
    let policy = |arch, unknown| Policy {
        arch,
        calls: BTreeMap::new(),
        unknown,
    };
    let answers = [FOREIGN, Answer::ALLOW, Answer::always(errno(1))];
    for native in answers {
        for compat in answers {
            let policies = [policy(Arch::X86_64, native), policy(Arch::X86, compat)];
            let program = compile(&policies, FOREIGN).expect("it is short");
            agrees(&policies, &program, 0);
        }
    }
}

#[test]
fn far_jumps_are_made_in_pieces_and_what_is_too_long_is_told() {
    let verdict = |nr: u32, rules: u32| Verdict {
        rules: (0..rules)
            .map(|at| Rule {
                conditions: vec![Condition {
                    index: (at % 6) as u8,
                    mask: u64::MAX,
                    op: Op::Greater,
                    value: u64::from(nr * 1000 + at) << 20,
                }],
                answer: Answer::always(errno((nr % 40 + at) as u16)),
            })
            .collect(),
        otherwise: Answer::always(errno(nr as u16)),
    };
    let policy = |count: u32, rules: u32| Policy {
        arch: Arch::X86_64,
        calls: (0..count).map(|nr| (nr, verdict(nr, rules))).collect(),
        unknown: Answer::ALLOW,
    };
    for (count, rules) in [(1, 200), (20, 30), (100, 5)] {
        let policies = [policy(count, rules)];
        let program = compile(&policies, FOREIGN).expect("it is short enough");
        assert!(program.code.len() > 600, "{}", program.code.len());
        agrees_somewhere(&policies, &program);
    }
    let error = compile(&[policy(200, 20)], FOREIGN).expect_err("it is too long");
    assert!(error.0 > MAX_LEN);
}

/// Compares with one value for each border: there are too many borders for all.
fn agrees_somewhere(policies: &[Policy], program: &Program) {
    check(&program.code).expect("the kernel takes it");
    for nr in numbers(policies) {
        for at in 0..64u64 {
            let value = (u64::from(nr) * 1000 + at * 4) << 20;
            let data = data(Arch::X86_64, nr, [(value + at % 3).saturating_sub(1); 6]);
            assert_eq!(
                run(&program.code, &data),
                Some(expected(policies, &data, 0)),
                "{data:x?}"
            );
        }
    }
}

/// The same rules as seccompiler compiles them.
#[test]
fn seccompiler_answers_the_same() {
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule,
    };
    let ops = [
        (Op::Equal, SeccompCmpOp::Eq),
        (Op::NotEqual, SeccompCmpOp::Ne),
        (Op::Less, SeccompCmpOp::Lt),
        (Op::LessOrEqual, SeccompCmpOp::Le),
        (Op::Greater, SeccompCmpOp::Gt),
        (Op::GreaterOrEqual, SeccompCmpOp::Ge),
        (Op::Equal, SeccompCmpOp::MaskedEq(0x7e02_0000)),
    ];
    let mut calls = BTreeMap::new();
    let mut theirs = BTreeMap::new();
    for (nr, value) in (0..70u32).zip([0u64, 1, 0x5412, 1 << 32, u64::MAX].into_iter().cycle()) {
        let (op, their_op) = ops[nr as usize % ops.len()].clone();
        let mask = if matches!(their_op, SeccompCmpOp::MaskedEq(_)) {
            0x7e02_0000
        } else {
            u64::MAX
        };
        let rule = Rule {
            conditions: vec![Condition {
                index: (nr % 6) as u8,
                mask,
                op,
                value: value & mask,
            }],
            answer: Answer::ALLOW,
        };
        calls.insert(
            nr * 2,
            Verdict {
                rules: vec![rule],
                otherwise: Answer::always(EPERM),
            },
        );
        let condition =
            SeccompCondition::new((nr % 6) as u8, SeccompCmpArgLen::Qword, their_op, value);
        let rule = SeccompRule::new(vec![condition.expect("a condition")]).expect("a rule");
        theirs.insert(i64::from(nr * 2), vec![rule]);
    }
    let policies = [Policy {
        arch: Arch::X86_64,
        calls,
        unknown: Answer::always(EPERM),
    }];
    let ours = compile(&policies, FOREIGN).expect("it is short");
    let arch = "x86_64".try_into().expect("an architecture");
    let theirs: BpfProgram =
        SeccompFilter::new(theirs, SeccompAction::Errno(1), SeccompAction::Allow, arch)
            .and_then(TryInto::try_into)
            .expect("a filter");
    let theirs: Vec<_> = theirs
        .iter()
        .map(|one| clonebox_seccomp::Instruction {
            code: one.code,
            jt: one.jt,
            jf: one.jf,
            k: one.k,
        })
        .collect();
    for nr in 0..200 {
        for edge in edges(&policies) {
            let data = data(Arch::X86_64, nr, [edge; 6]);
            assert_eq!(run(&ours.code, &data), run(&theirs, &data), "{data:x?}");
        }
    }
}

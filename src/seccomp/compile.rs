// SPDX-License-Identifier: MIT OR Apache-2.0
//! From policies to a program.
//!
//! # Theory of operation
//!
//! 1. The architecture is compared first: numbers mean nothing without it.
//! 2. Neighbouring numbers with the same verdict are one range. A balanced tree of `>=` finds the range. A number that
//!    is alone between others with one verdict makes no ranges of them: it is an exception, one test for two.
//! 3. At its leaves the exceptions and the arguments are compared, these of 64 bits in two halves, and answers
//!    given.
//!
//! Calls that are always allowed need no place at the front: the kernel remembers them and does not run the
//! filter for them at all.
//!
//! Jumps go forward and, if they depend on a test, skip at most 255 instructions. So the program is made
//! from its end: what an instruction jumps to is there already, and what is too far away gets an island
//! on the way, a jump of any length, or a copy.

use std::collections::BTreeMap;
use std::fmt;

use crate::bpf::{
    ALU_AND_K, JA, JEQ_K, JGE_K, JGT_K, LD_W_ABS, OFFSET_ARCH, OFFSET_ARGS, OFFSET_NR, RET_K,
};
use crate::policy::{Answer, Condition, Op, Policy, Verdict};
use crate::{ALLOW, Arch, Instruction, MAX_LEN};

/// An instruction whose answer is changed to "allow" for a box that has one of these capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Which instruction.
    pub at: u16,
    /// The capabilities, a bit each.
    pub unless: u64,
}

/// A compiled program, good for boxes of any capabilities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// As for a box without capabilities.
    pub code: Vec<Instruction>,
    /// What capabilities change.
    pub leaves: Vec<Leaf>,
}

impl Program {
    /// The instructions for a box that has these capabilities.
    pub fn resolve(&self, capabilities: u64) -> Vec<Instruction> {
        resolve(&self.code, &self.leaves, capabilities)
    }
}

/// The instructions of a program for a box that has these capabilities.
pub fn resolve(code: &[Instruction], leaves: &[Leaf], capabilities: u64) -> Vec<Instruction> {
    let mut code = code.to_vec();
    for leaf in leaves.iter().filter(|leaf| leaf.unless & capabilities != 0) {
        if let Some(one) = code.get_mut(usize::from(leaf.at)) {
            one.k = ALLOW;
        }
    }
    code
}

/// A program would have more instructions than the kernel takes: this many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong(pub usize);

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(length) = self;
        write!(
            f,
            "the filter would have {length} instructions; the kernel takes at most {MAX_LEN}"
        )
    }
}

impl std::error::Error for TooLong {}

/// Compiles policies, of which the first is that of the machine. Calls of other architectures, and those of
/// x32, get the answer `foreign`.
///
/// # Errors
///
/// When the program would be too long.
pub fn compile(policies: &[Policy], foreign: Answer) -> Result<Program, TooLong> {
    let mut assembler = Assembler::default();
    let mut next = assembler.answer(foreign);
    let entries: Vec<(Arch, usize)> = policies
        .iter()
        .rev()
        .map(|policy| (policy.arch, assembler.policy(policy, foreign)))
        .collect();
    for (arch, entry) in entries {
        next = assembler.branch(JEQ_K, arch.audit(), entry, next);
    }
    assembler.push(LD_W_ABS, 0, 0, OFFSET_ARCH);
    assembler.finish()
}

/// Where x32's numbers begin: `__X32_SYSCALL_BIT` of `asm/unistd.h`.
const X32: u32 = 0x4000_0000;

/// An instruction, counted from the end of the program.
type Label = usize;

/// How far a jump with a test goes at most, with room for the islands of both its ways.
const NEAR: usize = 250;

#[derive(Default)]
struct Assembler {
    /// From the last to the first.
    code: Vec<Instruction>,
    leaves: BTreeMap<Label, u64>,
    answers: BTreeMap<Answer, Label>,
    verdicts: BTreeMap<Verdict, Label>,
}

impl Assembler {
    fn push(&mut self, code: u16, jt: usize, jf: usize, k: u32) -> Label {
        self.code.push(Instruction {
            code,
            jt: jt as u8,
            jf: jf as u8,
            k,
        });
        self.code.len() - 1
    }

    /// How many instructions the next one would have to skip.
    fn distance(&self, label: Label) -> usize {
        self.code.len() - 1 - label
    }

    fn answer(&mut self, answer: Answer) -> Label {
        let known = self.answers.get(&answer).copied();
        if let Some(label) = known.filter(|&label| self.distance(label) <= NEAR) {
            return label;
        }
        let label = self.push(RET_K, 0, 0, answer.word);
        if answer.unless != 0 {
            self.leaves.insert(label, answer.unless);
        }
        self.answers.insert(answer, label);
        label
    }

    /// The same place, or an island that leads there.
    fn near(&mut self, label: Label) -> Label {
        let distance = self.distance(label);
        if distance <= NEAR {
            return label;
        }
        let there = self.code[label];
        if there.code != RET_K {
            return self.push(JA, 0, 0, distance as u32);
        }
        self.answer(Answer {
            word: there.k,
            unless: self.leaves.get(&label).copied().unwrap_or(0),
        })
    }

    fn branch(&mut self, test: u16, k: u32, yes: Label, no: Label) -> Label {
        let yes = self.near(yes);
        let no = self.near(no);
        let (jt, jf) = (self.distance(yes), self.distance(no));
        self.push(test, jt, jf, k)
    }

    fn policy(&mut self, policy: &Policy, foreign: Answer) -> Label {
        let spans = spans(ranges(policy, foreign));
        let root = self.tree(&spans);
        // What is loaded is looked at next. A tree without a test may be an answer that is there already.
        let distance = self.distance(root);
        if distance > 0 {
            self.push(JA, 0, 0, distance as u32);
        }
        self.push(LD_W_ABS, 0, 0, OFFSET_NR)
    }

    fn tree(&mut self, spans: &[Span]) -> Label {
        match spans {
            [] => unreachable!("a tree has a span at least, and each half of two or more one"),
            [span] => {
                let mut next = self.verdict(&span.verdict);
                for (number, verdict) in span.exceptions.iter().rev() {
                    let entry = self.verdict(verdict);
                    next = self.branch(JEQ_K, *number, entry, next);
                }
                next
            }
            _ => {
                let (left, right) = spans.split_at(spans.len() / 2);
                let start = right[0].start;
                let right = self.tree(right);
                let left = self.tree(left);
                self.branch(JGE_K, start, right, left)
            }
        }
    }

    fn verdict(&mut self, verdict: &Verdict) -> Label {
        if verdict.rules.is_empty() {
            return self.answer(verdict.otherwise);
        }
        if let Some(&label) = self.verdicts.get(verdict) {
            return label;
        }
        let mut next = self.answer(verdict.otherwise);
        for rule in verdict.rules.iter().rev() {
            let mut entry = self.answer(rule.answer);
            for condition in rule.conditions.iter().rev() {
                entry = self.condition(condition, entry, next);
            }
            next = entry;
        }
        self.verdicts.insert(verdict.clone(), next);
        next
    }

    fn condition(&mut self, condition: &Condition, yes: Label, no: Label) -> Label {
        match condition.op {
            Op::Equal => self.equal(condition, yes, no),
            Op::NotEqual => self.equal(condition, no, yes),
            Op::Greater => self.greater(condition, JGT_K, yes, no),
            Op::GreaterOrEqual => self.greater(condition, JGE_K, yes, no),
            Op::Less => self.greater(condition, JGE_K, no, yes),
            Op::LessOrEqual => self.greater(condition, JGT_K, no, yes),
        }
    }

    fn equal(&mut self, condition: &Condition, yes: Label, no: Label) -> Label {
        let mut entry = yes;
        for half in [Half::high(condition), Half::low(condition)] {
            // What nobody looks at is 0.
            if half.mask == 0 && half.value == 0 {
                continue;
            }
            self.branch(JEQ_K, half.value, entry, no);
            entry = self.load(half);
        }
        entry
    }

    /// `test` is what the low halves decide if the high ones are equal.
    fn greater(&mut self, condition: &Condition, test: u16, yes: Label, no: Label) -> Label {
        let (low, high) = (Half::low(condition), Half::high(condition));
        self.branch(test, low.value, yes, no);
        let lows = self.load(low);
        let equal = self.branch(JEQ_K, high.value, lows, no);
        self.branch(JGT_K, high.value, yes, equal);
        self.load(high)
    }

    fn load(&mut self, half: Half) -> Label {
        if half.mask != u32::MAX {
            self.push(ALU_AND_K, 0, 0, half.mask);
        }
        self.push(LD_W_ABS, 0, 0, half.offset)
    }

    fn finish(mut self) -> Result<Program, TooLong> {
        let length = self.code.len();
        if length > MAX_LEN {
            return Err(TooLong(length));
        }
        self.code.reverse();
        let leaf = |(label, unless): (&Label, &u64)| Leaf {
            at: (length - 1 - label) as u16,
            unless: *unless,
        };
        Ok(Program {
            leaves: self.leaves.iter().rev().map(leaf).collect(),
            code: self.code,
        })
    }
}

/// Half of an argument.
#[derive(Clone, Copy)]
struct Half {
    offset: u32,
    mask: u32,
    value: u32,
}

impl Half {
    fn low(condition: &Condition) -> Self {
        Self {
            offset: OFFSET_ARGS + 8 * u32::from(condition.index),
            mask: condition.mask as u32,
            value: condition.value as u32,
        }
    }

    fn high(condition: &Condition) -> Self {
        Self {
            offset: OFFSET_ARGS + 8 * u32::from(condition.index) + 4,
            mask: (condition.mask >> 32) as u32,
            value: (condition.value >> 32) as u32,
        }
    }
}

/// Numbers with one verdict, from one on, but for a few.
struct Span {
    start: u32,
    verdict: Verdict,
    exceptions: Vec<(u32, Verdict)>,
}

/// The most exceptions of a span, which are tested one after the other: a tree over as many would be as deep.
const EXCEPTIONS: usize = 4;

fn spans(ranges: Vec<(u32, Verdict)>) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut ranges = ranges.into_iter().peekable();
    while let Some((start, verdict)) = ranges.next() {
        let last = spans.last_mut();
        if let Some(span) = last.filter(|span| span.exceptions.len() < EXCEPTIONS)
            && ranges
                .next_if(|(next, more)| next - start == 1 && *more == span.verdict)
                .is_some()
        {
            // The span goes on after it.
            span.exceptions.push((start, verdict));
            continue;
        }
        spans.push(Span {
            start,
            verdict,
            exceptions: Vec::new(),
        });
    }
    spans
}

/// Where each verdict begins: neighbours differ, and the first begins with 0.
fn ranges(policy: &Policy, foreign: Answer) -> Vec<(u32, Verdict)> {
    let mut ranges: Vec<(u32, Verdict)> = Vec::new();
    let mut add = |start: u32, verdict: Verdict| match ranges.last_mut() {
        Some(last) if last.1 == verdict => {}
        Some(last) if last.0 == start => last.1 = verdict,
        _ => ranges.push((start, verdict)),
    };
    let unknown = || Verdict::always(policy.unknown);
    let mut next = 0;
    for (&number, verdict) in &policy.calls {
        if number > next {
            add(next, unknown());
        }
        add(number, verdict.clone());
        next = number + 1;
    }
    add(next, unknown());
    if policy.arch == Arch::X86_64 {
        add(X32, Verdict::always(foreign));
    }
    ranges
}

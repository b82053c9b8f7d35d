// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is said of system calls: by name, and by number.

use std::collections::BTreeMap;

use crate::{ALLOW, Arch, calls};

/// What the kernel does about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Answer {
    /// A `SECCOMP_RET_*`, with its data.
    pub word: u32,
    /// The capabilities, a bit each, of which any one lets the call be made instead.
    pub unless: u64,
}

impl Answer {
    /// The call is made.
    pub const ALLOW: Self = Self::always(ALLOW);

    /// This answer, whatever the capabilities.
    pub const fn always(word: u32) -> Self {
        Self { word, unless: 0 }
    }
}

/// How an argument is compared: unsigned, all 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "they are called what they are")]
pub enum Op {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// `arg[index] & mask <op> value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Condition {
    /// Which argument: 0 to 5.
    pub index: u8,
    /// What of it is looked at.
    pub mask: u64,
    /// How it is compared.
    pub op: Op,
    /// What it is compared with.
    pub value: u64,
}

impl Condition {
    /// Whether it holds.
    pub fn holds(&self, args: &[u64; 6]) -> bool {
        let arg = args.get(usize::from(self.index)).copied().unwrap_or(0) & self.mask;
        match self.op {
            Op::Equal => arg == self.value,
            Op::NotEqual => arg != self.value,
            Op::Less => arg < self.value,
            Op::LessOrEqual => arg <= self.value,
            Op::Greater => arg > self.value,
            Op::GreaterOrEqual => arg >= self.value,
        }
    }
}

/// An answer if all conditions hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// There is at least one.
    pub conditions: Vec<Condition>,
    /// The answer then.
    pub answer: Answer,
}

/// All that is said of one call: the first rule that applies, or else the last answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Verdict {
    /// In their order.
    pub rules: Vec<Rule>,
    /// The answer if none applies.
    pub otherwise: Answer,
}

impl Verdict {
    /// The same answer whatever the arguments.
    pub fn always(answer: Answer) -> Self {
        Self {
            rules: Vec::new(),
            otherwise: answer,
        }
    }

    /// The answer to a call with these arguments.
    pub fn answer(&self, args: &[u64; 6]) -> Answer {
        let holds = |rule: &&Rule| rule.conditions.iter().all(|one| one.holds(args));
        let rule = self.rules.iter().find(holds);
        rule.map_or(self.otherwise, |rule| rule.answer)
    }
}

/// The verdicts about all numbers of one architecture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whose numbers they are.
    pub arch: Arch,
    /// Those that are spoken of.
    pub calls: BTreeMap<u32, Verdict>,
    /// The answer to all others.
    pub unknown: Answer,
}

/// Calls of which the same is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The answer.
    pub answer: Answer,
    /// If all of these hold; always if there is none.
    pub conditions: Vec<Condition>,
    /// The names of the calls. An architecture that has none of a name leaves it out.
    pub names: Vec<String>,
}

/// A policy for any architecture: what is said of calls by their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The answer to calls that are not spoken of.
    pub otherwise: Answer,
    /// The answer to numbers that the profile cannot speak of: without a name, or above all that it names.
    pub unknown: Answer,
    /// Sections with conditions are tried in their order. Of those without, the first that always gives
    /// an answer counts, and all that name capabilities.
    pub sections: Vec<Section>,
}

impl Profile {
    /// The same by the numbers of an architecture.
    pub fn policy(&self, arch: Arch) -> Policy {
        let numbers: BTreeMap<&str, u32> = calls(arch).collect();
        let mut named: BTreeMap<u32, (Vec<Rule>, Option<u32>, u64)> = BTreeMap::new();
        for section in &self.sections {
            let found = section.names.iter();
            for number in found.filter_map(|name| numbers.get(name.as_str())) {
                let (rules, word, unless) = named.entry(*number).or_default();
                let answer = section.answer;
                if !section.conditions.is_empty() {
                    rules.push(Rule {
                        conditions: section.conditions.clone(),
                        answer,
                    });
                } else if answer.unless == 0 {
                    word.get_or_insert(answer.word);
                } else {
                    *unless |= answer.unless;
                }
            }
        }
        let highest = named.last_key_value().map_or(0, |(number, _)| *number);
        let verdict = |(rules, word, unless): (Vec<Rule>, Option<u32>, u64)| Verdict {
            rules,
            otherwise: Answer {
                word: word.unwrap_or(self.otherwise.word),
                unless,
            },
        };
        let known = numbers.into_values().filter(|number| *number <= highest);
        let calls =
            known.map(|number| (number, verdict(named.remove(&number).unwrap_or_default())));
        Policy {
            arch,
            calls: calls.collect(),
            unknown: self.unknown,
        }
    }
}

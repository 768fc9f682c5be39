//! What a process and its children cost: CPU time and memory, read from /proc.

use std::collections::HashMap;
use std::fs;

/// Linux counts CPU time in hundredths of a second for everybody who reads it from /proc.
const TICK_MICROS: u64 = 10_000;

/// What a tree of processes has used up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// User and system time of all threads, in microseconds.
    pub(crate) cpu_micros: u64,
    /// Resident memory, in bytes; what two of them share counts twice.
    pub(crate) resident: u64,
    /// Resident memory, in bytes; what n processes of the machine share counts an nth.
    pub(crate) proportional: u64,
}

/// Reads the usage of a process and everybody below it.
pub(crate) fn usage(root: u32) -> Usage {
    let stats = stats();
    let mut sum = Usage::default();
    for (pid, stat) in &stats {
        if below(&stats, *pid, root) {
            sum.cpu_micros += stat.ticks * TICK_MICROS;
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            sum.resident += field(&text, "Rss:").unwrap_or(0) * 1024;
            sum.proportional += field(&text, "Pss:").unwrap_or(0) * 1024;
        }
    }
    sum
}

struct Stat {
    parent: u32,
    ticks: u64,
}

fn stats() -> HashMap<u32, Stat> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let line = fs::read_to_string(entry.path().join("stat")).ok()?;
            Some((pid, parse(&line)?))
        })
        .collect()
}

/// The fields after the name, which stands in brackets and may hold anything.
fn parse(line: &str) -> Option<Stat> {
    let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Stat {
        parent: u32::try_from(number(1)?).ok()?,
        ticks: number(11)? + number(12)?,
    })
}

fn below(stats: &HashMap<u32, Stat>, mut pid: u32, root: u32) -> bool {
    while pid != root {
        match stats.get(&pid) {
            Some(stat) if stat.parent != pid => pid = stat.parent,
            _ => return false,
        }
    }
    stats.contains_key(&root)
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

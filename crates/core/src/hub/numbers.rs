//! What is known of descriptor numbers, in the whole process.
//!
//! The kernel hands a number out again as soon as it is free. Whatever is remembered under a number is
//! therefore remembered with its generation, which changes when we are told that the number has changed
//! hands.

use std::os::fd::RawFd;

use pyo3::prelude::*;

use crate::cell::GilCell;

/// What is known of a descriptor number.
#[derive(Clone, Copy, Default)]
struct Number {
    /// How often it has changed hands, as far as we were told.
    generation: u32,
    /// Who has made the descriptor non-blocking for Eventlet's sake: any number, 0 for nobody.
    owner: usize,
}

static NUMBERS: GilCell<Vec<Number>> = GilCell::new(Vec::new());

/// How often the number `fd` has changed hands, as far as we were told.
#[inline]
pub fn generation(py: Python<'_>, fd: RawFd) -> u32 {
    number(py, fd).generation
}

/// Who has made the descriptor non-blocking for Eventlet's sake, 0 for nobody: a program that uses it by its
/// number expects it to wait.
pub fn owner(py: Python<'_>, fd: RawFd) -> usize {
    number(py, fd).owner
}

#[inline]
fn number(py: Python<'_>, fd: RawFd) -> Number {
    NUMBERS.with(py, |numbers| {
        usize::try_from(fd)
            .ok()
            .and_then(|index| numbers.get(index).copied())
            .unwrap_or_default()
    })
}

/// Notes that the number `fd` has changed hands: it was just opened, or is about to be closed. Nobody owns
/// it then.
///
/// Returns the new count.
#[inline]
pub fn next_generation(py: Python<'_>, fd: RawFd) -> u32 {
    change(py, fd, |number| {
        number.generation = number.generation.wrapping_add(1);
        number.owner = 0;
    })
    .generation
}

/// Notes who has made the descriptor non-blocking.
pub fn set_owner(py: Python<'_>, fd: RawFd, owner: usize) {
    change(py, fd, |number| number.owner = owner);
}

fn change(py: Python<'_>, fd: RawFd, change: impl FnOnce(&mut Number)) -> Number {
    NUMBERS.with(py, |numbers| {
        let Ok(index) = usize::try_from(fd) else {
            return Number::default();
        };
        if index >= numbers.len() {
            if !is_open(fd) {
                return Number::default();
            }
            numbers.resize((index + 1).next_power_of_two(), Number::default());
        }
        change(&mut numbers[index]);
        numbers[index]
    })
}

/// Whether there is such a descriptor: no table grows for a number that somebody made up.
#[cold]
pub(super) fn is_open(fd: RawFd) -> bool {
    // SAFETY: F_GETFD only looks the number up.
    unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 }
}

//! Primitives that green threads wait on.

pub mod event;
pub mod waiters;

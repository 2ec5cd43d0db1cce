//! Primitives that green threads wait on.
//!
//! | module | what it is |
//! |---|---|
//! | [`waiters`] | a line of green threads, of any hub |
//! | [`watchers`] | those who wait for one of several things |
//! | [`event`] | one value for everybody who waits |
//! | [`semaphore`], [`acquire`] | units that are taken and given back; locks |
//! | [`rlock`] | a lock that its owner may take again |
//! | [`condition`] | waiting until somebody says that something has changed |
//! | [`lock_types`] | the standard library's own locks |
//! | [`queue`] | items that some put in and others get out |
//! | [`simple_queue`] | the same without limits and hooks |

mod acquire;
mod args;
pub mod condition;
pub mod event;
pub mod lock_types;
pub mod queue;
pub mod rlock;
pub mod semaphore;
pub mod simple_queue;
pub mod waiters;
mod watchers;

use pyo3::prelude::*;

use crate::hub::entry::add_method;

/// Adds the classes to the module.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add_class::<event::Event>()?;
    add_method::<event::Wait>(&py.get_type::<event::Event>())?;
    module.add_class::<semaphore::Semaphore>()?;
    module.add_class::<semaphore::BoundedSemaphore>()?;
    module.add_class::<semaphore::Lock>()?;
    acquire::add_methods(py)?;
    module.add_class::<rlock::RLock>()?;
    module.add_class::<condition::Condition>()?;
    module.add_class::<simple_queue::SimpleQueue>()?;
    module.add_class::<queue::LightQueue>()?;
    add_method::<queue::GetCall>(&py.get_type::<queue::LightQueue>())?;
    module.add_class::<queue::Queue>()?;
    module.add_class::<queue::LifoQueue>()?;
    module.add_class::<queue::PriorityQueue>()?;
    lock_types::add_to(module)
}

//! Primitives that green threads wait on.
//!
//! | module | what it is |
//! |---|---|
//! | [`waiters`] | a line of green threads, of any hub |
//! | [`watchers`] | those who wait for one of several things |
//! | [`event`] | one value for everybody who waits |
//! | [`semaphore`] | units that are taken and given back; locks |
//! | [`queue`] | items that some put in and others get out |

mod args;
pub mod event;
pub mod queue;
pub mod semaphore;
pub mod waiters;
mod watchers;

use pyo3::prelude::*;

use crate::hub::call::add_method;

/// Adds the classes to the module.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add_class::<event::Event>()?;
    add_method::<event::Wait>(&py.get_type::<event::Event>())?;
    module.add_class::<semaphore::Semaphore>()?;
    module.add_class::<semaphore::BoundedSemaphore>()?;
    module.add_class::<semaphore::Lock>()?;
    module.add_class::<queue::LightQueue>()?;
    module.add_class::<queue::Queue>()?;
    module.add_class::<queue::LifoQueue>()?;
    module.add_class::<queue::PriorityQueue>()
}

//! Green threads: `spawn`, what comes of them, and how they are killed.
//!
//! A green thread is a greenlet whose function is a [`Body`]. The body is the trampoline at the bottom of
//! the green thread's stack: it calls the user's function, keeps what came of it, wakes whoever waits for
//! that and calls the links. Nothing that the function raises passes it, but for the two exceptions that end
//! programs.
//!
//! `GreenThread`, a subclass of `greenlet.greenlet`, is defined in Python. Its methods are native all the
//! same: it also inherits from [`GreenThreadBase`], a class without any data, whose methods find the body
//! through a slot of the instance.

mod body;
mod kill;
mod methods;
mod outcome;
mod spawn;
mod trampoline;

use pyo3::prelude::*;

use self::body::Body;
pub use self::kill::{exception_from, throw_from_hub};
use self::methods::{GreenThreadBase, Join};
use crate::hub::entry;

/// Adds the classes and functions to the module.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Body>()?;
    module.add_class::<GreenThreadBase>()?;
    entry::add_method::<Join>(&module.py().get_type::<GreenThreadBase>())?;
    module.add_function(wrap_pyfunction!(spawn::set_spawn_stacks, module)?)?;
    module.add_function(wrap_pyfunction!(spawn::spawn, module)?)?;
    module.add_function(wrap_pyfunction!(spawn::spawn_n, module)?)?;
    module.add_function(wrap_pyfunction!(spawn::spawn_after, module)?)?;
    module.add_function(wrap_pyfunction!(spawn::spawn_after_local, module)?)?;
    module.add_function(wrap_pyfunction!(kill::kill, module)?)?;
    module.add_function(wrap_pyfunction!(kill::cancel, module)?)
}

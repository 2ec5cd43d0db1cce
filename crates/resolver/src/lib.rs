//! Looking up names in threads of one's own, by the functions of the C library.
//!
//! They are the only ones that give the answers which every other program on the machine gets: from
//! files, name servers, directories, and whatever else an administrator has configured. And they block.
//!
//! | module | what it is |
//! |---|---|
//! | [`query`] | what can be asked, and what the answer may be |
//! | [`system`] | asking the C library |
//! | [`pool`] | threads that ask, and everybody who waits for the same answer |
//!
//! Nothing here knows of Python, and no thread of a [`Pool`](pool::Pool) ever needs its lock: a lookup
//! costs the program that waits for it no more than waking a thread and being woken.

pub mod pool;
pub mod query;
pub mod system;

//! A defect that hits only one booking must not end the worker, and with it everybody's bookings, again and again (rule K6).
//! Code that decides about a single record is called through here: a panic in it is an answer like any other.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// The result of `decide`, or none if it panicked. It must not change anything that is used afterwards.
pub fn caught<T>(decide: impl FnOnce() -> T) -> Option<T> {
    let outer = IS_CAUGHT.replace(true);
    let decided = catch_unwind(AssertUnwindSafe(decide));
    IS_CAUGHT.set(outer);
    decided.ok()
}

/// Whether a panic on this thread would be caught here: then the process need not end.
pub fn is_caught() -> bool {
    IS_CAUGHT.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_answer_and_only_inside() {
        assert_eq!(caught(|| (is_caught(), 7)), Some((true, 7)));
        assert_eq!(caught(|| -> i32 { panic!("a defect") }), None);
        assert!(!is_caught());
        assert_eq!(caught(|| (caught(|| -> i32 { panic!("inner") }), is_caught())), Some((None, true)));
    }
}

//! An answer that comes in pages, gathered until the last one.

/// Most pages of a look-up. A HealthFlow whose cursors never end must neither block a booking nor fill the memory.
pub const PAGES_MAX: usize = 100;

/// The pages of one answer so far.
#[derive(Clone, Debug, Hash)]
pub struct Pages<T> {
    found: Vec<T>,
    cursor: Option<String>,
    read: usize,
}

/// There were too many pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endless;

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Pages { found: Vec::new(), cursor: None, read: 0 }
    }
}

impl<T> Pages<T> {
    /// Where the next page starts; none before the first one.
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// Adds one more page, of at most `pages_max`. Returns everything found once it was the last one; then, and after an
    /// error, the next answer begins.
    ///
    /// # Errors
    /// It is one page too many.
    pub fn take_in(
        &mut self,
        found: Vec<T>,
        next: Option<String>,
        pages_max: usize,
    ) -> Result<Option<Vec<T>>, Endless> {
        self.found.extend(found);
        self.cursor = next;
        self.read += 1;
        if self.cursor.is_none() {
            return Ok(Some(std::mem::take(self).found));
        }
        if self.read >= pages_max {
            *self = Pages::default();
            return Err(Endless);
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_gathered_until_the_last_one_and_end_at_the_limit() {
        let mut pages = Pages::default();
        assert_eq!(pages.take_in(vec![1, 2], Some("next".into()), PAGES_MAX), Ok(None));
        assert_eq!(pages.cursor(), Some("next"));
        assert_eq!(pages.take_in(vec![3], None, PAGES_MAX), Ok(Some(vec![1, 2, 3])));
        assert_eq!(pages.cursor(), None);
        for _ in 1..PAGES_MAX {
            assert_eq!(pages.take_in(vec![1], Some("next".into()), PAGES_MAX), Ok(None));
        }
        assert_eq!(pages.take_in(vec![1], Some("next".into()), PAGES_MAX), Err(Endless));
        assert_eq!(pages.take_in(vec![4], None, PAGES_MAX), Ok(Some(vec![4])), "nothing of it is left");
    }
}

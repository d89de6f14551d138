//! One task: the partition number of all topics, with its lanes, its jobs and what it commits.

pub mod commit_batch;

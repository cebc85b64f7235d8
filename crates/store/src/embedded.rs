//! The store of a single process: a log in one file, chunks in memory.

//! Load on the local cloud.

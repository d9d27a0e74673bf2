//! Load simulation and benchmarks.

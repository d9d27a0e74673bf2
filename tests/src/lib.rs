//! Whole-system tests on the local cloud.

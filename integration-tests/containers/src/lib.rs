//! Tests of providers against servers in containers: see `tests/`.

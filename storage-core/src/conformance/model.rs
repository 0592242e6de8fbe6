//! The plain reference that search and the state machine are compared with.

//! Bugs that tests plant on purpose, to prove that they would find them. Without the feature `fault-injection` there are none.

/// A bug that a test plants on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Every 16th new entry of the tag index is left out.
    SkipIndexEntry,
    /// Every 16th delete leaves the entry of the creation time behind.
    KeepIndexEntry,
    /// Callers are told that a write is done a moment before it is committed.
    AcknowledgeBeforeSync,
}

#[cfg(feature = "fault-injection")]
impl std::str::FromStr for Fault {
    type Err = String;

    /// Reads the name of a variant, in any case and with or without hyphens.
    fn from_str(name: &str) -> Result<Self, String> {
        let plain = name.replace(['-', '_'], "").to_lowercase();
        match plain.as_str() {
            "skipindexentry" => Ok(Self::SkipIndexEntry),
            "keepindexentry" => Ok(Self::KeepIndexEntry),
            "acknowledgebeforesync" => Ok(Self::AcknowledgeBeforeSync),
            _ => Err(format!("{name:?} is no fault")),
        }
    }
}

/// The bugs planted in a store.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    #[cfg(feature = "fault-injection")]
    pub(crate) planted: Option<Fault>,
}

impl Faults {
    /// Whether this bug is planted.
    #[cfg(feature = "fault-injection")]
    pub(crate) fn has(self, fault: Fault) -> bool {
        self.planted == Some(fault)
    }

    /// Without the feature no bug is planted, and the compiler drops what asks for one.
    #[cfg(not(feature = "fault-injection"))]
    pub(crate) const fn has(self, _fault: Fault) -> bool {
        false
    }
}

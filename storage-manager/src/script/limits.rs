//! How large a value may be.

use super::{ScriptError, ScriptErrorKind, patience::Patience};

/// How large a value may be. Checked before anything is stored, and again when a value is read.
///
/// Shared tables are counted as often as they are reached, because that is how often they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScriptLimits {
    /// Most tables within each other. Default, and at most: 128.
    pub depth: usize,
    /// Most values, tables and their members counted alike. Default: 1,000,000.
    pub nodes: usize,
    /// Most bytes of the stored form. Default: 16 MiB.
    pub bytes: usize,
}

impl ScriptLimits {
    /// Tables within each other that no setting allows to exceed: reading walks them on the stack.
    pub const MOST_DEPTH: usize = 128;
}

impl Default for ScriptLimits {
    fn default() -> Self {
        Self { depth: Self::MOST_DEPTH, nodes: 1_000_000, bytes: 16 << 20 }
    }
}

/// What is left of the limits during a walk over a value: for whoever turns values of a script into [`ScriptValue`]s or
/// into bytes, so that a bomb of shared tables is refused before it takes memory. It also ends with the time of the script
/// that is running, if one is.
///
/// [`ScriptValue`]: super::ScriptValue
#[derive(Debug, Clone)]
pub struct Budget {
    limits: ScriptLimits,
    depth: usize,
    nodes: usize,
    bytes: usize,
    patience: Patience,
}

impl Budget {
    /// The whole of `limits`.
    pub fn new(limits: ScriptLimits) -> Self {
        let depth = limits.depth.min(ScriptLimits::MOST_DEPTH);
        let limits = ScriptLimits { depth, ..limits };
        let patience = Patience::of_this_task();
        Self { limits, depth, nodes: limits.nodes, bytes: limits.bytes, patience }
    }

    /// Pays for one value of at least `bytes` bytes.
    ///
    /// # Errors
    /// [`Excess`] if that is more than what is left, or the script is out of time.
    pub fn spend(&mut self, bytes: usize) -> Result<(), Excess> {
        if self.patience.is_over() {
            return Err(Excess::Time);
        }
        self.nodes = self.nodes.checked_sub(1).ok_or(Excess::Nodes(self.limits.nodes))?;
        self.spend_bytes(bytes)
    }

    /// Pays for bytes alone, such as those of a key.
    ///
    /// # Errors
    /// [`Excess`] if that is more than what is left.
    pub fn spend_bytes(&mut self, bytes: usize) -> Result<(), Excess> {
        self.bytes = self.bytes.checked_sub(bytes).ok_or(Excess::Bytes(self.limits.bytes))?;
        Ok(())
    }

    /// Goes into a table; [`leave`](Self::leave) goes out again.
    ///
    /// # Errors
    /// [`Excess`] if that is one level too deep.
    pub fn enter(&mut self) -> Result<(), Excess> {
        self.depth = self.depth.checked_sub(1).ok_or(Excess::Depth(self.limits.depth))?;
        Ok(())
    }

    /// Goes out of a table.
    pub const fn leave(&mut self) {
        self.depth += 1;
    }
}

/// The limit that a value exceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Excess {
    /// More than this many tables within each other.
    Depth(usize),
    /// More than this many values.
    Nodes(usize),
    /// More than this many bytes.
    Bytes(usize),
    /// More than there was time for.
    Time,
}

impl std::fmt::Display for Excess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Depth(most) => write!(f, "more than {most} tables within each other"),
            Self::Nodes(most) => write!(f, "more than {most} values"),
            Self::Bytes(most) => write!(f, "more than {most} bytes"),
            Self::Time => f.write_str("more than there was time for"),
        }
    }
}

impl Excess {
    /// The refusal of a value that has this excess at `path`.
    pub fn at(self, path: &super::ValuePath) -> ScriptError {
        match self {
            Self::Time => ScriptError::new(ScriptErrorKind::Timeout, "the script is out of time"),
            _ => ScriptError::invalid(format!("{path}: {self} cannot be stored")),
        }
    }
}

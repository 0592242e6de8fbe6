//! Which of a cluster's 16,384 slots a key belongs to.

/// The number of slots of every cluster.
pub(crate) const SLOTS: u16 = 16_384;

/// A slot: what a cluster distributes over its nodes. Keys of one call share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Slot(u16);

impl Slot {
    /// The slot of `key`: of the text between the first `{` and the next `}`, if there is any, else of the whole key.
    pub(crate) fn of(key: &[u8]) -> Self {
        Self(crc16(hash_tag(key).unwrap_or(key)) % SLOTS)
    }

    /// The number of the slot, below [`SLOTS`].
    pub(crate) fn number(self) -> u16 {
        self.0
    }

    /// The slot of this number, if there is one.
    pub(crate) fn from_number(number: u16) -> Option<Self> {
        (number < SLOTS).then_some(Self(number))
    }
}

fn hash_tag(key: &[u8]) -> Option<&[u8]> {
    let open = key.iter().position(|&byte| byte == b'{')?;
    let rest = key.get(open + 1..)?;
    let close = rest.iter().position(|&byte| byte == b'}')?;
    rest.get(..close).filter(|tag| !tag.is_empty())
}

/// CRC-16/XMODEM, which is what clusters use.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| shifted(crc)))
}

fn shifted(crc: u16) -> u16 {
    if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The figures are what `CLUSTER KEYSLOT` answers.
    #[test]
    fn slots_are_those_of_the_server() {
        let known: [(&[u8], u16); 6] = [
            (b"", 0),
            (b"123456789", 12_739),
            (b"foo", 12_182),
            (b"{user1000}.following", 3_443),
            (b"foo{}{bar}", 8_363),
            (b"foo{{bar}}zap", 4_015),
        ];
        for (key, slot) in known {
            assert_eq!(Slot::of(key).number(), slot, "{}", String::from_utf8_lossy(key));
        }
    }

    #[test]
    fn a_tag_alone_decides() {
        assert_eq!(Slot::of(b"a:{t}:x"), Slot::of(b"{t}"));
        assert_eq!(Slot::of(b"a:{t}{u}"), Slot::of(b"t"));
        assert_eq!(Slot::from_number(SLOTS), None);
    }
}

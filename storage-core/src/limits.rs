//! The limits of the contract, the same on every backend.

/// Longest key, in bytes of UTF-8: 1,024.
pub const MAX_KEY_BYTES: usize = 1_024;
/// Longest content type, in bytes of ASCII: 255.
pub const MAX_CONTENT_TYPE_BYTES: usize = 255;
/// Most tags on one item: 64.
pub const MAX_TAGS: usize = 64;
/// Longest tag name, in bytes of UTF-8: 128.
pub const MAX_TAG_NAME_BYTES: usize = 128;
/// Longest tag value, in bytes of UTF-8: 1,024.
pub const MAX_TAG_VALUE_BYTES: usize = 1_024;
/// Largest payload unless a provider is configured otherwise: 64 MiB.
pub const MAX_PAYLOAD_BYTES: u64 = 64 * 1_024 * 1_024;
/// Longest search pattern, in bytes of UTF-8: 4,096 (every byte of a longest key can be escaped or put into a class).
pub const MAX_PATTERN_BYTES: usize = 4_096;
/// Most hits on one page of a search: 10,000.
pub const MAX_PAGE_SIZE: usize = 10_000;

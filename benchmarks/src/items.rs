//! The items of all benches: 256 bytes of payload, three tags, keys like `user:000000042`.

use bytes::Bytes;
use rand::{SeedableRng, rngs::SmallRng};
use rand_distr::{Distribution, Zipf};
use storage_core::{ItemKey, SaveRequest};

/// The content type of all bench items.
pub(crate) const TYPE: &str = "session";
/// Payload bytes.
pub(crate) const PAYLOAD: usize = 256;
/// How many items share one value of the tag `group`.
pub(crate) const GROUP: u64 = 100;

/// The key of item `n`.
pub(crate) fn key(n: u64) -> String {
    format!("user:{n:09}")
}

/// The identity of a key made by [`key`].
pub(crate) fn identity(key: &str) -> ItemKey<'_> {
    ItemKey::new(TYPE, key).expect("bench keys are valid")
}

/// A save of item `n` under `key`, with its tags.
pub(crate) fn request<'a>(key: &'a str, n: u64, payload: &Bytes) -> SaveRequest<'a> {
    SaveRequest::new(identity(key), payload.clone())
        .tag("group", (n / GROUP).to_string())
        .tag("region", if n.is_multiple_of(2) { "eu" } else { "us" })
        .tag("tier", if n.is_multiple_of(10) { "gold" } else { "free" })
}

/// The payload of every item.
pub(crate) fn payload() -> Bytes {
    Bytes::from(vec![b'x'; PAYLOAD])
}

/// Item numbers below `items` with the skew of real traffic (Zipf, exponent 0.99), spread over the key space.
pub(crate) fn skewed(items: u64, count: usize, seed: u64) -> Vec<u64> {
    let mut random = SmallRng::seed_from_u64(seed);
    let zipf = Zipf::new(items as f64, 0.99).expect("the exponent is positive");
    let spread = |rank: f64| (rank as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) % items;
    (0..count).map(|_| spread(zipf.sample(&mut random))).collect()
}

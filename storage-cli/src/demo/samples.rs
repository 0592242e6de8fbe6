//! Items for a tour through a directory without files.

use bytes::Bytes;

use super::scan::Source;

const SAMPLES: [(&str, &str, &str); 6] = [
    ("txt", "notes/welcome.txt", "Every item has a content type, a key, data and tags.\n"),
    ("txt", "notes/deadlines.txt", "An item with a deadline is gone the moment it is reached.\n"),
    ("txt", "notes/versions.txt", "Every write gives an item a higher version.\n"),
    ("json", "profiles/user-1.json", "{\"name\": \"first user\", \"tier\": \"gold\"}\n"),
    ("json", "profiles/user-2.json", "{\"name\": \"second user\", \"tier\": \"silver\"}\n"),
    ("md", "reports/2026/first.md", "# First report\n\nNothing to report.\n"),
];

/// The samples.
pub(super) fn all() -> Vec<Source> {
    let sample = |(content_type, key, data): (&str, &str, &'static str)| {
        Source::new(content_type.to_owned(), key.to_owned(), Bytes::from_static(data.as_bytes()))
    };
    SAMPLES.into_iter().map(sample).collect()
}

//! The files below a directory, and those that are left out, with reasons.

use std::{
    fmt,
    fs::{self, File, ReadDir},
    io::{self, Read},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use storage_manager::{ItemKey, MAX_PAYLOAD_BYTES, Tags};

/// Directories that tools make and fill: their content is no one's work.
const MADE_BY_TOOLS: [&str; 6] = [".git", ".hg", ".jj", ".svn", "node_modules", "target"];

/// Why something below the directory is not saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Skipped {
    ToolDirectory,
    OwnStore,
    SymbolicLink,
    SpecialFile,
    Unreadable,
    UnfitName,
    TooLarge,
}

impl Skipped {
    /// What was left out, for people.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::ToolDirectory => "version control and build directories",
            Self::OwnStore => "the store itself",
            Self::SymbolicLink => "symbolic links",
            Self::SpecialFile => "neither files nor directories",
            Self::Unreadable => "unreadable files",
            Self::UnfitName => "names that no key can have",
            Self::TooLarge => "files larger than an item can be",
        }
    }

    /// The same in JSON.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::ToolDirectory => "tool_directory",
            Self::OwnStore => "own_store",
            Self::SymbolicLink => "symbolic_link",
            Self::SpecialFile => "special_file",
            Self::Unreadable => "unreadable",
            Self::UnfitName => "unfit_name",
            Self::TooLarge => "too_large",
        }
    }
}

/// A file that can be saved.
#[derive(Debug)]
pub(super) struct Candidate {
    path: PathBuf,
    /// The path below the directory, with `/` between its parts.
    pub(super) key: String,
}

impl Candidate {
    /// The extension in small letters, with `_` for what a content type cannot hold; `file` without one.
    pub(super) fn content_type(&self) -> String {
        content_type(&self.path)
    }
}

/// Something below the directory.
pub(super) type Found = Result<Candidate, Skipped>;

/// A walk over everything below a directory, in no particular order, without following symbolic links. It holds one
/// open directory per level and no list of files.
#[derive(Debug)]
pub(super) struct Walk {
    own_store: Option<PathBuf>,
    levels: Vec<Level>,
}

struct Level {
    entries: ReadDir,
    /// The key of the directory with its `/`, empty at the top; `None` below a name that no key can have.
    prefix: Option<String>,
}

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Level").field(&self.prefix).finish()
    }
}

impl Walk {
    /// A walk below `dir`, leaving out `own_store`.
    ///
    /// # Errors
    /// `dir` is no directory that can be listed.
    pub(super) fn new(dir: &Path, own_store: Option<&Path>) -> io::Result<Self> {
        let top = Level { entries: fs::read_dir(dir)?, prefix: Some(String::new()) };
        let own_store = own_store.and_then(|path| path.canonicalize().ok());
        let is_within_store = own_store
            .as_ref()
            .is_some_and(|store| dir.canonicalize().is_ok_and(|dir| dir.starts_with(store)));
        Ok(Self { own_store, levels: if is_within_store { Vec::new() } else { vec![top] } })
    }

    fn visit(&mut self, entry: &fs::DirEntry, prefix: Option<&str>) -> Option<Found> {
        let Ok(kind) = entry.file_type() else { return Some(Err(Skipped::Unreadable)) };
        let key = prefix.and_then(|prefix| Some(format!("{prefix}{}", entry.file_name().to_str()?)));
        if kind.is_dir() {
            self.enter(entry, key).err().map(Err)
        } else if kind.is_symlink() {
            Some(Err(Skipped::SymbolicLink))
        } else if kind.is_file() {
            Some(key.ok_or(Skipped::UnfitName).map(|key| Candidate { path: entry.path(), key }))
        } else {
            Some(Err(Skipped::SpecialFile))
        }
    }

    fn enter(&mut self, entry: &fs::DirEntry, key: Option<String>) -> Result<(), Skipped> {
        let path = entry.path();
        if MADE_BY_TOOLS.iter().any(|name| entry.file_name() == *name) || path.join("CACHEDIR.TAG").exists() {
            return Err(Skipped::ToolDirectory);
        }
        if self.own_store.is_some() && path.canonicalize().ok() == self.own_store {
            return Err(Skipped::OwnStore);
        }
        let entries = fs::read_dir(path).map_err(|_| Skipped::Unreadable)?;
        self.levels.push(Level { entries, prefix: key.map(|key| key + "/") });
        Ok(())
    }
}

impl Iterator for Walk {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        loop {
            let level = self.levels.last_mut()?;
            let found = match level.entries.next() {
                None => {
                    self.levels.pop();
                    None
                }
                Some(Err(_)) => Some(Err(Skipped::Unreadable)),
                Some(Ok(entry)) => {
                    let prefix = level.prefix.clone();
                    self.visit(&entry, prefix.as_deref())
                }
            };
            if found.is_some() {
                return found;
            }
        }
    }
}

/// A file as it is saved.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) content_type: String,
    pub(super) key: String,
    pub(super) data: Bytes,
    pub(super) tags: Tags,
}

impl Source {
    /// Reads a file.
    ///
    /// # Errors
    /// The reason why it cannot be an item.
    pub(super) fn read(candidate: Candidate) -> Result<Self, Skipped> {
        let content_type = candidate.content_type();
        let Candidate { path, key } = candidate;
        ItemKey::new(&content_type, &key).map_err(|_| Skipped::UnfitName)?;
        let data = read(&path)?;
        Ok(Self::new(content_type, key, data))
    }

    /// An item with the tags that every item of the tour has: extension, size class, top folder.
    pub(super) fn new(content_type: String, key: String, data: Bytes) -> Self {
        let folder = key.split_once('/').map_or(".", |(top, _)| top);
        let tags = Tags::from([
            ("ext", content_type.as_str()),
            ("folder", folder),
            ("size", size_class(data.len())),
        ]);
        Self { content_type, key, data, tags }
    }
}

fn read(path: &Path) -> Result<Bytes, Skipped> {
    let mut data = Vec::new();
    let file = File::open(path).map_err(|_| Skipped::Unreadable)?;
    if file.metadata().is_ok_and(|metadata| metadata.len() > MAX_PAYLOAD_BYTES) {
        return Err(Skipped::TooLarge);
    }
    // The file may be growing.
    file.take(MAX_PAYLOAD_BYTES + 1).read_to_end(&mut data).map_err(|_| Skipped::Unreadable)?;
    if data.len() as u64 > MAX_PAYLOAD_BYTES { Err(Skipped::TooLarge) } else { Ok(data.into()) }
}

fn content_type(path: &Path) -> String {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    let fits = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    match extension {
        Some(text) if (1..=32).contains(&text.len()) => {
            text.chars().map(|c| if fits(c) { c } else { '_' }).collect()
        }
        _ => "file".to_owned(),
    }
}

const fn size_class(bytes: usize) -> &'static str {
    match bytes {
        0 => "empty",
        1..1_024 => "tiny",
        1_024..65_536 => "small",
        65_536..1_048_576 => "medium",
        _ => "large",
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, ffi::OsStr, os::unix::ffi::OsStrExt};

    use super::*;

    #[test]
    fn content_types_are_extensions_made_fit() {
        for (path, expected) in [
            ("a/main.rs", "rs"),
            ("A.JPEG", "jpeg"),
            ("x.tar.gz", "gz"),
            ("Makefile", "file"),
            (".gitignore", "file"),
            ("a.", "file"),
            ("a.b c", "b_c"),
            ("a.é", "_"),
            ("a.*", "_"),
        ] {
            let found = content_type(Path::new(path));
            assert_eq!(found, expected, "{path}");
            assert!(ItemKey::new(&found, "k").is_ok(), "{path}");
        }
        assert_eq!(content_type(Path::new(&format!("a.{}", "x".repeat(300)))), "file");
    }

    #[test]
    fn everything_is_found_or_counted_with_its_reason() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path();
        for folder in ["src/deep", ".git", "target", "cache", "store", "odd"] {
            fs::create_dir_all(dir.join(folder)).unwrap();
        }
        for file in ["a.txt", "src/deep/b.rs", ".git/c", "target/d", "cache/CACHEDIR.TAG", "store/e"] {
            fs::write(dir.join(file), "x").unwrap();
        }
        for name in [&b"bell\x07"[..], b"\xff"] {
            fs::write(dir.join("odd").join(OsStr::from_bytes(name)), "x").unwrap();
        }
        std::os::unix::fs::symlink(dir, dir.join("loop")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(dir.join("socket")).unwrap();

        let (mut keys, mut skipped) = (Vec::new(), BTreeMap::new());
        for found in Walk::new(dir, Some(&dir.join("store"))).unwrap() {
            match found.and_then(Source::read) {
                Ok(source) => keys.push(source.key),
                Err(reason) => *skipped.entry(reason).or_insert(0) += 1,
            }
        }
        keys.sort();
        assert_eq!(keys, ["a.txt", "src/deep/b.rs"]);
        let expected = [
            (Skipped::ToolDirectory, 3),
            (Skipped::OwnStore, 1),
            (Skipped::SymbolicLink, 1),
            (Skipped::SpecialFile, 1),
            (Skipped::UnfitName, 2),
        ];
        assert_eq!(skipped, BTreeMap::from(expected));
    }

    #[test]
    fn a_file_that_no_item_can_hold_is_left_out() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("huge.bin");
        File::create(&path).unwrap().set_len(MAX_PAYLOAD_BYTES + 1).unwrap();
        let candidate = Candidate { path, key: "huge.bin".to_owned() };
        assert_eq!(Source::read(candidate).unwrap_err(), Skipped::TooLarge);
    }

    #[test]
    fn tags_say_extension_size_and_top_folder() {
        let source = Source::new("rs".to_owned(), "src/deep/b.rs".to_owned(), Bytes::from_static(b"x"));
        assert_eq!(source.tags, Tags::from([("ext", "rs"), ("folder", "src"), ("size", "tiny")]));
        let top = Source::new("file".to_owned(), "README".to_owned(), Bytes::new());
        assert_eq!((top.tags.get("folder"), top.tags.get("size")), (Some("."), Some("empty")));
    }
}

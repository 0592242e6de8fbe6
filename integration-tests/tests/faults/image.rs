//! Images of a store's directory in memory, to be damaged and written out again and again.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The files of a directory. Journals are allocated ahead, so that trailing zeros are kept as a length alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) files: BTreeMap<PathBuf, Content>,
    folders: Vec<PathBuf>,
}

/// A file: its bytes up to the last one that is not zero, and its length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) bytes: Vec<u8>,
    pub(crate) length: u64,
}

impl Image {
    /// Takes a picture of `root`, which nobody may be writing to.
    pub(crate) fn of(root: &Path) -> Self {
        let mut image = Self { files: BTreeMap::new(), folders: Vec::new() };
        image.add(root, Path::new(""));
        image
    }

    fn add(&mut self, root: &Path, folder: &Path) {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                self.folders.push(path.clone());
                self.add(root, &path);
            } else {
                let mut bytes = fs::read(entry.path()).unwrap();
                let length = bytes.len() as u64;
                bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
                self.files.insert(path, Content { bytes, length });
            }
        }
    }

    /// Writes the image to `root`, in place of whatever is there.
    pub(crate) fn restore(&self, root: &Path) {
        if root.exists() {
            fs::remove_dir_all(root).unwrap();
        }
        fs::create_dir_all(root).unwrap();
        for folder in &self.folders {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for (path, content) in &self.files {
            let file = fs::File::create(root.join(path)).unwrap();
            std::io::Write::write_all(&mut &file, &content.bytes).unwrap();
            file.set_len(content.length).unwrap();
        }
    }

    /// The files that hold anything, as they can be damaged. The lock file holds nothing.
    pub(crate) fn targets(&self) -> Vec<PathBuf> {
        self.files
            .iter()
            .filter(|(_, content)| !content.bytes.is_empty())
            .map(|(path, _)| path.clone())
            .collect()
    }

    /// The newest file below `folder` whose name ends like this.
    pub(crate) fn newest(&self, folder: &str, ending: &str) -> PathBuf {
        let is_one = |path: &&PathBuf| path.starts_with(folder) && path.to_string_lossy().ends_with(ending);
        self.files.keys().filter(is_one).max().unwrap().clone()
    }

    pub(crate) fn content(&mut self, path: &Path) -> &mut Content {
        self.files.get_mut(path).unwrap()
    }
}

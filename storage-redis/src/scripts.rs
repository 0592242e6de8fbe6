//! The scripts that run within the server, each one atomic step.

use crate::wire::Script;

macro_rules! script {
    ($name:ident, $doc:literal, $($file:literal),+) => {
        #[doc = $doc]
        pub(crate) static $name: Script = Script::new(concat!($(include_str!($file)),+));
    };
}

script!(
    SAVE,
    "Saves an item.",
    "scripts/head.lua",
    "scripts/save.lua",
    "scripts/write.lua",
    "scripts/record.lua",
    "scripts/replace.lua",
    "scripts/write.lua"
);
script!(DELETE, "Deletes an item.", "scripts/head.lua", "scripts/record.lua", "scripts/delete.lua");
script!(
    TOUCH,
    "Gives an item another deadline.",
    "scripts/head.lua",
    "scripts/record.lua",
    "scripts/touch.lua"
);
script!(SWEEP, "Removes expired items.", "scripts/head.lua", "scripts/record.lua", "scripts/sweep.lua");
script!(MEET, "Reads a section of an index and keeps what has all of some tags.", "scripts/meet.lua");
script!(TYPES, "Finds the content types of a bucket.", "scripts/types.lua");
script!(REPAIR, "Removes an index entry that belongs to no item.", "scripts/repair.lua");
script!(
    REINDEX,
    "Puts an item back into a lost index.",
    "scripts/head.lua",
    "scripts/record.lua",
    "scripts/reindex.lua"
);

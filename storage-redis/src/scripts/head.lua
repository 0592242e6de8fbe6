-- The head of a record as numbers; `record.rs` says the same in Rust. They are 32-bit limbs, because a number of Lua is a
-- double and holds no 64 bits.
local LIMBS = '>I4I4I4I4I4I4I4I4I4I4I4I4I4I4I4I4I4I4I4I4I4'
local HEAD = 84
local MAGIC = 1936850945

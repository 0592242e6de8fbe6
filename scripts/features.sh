#!/usr/bin/env bash
# Prints, for `cargo`, every feature of every crate (or of the crates that are named) with one Lua dialect.
# `--all-features` would ask for both dialects, and one program holds one interpreter.
#
#     cargo test $(scripts/features.sh lua54)
#     cargo test $(scripts/features.sh luau storage-manager storage-cli)
set -euo pipefail
cd "$(dirname "$0")/.."

case ${1-} in
    lua54) other=luau ;;
    luau) other=lua54 ;;
    *) echo "usage: features.sh lua54|luau [CRATE]..." >&2 && exit 2 ;;
esac
shift

# `cargo` refuses features of crates that it does not build, and the benches are built by name alone.
shopt -s extglob
manifests=(!(benchmarks)/Cargo.toml)
[ $# -eq 0 ] || manifests=("${@/%//Cargo.toml}")

# The names under [features] of the manifests: whoever adds a feature need not remember this file.
features=$(awk -v other="$other" '
    /^\[/ { within = ($0 == "[features]") }
    within && /^[a-z0-9_-]+ *=/ && $1 != other && $1 != "default" { split(FILENAME, path, "/"); print path[1] "/" $1 }
' "${manifests[@]}" | paste -sd, -)

echo "${*/#/-p } --no-default-features --features $features"

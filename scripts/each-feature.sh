#!/usr/bin/env bash
# Lints every crate without features and with each of its features alone.
set -euo pipefail
cd "$(dirname "$0")/.."

# The names under [features] of a manifest.
features_of() {
    awk '/^\[/ { within = ($0 == "[features]") } within && /^[a-z0-9_-]+ *=/ { print $1 }' "$1"
}

# Fails unless features of storage-manager are refused with these words.
refused() {
    echo "storage-manager: $1 is refused"
    if refusal=$(cargo check --quiet --locked -p storage-manager --no-default-features --features "$1" 2>&1); then
        echo "each-feature.sh: storage-manager was built with $1" >&2
        exit 1
    fi
    grep -q "$2" <<<"$refusal" || { echo "$refusal" >&2; exit 1; }
}

for manifest in storage-*/Cargo.toml; do
    package=$(dirname "$manifest")
    for feature in "" $(features_of "$manifest"); do
        [ "$package/$feature" != storage-manager/lua ] || continue # a dialect goes with it, as tried below
        echo "$package: ${feature:-no features}"
        cargo clippy --quiet --locked -p "$package" --no-default-features ${feature:+--features "$feature"} -- -D warnings
    done
done

refused lua "enable \`lua54\` (PUC Lua 5.4) or \`luau\` (Luau)"
refused lua54,luau "only one of the features"

#!/usr/bin/env bash
# Lints every crate without features and with each of its features alone.
set -euo pipefail
cd "$(dirname "$0")/.."

# The names under [features] of a manifest.
features_of() {
    awk '/^\[/ { within = ($0 == "[features]") } within && /^[a-z0-9_-]+ *=/ { print $1 }' "$1"
}

for manifest in storage-*/Cargo.toml; do
    package=$(dirname "$manifest")
    for feature in "" $(features_of "$manifest"); do
        echo "$package: ${feature:-no features}"
        cargo clippy --quiet --locked -p "$package" --no-default-features ${feature:+--features "$feature"} -- -D warnings
    done
done

echo "storage-manager: lua54 with luau is refused"
if refusal=$(cargo check --quiet --locked -p storage-manager --features lua54,luau 2>&1); then
    echo "each-feature.sh: two Lua dialects in one program were accepted" >&2
    exit 1
fi
grep -q "only one of the features" <<<"$refusal" || { echo "$refusal" >&2; exit 1; }

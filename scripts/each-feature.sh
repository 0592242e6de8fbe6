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

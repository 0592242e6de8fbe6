#!/usr/bin/env bash
# Installs what the tests need where it is missing, then runs them all.
#
# REQUIRE_BACKENDS=1 turns anything that a machine cannot offer (such as mounting a small disk) into a failure instead of
# a loud notice. Arguments go to `cargo test`.
set -euo pipefail
cd "$(dirname "$0")/.."

missing() { ! command -v "$1" >/dev/null 2>&1; }

install_packages() {
    local run=()
    [ "$(id -u)" -eq 0 ] || run=(sudo)
    echo "installing $*" >&2
    "${run[@]}" apt-get update -q
    DEBIAN_FRONTEND=noninteractive "${run[@]}" apt-get install -qy --no-install-recommends "$@"
}

packages=()
missing cc && packages+=(gcc libc6-dev)   # the linker of every Rust program
missing strace && packages+=(strace)      # fails chosen system calls in the fault tests
missing mount && packages+=(mount)        # small and read-only disks in the fault tests
missing mkfs.ext4 && packages+=(e2fsprogs) # a disk whose power can be cut in the fault tests
if [ "${#packages[@]}" -gt 0 ]; then
    if missing apt-get; then
        echo "test.sh: please install: ${packages[*]} (no apt-get here)" >&2
        exit 1
    fi
    install_packages "${packages[@]}"
fi
if missing cargo; then
    echo "test.sh: cargo is missing; install Rust 1.91 or newer" >&2
    exit 1
fi

cargo test --locked --all-features "$@"

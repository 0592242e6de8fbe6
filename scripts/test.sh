#!/usr/bin/env bash
# Installs what the tests need where it is missing, then runs them all.
#
# REQUIRE_BACKENDS=1 turns anything that a machine cannot offer (such as mounting a small disk) into a failure instead of
# a loud notice. Where a container engine answers, the Redis provider is tested against a container too. Arguments go to
# `cargo test`, in place of the choice of crates and features.
set -euo pipefail
cd "$(dirname "$0")/.."

missing() { ! command -v "$1" >/dev/null 2>&1; }

install_packages() {
    local run=()
    [ "$(id -u)" -eq 0 ] || run=(sudo)
    echo "installing $*" >&2
    "${run[@]}" apt-get update -q
    without_services "${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@"
}

# Runs a command while the services of newly installed packages are kept from starting: the tests start servers of their own.
without_services() {
    local policy=/usr/sbin/policy-rc.d run=()
    [ "$(id -u)" -eq 0 ] || run=(sudo)
    if [ -e "$policy" ]; then
        "$@"
        return
    fi
    printf '#!/bin/sh\nexit 101\n' | "${run[@]}" tee "$policy" >/dev/null
    "${run[@]}" chmod +x "$policy"
    local status=0
    "$@" || status=$?
    "${run[@]}" rm -f "$policy"
    return "$status"
}

# The tests that need a container engine: built apart, because its client takes minutes to build.
test_in_containers() {
    if missing docker || ! docker version >/dev/null 2>&1; then
        echo "NOT TESTED: containers: no engine answers" >&2
        return
    fi
    REDIS_IMAGE=${REDIS_IMAGE:-$(./scripts/redis-image.sh)}
    export REDIS_IMAGE
    echo "testing with containers of $REDIS_IMAGE"
    cargo test --locked --manifest-path integration-tests/containers/Cargo.toml \
        --target-dir "${CARGO_TARGET_DIR:-target}/containers"
}

packages=()
missing cc && packages+=(gcc libc6-dev)   # the linker of every Rust program
missing strace && packages+=(strace)      # fails chosen system calls in the fault tests
missing mount && packages+=(mount)        # small and read-only disks in the fault tests
missing mkfs.ext4 && packages+=(e2fsprogs) # a disk whose power can be cut in the fault tests
missing redis-server && packages+=(redis-server) # what the Redis provider is tested against
missing redis-cli && packages+=(redis-tools)
# What the SQL provider is tested against; Debian keeps the server of each version off the path.
missing postgres && ! compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null && packages+=(postgresql)
missing mariadbd && packages+=(mariadb-server) # what the MySQL engine of the SQL provider is tested against
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

if [ $# -gt 0 ]; then
    exec cargo test --locked "$@"
fi
# All that does not depend on the Lua dialect is tested once.
# shellcheck disable=SC2046 # several words are meant
cargo test --locked $(./scripts/features.sh lua54)
# shellcheck disable=SC2046
cargo test --locked $(./scripts/features.sh luau storage-manager storage-cli) \
    --test lua --test lua_abuse --test script --test cli
test_in_containers
if missing valkey-server && [ -z "${VALKEY_URL:-}" ]; then
    echo "NOT TESTED: Valkey: no valkey-server here, and VALKEY_URL names none" >&2
fi

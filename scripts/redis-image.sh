#!/usr/bin/env bash
# Makes a container image of the redis-server that is installed here, without any registry: the program, the libraries it
# is linked with, and nothing else. Prints the name of the image, which is made only if it is not there yet.
set -euo pipefail

server=$(readlink -f "$(command -v redis-server)")
version=$(redis-server --version | sed 's/.* v=\([^ ]*\) .*/\1/')
image="storage-manager/redis:$version"

if ! docker image inspect "$image" >/dev/null 2>&1; then
    root=$(mktemp -d)
    trap 'rm -rf "$root"' EXIT
    mkdir -p "$root/usr/bin" "$root/tmp" "$root/data"
    cp "$server" "$root/usr/bin/redis-server"
    # Lines such as `libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x…)`, and the loader, which has no arrow.
    ldd "$server" | grep -o '/[^ ]*' | while read -r library; do
        mkdir -p "$root$(dirname "$library")"
        cp -L "$library" "$root$library"
    done
    tar -C "$root" -c . | docker import \
        --change 'WORKDIR /data' \
        --change 'EXPOSE 6379' \
        --change 'CMD ["/usr/bin/redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""]' \
        - "$image" >&2
fi
echo "$image"

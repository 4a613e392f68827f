#!/usr/bin/env bash
# What each adapter costs to depend on: the table of the README's "Which crate do I take".
#
#   which-crate.sh            build one program with each adapter in a folder of its own; print a table
#
# Crates: distinct normal dependencies of the program, the adapter among them. CPU time: a clean release build on two
# jobs, user and system, all compiler processes. Binary: stripped. Takes minutes; run it on an idle machine. Continuous
# integration does not run it.
set -euo pipefail
shopt -s inherit_errexit

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# package NAME ATTRIBUTE: a program that campaigns, works while it holds, and releases: as the README has it.
package() {
    local name=$1 attribute=$2 runtime=$3
    mkdir -p "$work/$name/src"
    cat >"$work/$name/Cargo.toml" <<TOML
[package]
name = "program"
version = "0.0.0"
edition = "2024"

[workspace]

[dependencies]
$name = { path = "$root/$name" }
$runtime

[profile.release]
strip = true
TOML
    cp "$root/Cargo.lock" "$work/$name/"
    # The README's program, for this adapter.
    awk '/^```rust,no_run/ { on = 1; next } /^```/ { if (on) exit } on' "$root/README.md" |
        sed -e "s/lease_tokio/${name//-/_}/" -e "s/#\[tokio::main\]/$attribute/" >"$work/$name/src/main.rs"
}

measure() {
    local name=$1 crates bytes cpu TIMEFORMAT='%U %S'
    cd "$work/$name"
    cargo fetch --quiet
    crates=$(cargo tree -e normal --prefix none --format '{p}' | awk '{ print $1, $2 }' | sort -u | grep -cv '^program ')
    # shellcheck disable=SC2030,SC2031 # for this build only
    export CARGO_TARGET_DIR=$work/$name/target CARGO_INCREMENTAL=0
    cpu=$({ time cargo build --quiet --release -j2 >&2; } 2>&1 | tail -n 1)
    bytes=$(stat -c %s "$work/$name/target/release/program")
    awk -v name="$name" -v crates="$crates" -v bytes="$bytes" \
        '{ printf "| `%s` | %d | %.0f | %.1f |\n", name, crates, $1 + $2, bytes / 1e6 }' <<<"$cpu"
    rm -rf "$work/$name/target"
}

package lease-tokio '#[tokio::main]' 'tokio = { version = "1", features = ["macros", "rt-multi-thread"] }'
package lease-async-std '#[async_std::main]' 'async-std = { version = "1", features = ["attributes"] }'
printf '| adapter | crates | clean build, CPU s | binary, MB |\n| --- | ---: | ---: | ---: |\n'
for name in lease-tokio lease-async-std; do (measure "$name"); done

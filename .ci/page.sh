#!/usr/bin/env bash
# The pages of traces in a real browser: headless Chromium draws them, and what it laid out is counted.
#
#   page.sh [PAGE…]       without a page the sample pages are made by cargo
#
# Each page must show as many lanes, requests and faults as stand in its trace, and no script error. The sample pages have
# some of each; the page of a flight recording has no faults.
# Screenshots go to $PAGE_SHOTS, if that is set.
set -euo pipefail
shopt -s inherit_errexit
root=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/..

die() {
    printf 'page.sh: %s\n' "$*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

missing=()
command -v chromium >/dev/null || missing+=(chromium)
command -v jq >/dev/null || missing+=(jq)
if [ ${#missing[@]} -gt 0 ]; then
    printf 'installing %s\n' "${missing[*]}"
    as_root apt-get -q -y update || printf 'apt-get update is not content; going on with what it got\n'
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -y -o DPkg::Lock::Timeout=600 install --no-install-recommends "${missing[@]}" fonts-dejavu-core
fi

dir=$(mktemp -d)
# shellcheck disable=SC2329,SC2317 # reached by the trap below
finish() {
    local status=$?
    trap - EXIT
    rm -rf "$dir"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

shots=${PAGE_SHOTS:-$dir/shots}
mkdir -p "$shots"
shots=$(readlink -f "$shots")

pages=()
least=0
for page in "$@"; do
    [ -s "$page" ] || die "no page $page"
    pages+=("$(readlink -f "$page")")
done
cd "$root"
if [ ${#pages[@]} -eq 0 ]; then
    cargo build --locked -p lease-sim --example sample_page
    for sample in usual large hostile; do
        "${CARGO_TARGET_DIR:-target}/debug/examples/sample_page" "$sample" >"$dir/$sample.html"
        pages+=("$dir/$sample.html")
    done
    least=1
fi

# browser WORDS…: Chromium with a profile of its own, so that runs do not share anything; bounded in time.
browser() {
    local profile status=0
    profile=$(mktemp -d "$dir/profile.XXXXXX")
    timeout -k 5 90 chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
        --disable-background-networking --disable-component-update --disable-sync --hide-scrollbars \
        --window-size=1280,800 --user-data-dir="$profile" "$@" 2>"$dir/browser.log" </dev/null || status=$?
    rm -rf "$profile"
    if [ "$status" -ne 0 ]; then
        tail -n 20 "$dir/browser.log" >&2
        die "chromium ended with $status"
    fi
}

# attribute NAME: of the body in $dir/dom; empty when there is none.
attribute() { sed -nE "s/^.*<body[^>]* data-$1=\"([^\"]*)\".*\$/\\1/p" "$dir/dom" | head -n 1; }

# expect NAME NUMBER [LEAST]: it was laid out as often as it stands in the trace, and at least so often (default 1).
expect() {
    local found
    found=$(attribute "$1")
    [ -n "$found" ] || die "$page laid out no $1"
    [ "$found" -ge "${3:-1}" ] || die "$page has no $1 to look at"
    [ "$found" -eq "$2" ] || die "$page shows $found $1 of $2"
}

for page in "${pages[@]}"; do
    browser --dump-dom "file://$page" >"$dir/dom"
    errors=$(attribute errors)
    [ "$errors" = 0 ] || die "$page: ${errors:-no} script errors: $(attribute error)"
    # The trace is JSON on one line, with no angle bracket in it.
    sed -nE 's/^.*<script type="application\/json" id="trace">([^<]*)<.*$/\1/p' "$page" >"$dir/trace.json"
    [ -s "$dir/trace.json" ] || die "$page has no trace in it"
    count() { jq "$1" "$dir/trace.json"; }
    lanes=$(count '.lanes | length')
    arrows=$(count '[.entries[] | select(.what == "sent")] | length')
    faults=$(count '[.entries[] | select(.what == "fault")] | length')
    expect lanes "$lanes"
    expect arrows "$arrows"
    expect faults "$faults" "$least"
    # Again, with hands: keys, the wheel, a sweep of the pointer over everything, every filter, the search, some clicks.
    # Without a screen there are no frames to wait for.
    {
        printf '<!doctype html><script>window.requestAnimationFrame = (draw) => setTimeout(draw, 0);</script>\n'
        cat "$page" .ci/page-hands.html
    } >"$dir/hands.html"
    browser --virtual-time-budget=3000 --dump-dom "file://$dir/hands.html" >"$dir/dom"
    errors=$(attribute errors)
    [ "$errors" = 0 ] || die "$page: ${errors:-no} script errors under hands: $(attribute error)"
    [ "$(attribute hands)" = "zoomed moved hovered selected filtered reset" ] || die "$page: only $(attribute hands)"
    name=$(basename "$page" .html)
    browser --screenshot="$shots/$name.png" "file://$page"
    [ "$(head -c 4 "$shots/$name.png" | tail -c 3)" = PNG ] || die "no screenshot of $page"
    printf '%s: %s lanes, %s requests, %s faults, no script error\n' "$name" "$lanes" "$arrows" "$faults"
done

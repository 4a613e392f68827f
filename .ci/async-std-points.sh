#!/usr/bin/env bash
# Takes away, one after the other, what keeps lease-async-std's HTTP client right, and sees a test fail each time.
#
#   .ci/async-std-points.sh              all patches of .ci/async-std-points, in order
#   .ci/async-std-points.sh NN[-name]…   only those whose names begin so
#
# Each patch says in its head which point it takes away and which tests must notice:
#
#   Point 4: what it is about
#   Removed: what is taken away
#   Test: --lib path::of::a_test           (arguments for cargo test, then the test's whole name; one line a test)
#
# The work tree is copied first and stays as it is. All tests that are named have to pass without a patch. A patch that
# does not apply is stale; code that does not build, a test that is not there, or one that does not end proves nothing.
# All of these are failures, and so is a test that stays green.
set -euo pipefail
shopt -s inherit_errexit
exec </dev/null
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

patches=()
for patch in .ci/async-std-points/*.patch; do
    wanted=$([ $# -eq 0 ] && printf yes || true)
    for name in "$@"; do
        if [[ $(basename "$patch") == "$name"* ]]; then wanted=yes; fi
    done
    if [ -n "$wanted" ]; then patches+=("$PWD/$patch"); fi
done
[ ${#patches[@]} -gt 0 ] || {
    printf 'no such patch\n' >&2
    exit 2
}

mkdir -p "${CARGO_TARGET_DIR:-target}/async-std-points"
work=$(readlink -f "${CARGO_TARGET_DIR:-target}/async-std-points")
export CARGO_TARGET_DIR=$work/build CARGO_TERM_COLOR=never RUST_BACKTRACE=0
# `git apply` must not take the copy for a part of the repository around it.
export GIT_CEILING_DIRECTORIES=$work
rm -rf "$work/tree" "$work/logs"
mkdir -p "$work/tree" "$work/logs"
git ls-files -z --cached --others --exclude-standard |
    while IFS= read -r -d '' file; do if [ -e "$file" ]; then printf '%s\0' "$file"; fi; done |
    tar --null -T - -cf - | tar -xf - -C "$work/tree"
cd "$work/tree"
# What was built last time may have been built from a patched copy, later than these files were written.
find lease-async-std -type f -exec touch {} +

# head PATCH KEY: the lines of a patch's head that begin with KEY, without it.
head_of() { sed -n "/^diff /q; s/^$2: //p" "$1"; }

# build LOG TEST…: whether what these tests are in builds, and only that.
build() {
    local log=$1 targets
    shift
    mapfile -t targets < <(printf '%s\n' "$@" | sed 's/ [^ ]*$//' | sort -u)
    # shellcheck disable=SC2086 # several arguments
    cargo test --locked -p lease-async-std ${targets[*]} --no-run >"$log" 2>&1
}

# run_test LOG ARGUMENTS… NAME: green, red, missing or hung.
run_test() {
    local log=$1 name=${*: -1} status=0
    shift
    set -- "${@:1:$#-1}"
    timeout 300 cargo test --locked -p lease-async-std "$@" -- --exact "$name" >"$log" 2>&1 || status=$?
    if [ "$status" -eq 124 ]; then
        printf hung
    elif grep -q '^test result: ok\. 1 passed; 0 failed' "$log"; then
        printf green
    elif grep -q '^test result: FAILED\. 0 passed; 1 failed' "$log"; then
        printf red
    else
        printf missing
    fi
}

failed=0
printf 'without a patch\n'
mapfile -t tests < <(for patch in "${patches[@]}"; do head_of "$patch" Test; done | sort -u)
if ! build "$work/logs/build" "${tests[@]}"; then
    cat "$work/logs/build"
    printf 'the tests do not build\n'
    exit 1
fi
for test in "${tests[@]}"; do
    # shellcheck disable=SC2086 # several arguments
    verdict=$(run_test "$work/logs/green" $test)
    if [ "$verdict" != green ]; then
        cat "$work/logs/green"
        printf '%s is %s without a patch\n' "$test" "$verdict"
        failed=1
    fi
done
[ "$failed" -eq 0 ] || exit 1
printf 'all tests pass\n\n'

table=()
for patch in "${patches[@]}"; do
    name=$(basename "$patch" .patch)
    row() { table+=("$(printf '%-28s %-16s %s' "$name" "$1" "$2")") && printf '%s\n' "${table[-1]}"; }
    mapfile -t tests < <(head_of "$patch" Test)
    if [ ${#tests[@]} -eq 0 ] || [ -z "$(head_of "$patch" 'Point [0-9]*')" ]; then
        row 'NO HEAD' 'it has to say which point it removes, and which test notices'
        failed=1
    elif ! git apply --check "$patch" 2>"$work/logs/$name.apply"; then
        row STALE "does not apply to the tree any more: $(head -n 1 "$work/logs/$name.apply")"
        failed=1
    else
        git apply "$patch"
        if build "$work/logs/$name.build" "${tests[@]}"; then
            for test in "${tests[@]}"; do
                # shellcheck disable=SC2086
                verdict=$(run_test "$work/logs/$name.test" $test)
                case $verdict in
                red) row red "${test##* }" ;;
                green) row 'STAYS GREEN' "${test##* }" ;;
                missing) row 'NO SUCH TEST' "$test" ;;
                *) row 'DOES NOT END' "${test##* }" ;;
                esac
                if [ "$verdict" != red ]; then failed=1; fi
            done
        else
            row 'DOES NOT BUILD' "$(grep -m 1 '^error' "$work/logs/$name.build" || true)"
            failed=1
        fi
        git apply --reverse "$patch"
    fi
done

printf '\n%-28s %-16s %s\n' patch verdict 'test'
printf '%s\n' "${table[@]}"
if [ "$failed" -ne 0 ]; then
    printf 'NOT every point has a test that notices; logs are in %s\n' "$work/logs"
    exit 1
fi
printf 'every point that is taken away is noticed\n'

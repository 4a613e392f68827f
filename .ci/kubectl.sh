#!/usr/bin/env bash
# kubectl against the embedded API server: `lease-sim serve` over HTTPS with a token; create, list, show, delete a Lease.
#
#   kubectl.sh [PATH-OF-LEASE-SIM]       without a path it is built (or found) by cargo
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

die() {
    printf 'kubectl.sh: %s\n' "$*" >&2
    exit 1
}

binary=${1:-}
if [ -z "$binary" ]; then
    cargo build --locked -p lease-sim --bin lease-sim
    binary=${CARGO_TARGET_DIR:-target}/debug/lease-sim
fi
[ -x "$binary" ] || die "no executable $binary"

dir=$(mktemp -d)
server=
# shellcheck disable=SC2329,SC2317 # reached by the trap below
finish() {
    local status=$?
    trap - EXIT
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    if [ "$status" -ne 0 ] && [ -s "$dir/server.log" ]; then
        printf -- '--- the end of the log of lease-sim serve\n' >&2
        tail -n 30 "$dir/server.log" >&2
    fi
    rm -rf "$dir"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

token=$(openssl rand -hex 16)
mkdir -m 0700 "$dir/tls" "$dir/home"

# A port may be taken between the look and the bind: then another one.
for attempt in 1 2 3 4 5; do
    port=$((20000 + RANDOM % 12000))
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then continue; fi
    "$binary" serve --listen "127.0.0.1:$port" --tls-dir "$dir/tls" --token "$token" </dev/null >"$dir/server.log" 2>&1 &
    server=$!
    for ((i = 0; i < 150; i++)); do
        if [ -s "$dir/tls/ca.crt" ] && curl -sS --max-time 5 --noproxy '*' --cacert "$dir/tls/ca.crt" \
            -H "Authorization: Bearer $token" -o "$dir/apis" \
            "https://127.0.0.1:$port/apis/coordination.k8s.io/v1" 2>/dev/null; then
            break 2
        fi
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    kill -0 "$server" 2>/dev/null && die "lease-sim serve is not ready after 15 s"
    wait "$server" || true
    server=
    [ "$attempt" -lt 5 ] || die "lease-sim serve did not start"
done
[ -n "$server" ] || die "lease-sim serve did not start"

export HOME=$dir/home KUBECONFIG=$dir/home/config NO_PROXY='*' no_proxy='*'
cat >"$KUBECONFIG" <<CONFIG
apiVersion: v1
kind: Config
clusters: [{name: sim, cluster: {server: "https://127.0.0.1:$port", certificate-authority: "$dir/tls/ca.crt"}}]
users: [{name: me, user: {token: "$token"}}]
contexts: [{name: sim, context: {cluster: sim, user: me, namespace: default}}]
current-context: sim
CONFIG

# k WORDS…: kubectl, shown and bounded in time; the output goes to the screen and to $dir/out.
k() {
    printf '$ kubectl %s\n' "$*"
    timeout 60 kubectl --cache-dir="$dir/cache" "$@" >"$dir/out" 2>"$dir/err" </dev/null || {
        cat "$dir/out" "$dir/err"
        die "kubectl $1 failed"
    }
    cat "$dir/out" "$dir/err"
}
has() { grep -qE -- "$1" "$dir/out" || die "kubectl printed no line that matches: $1"; }

kubectl version --client 2>/dev/null | sed -n 1p
cat >"$dir/lease.yaml" <<'LEASE'
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata:
  name: shown-to-kubectl
spec:
  holderIdentity: somebody
  leaseDurationSeconds: 15
  acquireTime: "2026-01-01T00:00:00.000000Z"
  renewTime: "2026-01-01T00:00:00.000000Z"
  leaseTransitions: 3
LEASE
k create --validate=false -f "$dir/lease.yaml"
has '^lease.coordination.k8s.io/shown-to-kubectl created$'
k get leases
has '^NAME .*AGE'
has '^shown-to-kubectl '
k get lease shown-to-kubectl -o yaml
has '^kind: Lease$'
has '^  name: shown-to-kubectl$'
has '^  uid: .+'
has '^  resourceVersion: "[0-9]+"$'
has '^  holderIdentity: somebody$'
has '^  leaseTransitions: 3$'
has '^  renewTime: "2026-01-01T00:00:00.000000Z"$'
k delete lease shown-to-kubectl --timeout=30s
has '^lease.coordination.k8s.io "shown-to-kubectl" deleted'
k get leases -o name
if [ -s "$dir/out" ]; then die "the lease is still listed after its deletion"; fi

# The token is asked for, and the certificate is checked.
status=$(curl -sS --max-time 5 --noproxy '*' --cacert "$dir/tls/ca.crt" -o "$dir/out" -w '%{http_code}' \
    -H 'Authorization: Bearer wrong' "https://127.0.0.1:$port/apis/coordination.k8s.io/v1/namespaces/default/leases")
[ "$status" = 401 ] || die "a wrong token answers $status, not 401"
if curl -sS --max-time 5 --noproxy '*' -o "$dir/out" "https://127.0.0.1:$port/" 2>/dev/null; then
    die "the certificate was accepted without its CA"
fi
printf 'kubectl created, listed, showed and deleted a Lease on lease-sim serve\n'

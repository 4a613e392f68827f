#!/usr/bin/env bash
# A real kube-apiserver with etcd on loopback, for the end-to-end tests.
#
#   kube-apiserver.sh provide            make sure that the binaries exist; print their folder
#   kube-apiserver.sh start DIR          start etcd and kube-apiserver; everything they need is in DIR; writes DIR/env
#   kube-apiserver.sh stop DIR           stop what `start DIR` started
#   kube-apiserver.sh run DIR -- CMD…    start, source DIR/env, run CMD, stop; the exit code is CMD's
#
# Binaries come from $KUBEBUILDER_ASSETS if it holds both, else from the cache in
# ${LEASE_CI_CACHE:-${XDG_CACHE_HOME:-~/.cache}/lease-ci}, else they are made from Debian's packages: etcd is taken out
# of `etcd-server` without installing it (so no service can start), kube-apiserver is built from the source package
# `kubernetes`. That takes 5 to 10 minutes on two cores and leaves two binaries of together 130 MB.
set -euo pipefail
shopt -s inherit_errexit

readonly KUBE_VERSION=1.20.2
readonly NAMESPACE=lease-test
me=$(readlink -f "${BASH_SOURCE[0]}")

say() { printf '%s\n' "$*" >&2; }
die() {
    say "kube-apiserver.sh: $*"
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

# ---------------------------------------------------------------------------------------------------------- provide

cache_root() { printf '%s\n' "${LEASE_CI_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lease-ci}"; }

has_binaries() { [ -x "$1/etcd" ] && [ -x "$1/kube-apiserver" ]; }

need() {
    local tool
    for tool in "$@"; do command -v "$tool" >/dev/null || return 1; done
}

# apt with the machine's own Debian sources, copied and extended by `deb-src`. The machine's source lists stay as they
# are, so this can run any number of times, and other repositories in them can neither slow it down nor break it.
apt_setup() {
    local to=$1 file name
    mkdir -p "$to/sources.list.d" "$to/lists/partial"
    : >"$to/sources.list"
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -f "$file" ] || continue
        # One-line format: each Debian `deb` line once as it is and once as `deb-src`.
        sed -nE '/^[[:space:]]*deb[[:space:]].*debian/{s/^[[:space:]]*//;p;s/^deb/deb-src/;p}' "$file" >>"$to/sources.list"
    done
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -f "$file" ] || continue
        grep -qE '^URIs:.*debian' "$file" || continue
        name=$(basename "$file")
        sed -E 's/^Types:.*/Types: deb deb-src/' "$file" >"$to/sources.list.d/$name"
    done
    apt_options=(
        -y
        -o "Dir::Etc::sourcelist=$to/sources.list"
        -o "Dir::Etc::sourceparts=$to/sources.list.d"
        -o "Dir::State::lists=$to/lists"
        -o "Dir::Cache::pkgcache="
        -o "Dir::Cache::srcpkgcache="
        -o "APT::Sandbox::User=root"
        -o "APT::Install-Recommends=false"
        -o "Acquire::Retries=3"
        -o "DPkg::Lock::Timeout=600"
    )
}

# Everything below runs inside `provide`, with its output in a log file.
build_binaries() {
    local work=$1 into=$2 source top apt_options
    apt_setup "$work/apt"
    say "--- apt-get update"
    apt-get "${apt_options[@]}" update || say "apt-get update is not content; going on with what it got"
    if ! need /usr/bin/go rsync make jq; then
        say "--- apt-get install: what the build needs"
        as_root env DEBIAN_FRONTEND=noninteractive apt-get "${apt_options[@]}" install golang-go rsync make jq
    fi

    mkdir -p "$work/packages" "$work/etcd" "$work/source" "$work/stage"
    cd "$work/packages"
    say "--- etcd, from its package"
    apt-get "${apt_options[@]}" download etcd-server
    dpkg-deb -x etcd-server_*.deb "$work/etcd"
    install -m 0755 "$work/etcd/usr/bin/etcd" "$work/stage/etcd"

    say "--- the source package kubernetes"
    apt-get "${apt_options[@]}" source --download-only kubernetes
    source=$(printf '%s\n' kubernetes_*.orig.tar.* | head -n 1)
    [ -f "$source" ] || {
        say "no orig tarball in the source package kubernetes"
        return 1
    }
    case $source in
    *"$KUBE_VERSION".orig.tar.*) ;;
    *)
        say "the source package is $source, this script knows $KUBE_VERSION; use KUBEBUILDER_ASSETS"
        return 1
        ;;
    esac
    tar -xf "$source" -C "$work/source" --no-same-owner
    rm -f "$source"
    top=$(dirname "$(printf '%s\n' "$work"/source/*/go.mod "$work"/source/go.mod | while read -r file; do
        if [ -f "$file" ]; then printf '%s\n' "$file"; fi
    done | head -n 1)")
    [ -f "$top/cmd/kube-apiserver/apiserver.go" ] || {
        say "the source package does not look like kubernetes: $top"
        return 1
    }

    # Built with Go 1.18 or newer, the vendored reflect2 1.0.1 writes into foreign memory whenever a JSON object has a map
    # (https://github.com/modern-go/reflect2/issues/24): the server panics or answers `"labels": null`. 1.0.2 is right.
    say "--- reflect2, from its package"
    apt-get "${apt_options[@]}" download golang-github-modern-go-reflect2-dev
    dpkg-deb -x golang-github-modern-go-reflect2-dev_*.deb "$work/reflect2"
    rm "$top"/vendor/github.com/modern-go/reflect2/*.go
    cp "$work"/reflect2/usr/share/gocode/src/github.com/modern-go/reflect2/*.go "$top/vendor/github.com/modern-go/reflect2/"

    say "--- make kube-apiserver"
    cd "$top"
    mkdir -p .go/src/k8s.io "$work/home"
    ln -s ../../.. .go/src/k8s.io/kubernetes
    # A clean environment: Debian's Go and no newer one, no settings of the caller, no git repository around it, no
    # network.
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME="$work/home" TMPDIR="$work" LANG=C.UTF-8 GOPATH="$PWD/.go" CGO_ENABLED=0 \
        GOPROXY=off GIT_CEILING_DIRECTORIES="$work" \
        make WHAT=cmd/kube-apiserver
    install -m 0755 "$(readlink -f _output/bin/kube-apiserver)" "$work/stage/kube-apiserver"

    say "--- try both"
    "$work/stage/etcd" --version
    "$work/stage/kube-apiserver" --version
    rm -rf "$into"
    mv -T "$work/stage" "$into"
    say "--- done: $into"
}

provide() {
    if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
        if has_binaries "$KUBEBUILDER_ASSETS"; then
            (cd "$KUBEBUILDER_ASSETS" && pwd -P)
            return
        fi
        say "KUBEBUILDER_ASSETS has no etcd and kube-apiserver; it is ignored"
    fi
    local root into log work started status
    root=$(cache_root)
    mkdir -p "$root"
    root=$(cd "$root" && pwd -P)
    into=$root/kube-apiserver-$KUBE_VERSION
    if has_binaries "$into"; then
        printf '%s\n' "$into"
        return
    fi
    # One build at a time; who waited finds the result of the other.
    exec 9>"$root/lock"
    flock 9
    if ! has_binaries "$into"; then
        rm -rf "$root"/build.*
        work=$(mktemp -d "$root/build.XXXXXX")
        log=$root/build.log
        started=$SECONDS
        say "building kube-apiserver $KUBE_VERSION from Debian's source package (5 to 10 minutes); log: $log"
        # A subshell that is not the condition of an `if`, or its own `set -e` would be off. It does not hold the lock.
        set +e
        (
            set -euo pipefail
            build_binaries "$work" "$into"
        ) >"$log" 2>&1 </dev/null 9>&-
        status=$?
        set -e
        chmod -R u+w "$work" 2>/dev/null || true
        rm -rf "$work"
        if [ "$status" -ne 0 ]; then
            tail -n 40 "$log" >&2
            die "the build failed (exit code $status); the whole log is $log"
        fi
        say "built in $((SECONDS - started)) s"
    fi
    exec 9>&-
    printf '%s\n' "$into"
}

# ---------------------------------------------------------------------------------------------------- start and stop

# alive PIDFILE WORD: the process of that pid file runs, and is the one that was started (WORD is in its command line):
# a pid that somebody else got meanwhile is not touched. A zombie is dead.
alive() {
    local pid
    [ -s "$1" ] || return 1
    pid=$(cat "$1")
    [ -r "/proc/$pid/cmdline" ] || return 1
    ! grep -qs '^State:[[:space:]]*Z' "/proc/$pid/status" || return 1
    tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "$2"
}

# end PIDFILE WORD: terminate, wake it up if it is stopped, wait up to 10 s, then kill.
end() {
    local pid i
    if alive "$1" "$2"; then
        pid=$(cat "$1")
        kill -TERM "$pid" 2>/dev/null || true
        kill -CONT "$pid" 2>/dev/null || true
        for ((i = 0; i < 100; i++)); do
            alive "$1" "$2" || break
            sleep 0.1
        done
        if alive "$1" "$2"; then
            kill -KILL "$pid" 2>/dev/null || true
            while alive "$1" "$2"; do sleep 0.1; done
        fi
    fi
    rm -f "$1"
}

# A port nobody listens on, below the range that the kernel hands out for outgoing connections.
free_port() {
    local port i
    for ((i = 0; i < 200; i++)); do
        port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            printf '%s\n' "$port"
            return
        fi
    done
    die "no free port found"
}

# One CA; a server certificate for every name a test may use; a client certificate for the user cert-holder.
make_pki() {
    local pki=$1
    mkdir -p "$pki"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -days 30 \
        -subj /CN=lease-test-ca -keyout "$pki/ca.key" -out "$pki/ca.crt" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
    openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$pki/service-account.key"
    leaf() {
        local name=$1 subject=$2 extensions=$3
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -subj "$subject" \
            -keyout "$pki/$name.key" -out "$pki/$name.csr"
        printf '%s\n' 'basicConstraints=critical,CA:FALSE' 'keyUsage=critical,digitalSignature' "$extensions" >"$pki/$name.ext"
        openssl x509 -req -in "$pki/$name.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" \
            -set_serial "0x01$(openssl rand -hex 15)" -sha256 -days 30 -extfile "$pki/$name.ext" -out "$pki/$name.crt"
    }
    leaf server /CN=kubernetes "extendedKeyUsage=serverAuth
subjectAltName=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:127.0.0.1"
    leaf client /CN=cert-holder "extendedKeyUsage=clientAuth"
}

# The script that starts this very kube-apiserver again. It stands on its own: tests call it while they have the server
# killed, and nothing of what it needs lies outside DIR and the folder of the binaries.
write_restart() {
    local dir=$1 bin=$2 port=$3 etcd_port=$4
    {
        printf '#!/usr/bin/env bash\n'
        printf '# Starts the kube-apiserver of this folder, with the flags it had before; ends it first if it still runs.\n'
        printf 'set -euo pipefail\n'
        printf 'dir=%q\nport=%q\ncommand=(\n' "$dir" "$port"
        printf '    %q\n' "$bin/kube-apiserver" \
            "--etcd-servers=http://127.0.0.1:$etcd_port" \
            --bind-address=127.0.0.1 --advertise-address=127.0.0.1 "--secure-port=$port" \
            --endpoint-reconciler-type=none \
            "--tls-cert-file=$dir/pki/server.crt" "--tls-private-key-file=$dir/pki/server.key" \
            "--client-ca-file=$dir/pki/ca.crt" "--token-auth-file=$dir/tokens.csv" \
            --authorization-mode=RBAC --disable-admission-plugins=ServiceAccount \
            --service-account-issuer=https://kubernetes.default.svc \
            "--service-account-key-file=$dir/pki/service-account.key" \
            "--service-account-signing-key-file=$dir/pki/service-account.key" \
            --service-cluster-ip-range=10.0.0.0/24 "--cert-dir=$dir/pki" \
            --profiling=false --event-ttl=5m
        printf ')\n'
        cat <<'RESTART'

# Two that call this at once get one server after the other, not two that fight for the port.
exec 8>"$dir/restart.lock"
flock 8

alive() {
    local pid
    [ -s "$dir/kube-apiserver.pid" ] || return 1
    pid=$(cat "$dir/kube-apiserver.pid")
    [ -r "/proc/$pid/cmdline" ] || return 1
    ! grep -qs '^State:[[:space:]]*Z' "/proc/$pid/status" || return 1
    tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "--token-auth-file=$dir/tokens.csv"
}
if alive; then
    kill -KILL "$(cat "$dir/kube-apiserver.pid")" 2>/dev/null || true
    while alive; do sleep 0.05; done
fi
rm -f "$dir/kube-apiserver.pid"

# A session of its own, so that the end of whoever called does not end it. The pid file is complete before it runs.
setsid bash -c '
    pid_file=$1
    shift
    echo "$$" >"$pid_file.new"
    mv "$pid_file.new" "$pid_file"
    exec "$@"
' kube-apiserver "$dir/kube-apiserver.pid" "${command[@]}" </dev/null >>"$dir/kube-apiserver.log" 2>&1 8>&- &
launcher=$!

admin=$(head -n 1 "$dir/tokens.csv" | cut -d, -f1)
for ((i = 0; i < 900; i++)); do
    if [ "$(curl -sS --max-time 5 --noproxy '*' --cacert "$dir/pki/ca.crt" -H "Authorization: Bearer $admin" \
        "https://127.0.0.1:$port/readyz" 2>/dev/null || true)" = ok ]; then
        exit 0
    fi
    if [ -s "$dir/kube-apiserver.pid" ] && ! alive && ! kill -0 "$launcher" 2>/dev/null; then
        echo "kube-apiserver ended before it was ready; its log is $dir/kube-apiserver.log" >&2
        exit 1
    fi
    sleep 0.2
done
echo "kube-apiserver is not ready after 3 minutes; its log is $dir/kube-apiserver.log" >&2
exit 1
RESTART
    } >"$dir/restart-apiserver"
    chmod +x "$dir/restart-apiserver"
}

start_etcd() {
    local dir=$1 bin=$2 port=$3 peer_port=$4 options=() i
    # Nothing here has to survive a power cut; without fsync a slow disk does not disturb tests that measure time.
    if "$bin/etcd" --help 2>&1 | grep -q -- '--unsafe-no-fsync'; then options+=(--unsafe-no-fsync); fi
    # shellcheck disable=SC2016
    setsid bash -c '
        pid_file=$1
        shift
        echo "$$" >"$pid_file.new"
        mv "$pid_file.new" "$pid_file"
        exec "$@"
    ' etcd "$dir/etcd.pid" "$bin/etcd" --name=lease-test "--data-dir=$dir/etcd" \
        "--listen-client-urls=http://127.0.0.1:$port" "--advertise-client-urls=http://127.0.0.1:$port" \
        "--listen-peer-urls=http://127.0.0.1:$peer_port" "--initial-advertise-peer-urls=http://127.0.0.1:$peer_port" \
        "--initial-cluster=lease-test=http://127.0.0.1:$peer_port" \
        "${options[@]}" </dev/null >>"$dir/etcd.log" 2>&1 9>&- &
    local launcher=$!
    for ((i = 0; i < 300; i++)); do
        if curl -sS --max-time 5 --noproxy '*' "http://127.0.0.1:$port/health" 2>/dev/null | grep -q '"health": *"true"'; then
            return 0
        fi
        if [ -s "$dir/etcd.pid" ] && ! alive "$dir/etcd.pid" "--data-dir=$dir/etcd" && ! kill -0 "$launcher" 2>/dev/null; then
            return 1
        fi
        sleep 0.2
    done
    return 1
}

# post PATH JSON: creates an object as admin; that it exists already is fine.
post() {
    local status
    status=$(curl -sS --max-time 30 --noproxy '*' --cacert "$dir/pki/ca.crt" -H "Authorization: Bearer $admin" \
        -H 'Content-Type: application/json' -o "$dir/last-answer" -w '%{http_code}' \
        -d "$2" "https://127.0.0.1:$port$1")
    case $status in
    201 | 409) ;;
    *)
        cat "$dir/last-answer" >&2
        die "POST $1 answers $status"
        ;;
    esac
}

absolute() {
    [ -n "${1:-}" ] || die "which DIR?"
    mkdir -p "$1"
    (cd "$1" && pwd -P)
}

running() {
    alive "$1/etcd.pid" "--data-dir=$1/etcd" && alive "$1/kube-apiserver.pid" "--token-auth-file=$1/tokens.csv" && [ -s "$1/env" ]
}

stop_all() {
    end "$1/kube-apiserver.pid" "--token-auth-file=$1/tokens.csv"
    end "$1/etcd.pid" "--data-dir=$1/etcd"
}

start() {
    local dir bin port etcd_port peer_port admin holder nobody attempt up=no
    dir=$(absolute "${1:-}")
    exec 9>"$dir/lock"
    flock 9
    if running "$dir"; then
        say "it runs already: source $dir/env"
        exec 9>&-
        return
    fi
    bin=$(exec 9>&- && provide)
    [ -n "$bin" ] || die "no binaries"
    stop_all "$dir"
    umask 077
    # A new start is a new cluster.
    rm -rf "$dir/etcd" "$dir/pki" "$dir/env" "$dir/etcd.log" "$dir/kube-apiserver.log"
    make_pki "$dir/pki" >"$dir/pki.log" 2>&1 || {
        cat "$dir/pki.log" >&2
        die "openssl failed"
    }
    admin=$(openssl rand -hex 16)
    holder=$(openssl rand -hex 16)
    nobody=$(openssl rand -hex 16)
    printf '%s,%s,%s,"%s"\n' "$admin" admin 1 system:masters "$holder" holder 2 lease-holders \
        "$nobody" nobody 3 lease-nobodies >"$dir/tokens.csv"

    # A port that was free may be taken a moment later: then all over again with others.
    for attempt in 1 2 3 4 5; do
        etcd_port=$(free_port)
        peer_port=$(free_port)
        port=$(free_port)
        write_restart "$dir" "$bin" "$port" "$etcd_port"
        rm -rf "$dir/etcd"
        if start_etcd "$dir" "$bin" "$etcd_port" "$peer_port" && "$dir/restart-apiserver" 9>&-; then
            up=yes
            break
        fi
        stop_all "$dir"
        grep -qs 'address already in use' "$dir/etcd.log" "$dir/kube-apiserver.log" || break
        say "attempt $attempt: a port was taken meanwhile"
    done
    if [ "$up" = no ]; then
        tail -n 20 "$dir/etcd.log" "$dir/kube-apiserver.log" >&2 || true
        die "etcd and kube-apiserver did not start"
    fi

    # The holder's rights are the ones that the README documents: exactly these four verbs, in one namespace.
    local rbac=/apis/rbac.authorization.k8s.io/v1/namespaces/$NAMESPACE subject
    post /api/v1/namespaces '{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"'$NAMESPACE'"}}'
    post "$rbac/roles" '{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"Role","metadata":{"name":"lease-holder"},
        "rules":[{"apiGroups":["coordination.k8s.io"],"resources":["leases"],"verbs":["get","create","update","delete"]}]}'
    for subject in holder cert-holder; do
        post "$rbac/rolebindings" '{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding",
            "metadata":{"name":"lease-'$subject'"},
            "subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":"'$subject'"}],
            "roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"lease-holder"}}'
    done
    rm -f "$dir/last-answer"
    # Authorization sees a new binding a moment after it is stored.
    for ((attempt = 0; attempt < 100; attempt++)); do
        [ "$(curl -sS --max-time 5 --noproxy '*' --cacert "$dir/pki/ca.crt" -H "Authorization: Bearer $holder" -o /dev/null \
            -w '%{http_code}' "https://127.0.0.1:$port/apis/coordination.k8s.io/v1/namespaces/$NAMESPACE/leases/none")" = 404 ] &&
            [ "$(curl -sS --max-time 5 --noproxy '*' --cacert "$dir/pki/ca.crt" --cert "$dir/pki/client.crt" --key "$dir/pki/client.key" \
                -o /dev/null -w '%{http_code}' "https://127.0.0.1:$port/apis/coordination.k8s.io/v1/namespaces/$NAMESPACE/leases/none")" = 404 ] &&
            break
        sleep 0.1
    done

    {
        printf 'export %s=%q\n' \
            LEASE_TEST_SERVER "https://127.0.0.1:$port" \
            LEASE_TEST_CA "$dir/pki/ca.crt" \
            LEASE_TEST_TOKEN "$admin" \
            LEASE_TEST_HOLDER_TOKEN "$holder" \
            LEASE_TEST_NOBODY_TOKEN "$nobody" \
            LEASE_TEST_NAMESPACE "$NAMESPACE" \
            LEASE_TEST_CLIENT_CERT "$dir/pki/client.crt" \
            LEASE_TEST_CLIENT_KEY "$dir/pki/client.key" \
            LEASE_TEST_APISERVER_PID "$dir/kube-apiserver.pid" \
            LEASE_TEST_APISERVER_RESTART "$dir/restart-apiserver"
    } >"$dir/env.new"
    mv "$dir/env.new" "$dir/env"
    exec 9>&-
    say "kube-apiserver on https://127.0.0.1:$port: source $dir/env"
}

stop() {
    local dir
    dir=$(absolute "${1:-}")
    exec 9>"$dir/lock"
    flock 9
    stop_all "$dir"
    exec 9>&-
}

run() {
    local dir status=0
    dir=$(absolute "${1:-}")
    shift
    [ "${1:-}" = -- ] || die "usage: run DIR -- CMD…"
    shift
    [ $# -gt 0 ] || die "which CMD?"
    if running "$dir"; then die "a server runs in $dir already, and 'run' would stop it; choose another folder"; fi
    run_dir=$dir
    trap 'stop "$run_dir"' EXIT
    # A reader that is gone must not keep this script from stopping the servers; CMD gets the usual SIGPIPE.
    trap : PIPE
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    # In a subshell: the umask of `start` is not CMD's.
    (start "$dir")
    (
        # shellcheck source=/dev/null
        . "$dir/env"
        exec "$@"
    ) || status=$?
    exit "$status"
}

usage() {
    sed -n '2,/^set -euo/s/^# \{0,1\}//p' "$me" >&2
    exit 2
}

command=${1:-}
if [ $# -gt 0 ]; then shift; fi
case $command in
provide) provide ;;
start) start "$@" ;;
stop) stop "$@" ;;
run) run "$@" ;;
*) usage ;;
esac

#!/usr/bin/env bash
# Kubeconfigs on a real API server: a client certificate, a token, and an exec plugin in both versions of its interface,
# each through both adapters.
#
#   kube-apiserver.sh run DIR -- kubeconfig.sh       in the environment that kube-apiserver.sh makes
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

: "${LEASE_TEST_SERVER:?run me by kube-apiserver.sh run}" "${LEASE_TEST_CA:?}" "${LEASE_TEST_HOLDER_TOKEN:?}"
: "${LEASE_TEST_CLIENT_CERT:?}" "${LEASE_TEST_CLIENT_KEY:?}"
namespace=${LEASE_TEST_NAMESPACE:-default}

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# A plugin as cloud providers have them: it prints an ExecCredential for whoever asks in the right version.
cat >"$dir/plugin" <<'PLUGIN'
#!/usr/bin/env bash
set -euo pipefail
version=client.authentication.k8s.io/$2
case ${KUBERNETES_EXEC_INFO:?} in *"\"$version\""*) ;; *) exit 1 ;; esac
printf '{"apiVersion": "%s", "kind": "ExecCredential", "status": {"token": "%s"}}' "$version" "$(cat "$1")"
printf '%s\n' "$2" >>"$1.runs"
PLUGIN
chmod +x "$dir/plugin"
printf '%s' "$LEASE_TEST_HOLDER_TOKEN" >"$dir/token"

# Two files of one list: the clusters and users in one, the contexts in the other.
cat >"$dir/clusters" <<YAML
apiVersion: v1
kind: Config
clusters:
- name: real
  cluster:
    server: $LEASE_TEST_SERVER
    certificate-authority: $LEASE_TEST_CA
users:
- name: certificate
  user:
    client-certificate: $LEASE_TEST_CLIENT_CERT
    client-key-data: $(base64 -w 0 "$LEASE_TEST_CLIENT_KEY")
- name: token
  user:
    token: $LEASE_TEST_HOLDER_TOKEN
- name: plugin
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: ./plugin
      args: ["$dir/token", v1]
      interactiveMode: Never
      provideClusterInfo: true
- name: plugin-v1beta1
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1beta1
      command: ./plugin
      args: ["$dir/token", v1beta1]
YAML
cat >"$dir/contexts" <<YAML
apiVersion: v1
kind: Config
current-context: certificate
contexts:
$(for user in certificate token plugin plugin-v1beta1; do
    printf -- '- {name: %s, context: {cluster: real, user: %s, namespace: %s}}\n' "$user" "$user" "$namespace"
done)
YAML
export KUBECONFIG=$dir/contexts:$dir/clusters

cargo build --locked --quiet -p lease-tokio --example failover
cargo build --locked --quiet -p lease-async-std --example hold
for context in certificate token plugin plugin-v1beta1; do
    printf -- '--- context %s: failover on tokio, hold on async-std\n' "$context"
    cargo run --locked --quiet -p lease-tokio --example failover -- --context "$context" --namespace "$namespace" | tail -n 6
    cargo run --locked --quiet -p lease-async-std --example hold -- --context "$context" --namespace "$namespace" | tail -n 5
done
for version in v1 v1beta1; do
    printf 'the plugin was run %s times as %s\n' "$(grep -cx "$version" "$dir/token.runs")" "$version"
done
# kubectl reads the same files in the same way.
if command -v kubectl >/dev/null; then kubectl --context plugin -n "$namespace" auth can-i create leases; fi

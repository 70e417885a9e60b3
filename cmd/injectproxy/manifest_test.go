package main

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

// manifestDirs are those with manifests, below deploy.
var manifestDirs = []string{
	"kubernetes/gate", "kubernetes/serve", "container-apps",
	"kubernetes/overlays/example-gate", "kubernetes/overlays/example-serve", "kubernetes/overlays/example-servers",
}

// wrongManifests returns what is wrong with the manifests in a directory of tree,
// which is that of deploy.
func wrongManifests(t testing.TB, tree fs.FS, dir string) []string {
	t.Helper()
	read := readManifests
	switch {
	case dir == "container-apps":
		return wrongApp(t, tree)
	case path.Base(dir) == "example-servers":
		return wrongServers(t, tree, dir)
	case path.Dir(dir) == "kubernetes/overlays":
		read = readOverlay
	}
	m, err := read(tree, dir)
	if err != nil {
		return []string{err.Error()}
	}
	return m.disagreements(t, tree)
}

// secretsIn returns the files that hold a secret, or look as if they did.
func secretsIn(tree fs.FS) (found []string) {
	secret := regexp.MustCompile(`(?m)^kind: Secret$|^ *(stringData|data):|secretGenerator|eyJ|PRIVATE KEY|^[^#\n]*\b(?i:password|secret|token): +[^ #\n]`)
	fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) != ".yaml" && path.Ext(name) != ".toml" {
			return err
		}
		text, err := fs.ReadFile(tree, name)
		if m := secret.Find(text); m != nil {
			found = append(found, name+" holds a secret: "+string(m))
		}
		return err
	})
	return found
}

// The manifests agree with each other, with the configuration that they mount, and
// with the program: probes, ports, and the time that a replica has to end.
func TestManifestsAgreeWithEachOtherAndWithTheProgram(t *testing.T) {
	t.Parallel()
	for _, dir := range manifestDirs {
		for _, w := range wrongManifests(t, os.DirFS(deploy), dir) {
			t.Error(w)
		}
	}
	for _, w := range secretsIn(os.DirFS(deploy)) {
		t.Error(w)
	}
}

// What they are held against would be of no use if it saw nothing.
func TestEachMistakeInTheManifestsIsSeen(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ file, old, new, want string }{
		{"gate/deployment.yaml", "readinessProbe:", "readynessProbe:", "unknown field"},
		{"gate/deployment.yaml", "runAsNonRoot", "runAsNonroot", "unknown field"},
		{"gate/deployment.yaml", "kind: Deployment", "kind: DaemonSet", "none that our manifests have"},
		{"gate/service.yaml", "kind: Service\n", "kind: Service\nkind: Service\n", "already"},
		{"gate/service.yaml", "spec:", "---\nspec:", "more than one document"},
		{"gate/disruption.yaml", "policy/v1\nkind: PodDisruptionBudget", "v1\nkind: Service", "two of kind"},

		{"gate/kustomization.yaml", "  - network.yaml\n", "", "network.yaml is not in the kustomization"},
		{"gate/kustomization.yaml", "- network.yaml", "- network.yaml\n  - others.yaml", "lists others.yaml"},
		{"overlays/example-gate/kustomization.yaml", "  - path: network.yaml\n", "", "network.yaml is not in"},
		{"overlays/example-gate/kustomization.yaml", "- name: injectproxy\n", "- name: proxy\n", "image proxy is that of no container"},
		{"serve/kustomization.yaml", "- name: injectproxy-serve", "- name: serve", "the ConfigMap is"},

		{"gate/deployment.yaml", "matchLabels:\n      app.kubernetes.io/name: injectproxy-gate", "matchLabels:\n      app.kubernetes.io/name: gate", "Deployment selects"},
		{"gate/deployment.yaml", "labels:\n        app.kubernetes.io/name: injectproxy-gate", "labels:\n        app.kubernetes.io/name: gate", "and the pods have"},
		{"gate/deployment.yaml", "matchLabels:\n              app.kubernetes.io/name: injectproxy-gate", "matchLabels:\n              app.kubernetes.io/name: gate", "spread 0 selects"},
		{"gate/service.yaml", "selector:\n    app.kubernetes.io/name: injectproxy-gate", "selector:\n    app: injectproxy-gate", "Service selects"},
		{"serve/disruption.yaml", "matchLabels:\n      app.kubernetes.io/name: injectproxy-serve", "matchLabels:\n      app.kubernetes.io/name: injectproxy-gate", "PodDisruptionBudget selects"},
		{"gate/network.yaml", "podSelector:\n    matchLabels:\n      app.kubernetes.io/name: injectproxy-gate", "podSelector:\n    matchLabels: {}", "NetworkPolicy selects"},
		{"gate/autoscaler.yaml", "kind: Deployment\n    name: injectproxy-gate", "kind: Deployment\n    name: gate", "the autoscaler scales"},
		{"overlays/example-gate/autoscaler.yaml", "name: injectproxy-gate", "name: gate", `HorizontalPodAutoscaler is "gate"`},
		{"overlays/example-gate/autoscaler.yaml", "minReplicas: 3", "minReplicas: 1", "one replica"},
		{"gate/disruption.yaml", "maxUnavailable: 1", "maxUnavailable: 2", "one replica"},
		{"gate/deployment.yaml", "maxUnavailable: 0", "maxUnavailable: 1", "a roll-out takes replicas away"},
		{"gate/deployment.yaml", "      maxUnavailable: 0\n", "", "a roll-out takes replicas away"},

		{"gate/deployment.yaml", "serviceAccountName: injectproxy-gate", "serviceAccountName: default", `of ServiceAccount "default"`},
		{"gate/deployment.yaml", `workload.identity/use: "true"`, `workload.identity/use: "false"`, "the pods have a workload identity: false"},
		{"gate/gate.toml", `federated = "workload-identity"`, `federated = "managed-identity"`, "the configuration wants one: false"},
		{"serve/serviceaccount.yaml", "azure.workload.identity/client-id", "azure.workload.identity/client", "no client-id"},
		{"gate/serviceaccount.yaml", "automountServiceAccountToken: false", "automountServiceAccountToken: true", "token for the cluster's API"},
		{"gate/deployment.yaml", "      automountServiceAccountToken: false\n", "", "token for the cluster's API"},

		{"gate/deployment.yaml", `args: ["gate"]`, `args: ["serve"]`, `the container runs`},
		{"gate/deployment.yaml", "image: injectproxy\n", "image: proxy\n", `the container runs "proxy"`},
		{"gate/deployment.yaml", "mountPath: /etc/injectproxy\n", "mountPath: /etc/gate\n", "gate.toml is not where the program looks"},
		{"gate/deployment.yaml", "configMap:\n            name: injectproxy-gate", "configMap:\n            name: gate", "gate.toml is not where"},
		{"serve/config.toml", "/run/injectproxy/build-farm", "/run/build-farm", "build-farm is not mounted from the Secret"},
		{"gate/deployment.yaml", "secretName: injectproxy-gate", "secretName: gate", "redis-password is not mounted from the Secret"},
		{"serve/deployment.yaml", "mountPath: /run/injectproxy\n", "mountPath: /run/other\n", "build-farm is not mounted"},
		{"gate/deployment.yaml", "mountPath: /run/cluster-ca\n", "mountPath: /run/ca\n", "ca.crt is not mounted from a ConfigMap"},
		{"gate/deployment.yaml", "defaultMode: 0440", "defaultMode: 0444", "has mode 444"},
		{"gate/deployment.yaml", "mountPath: /var/lib/injectproxy", "mountPath: /var/lib/other", "no home in memory"},
		{"gate/deployment.yaml", "            - name: home\n", "            - name: house\n", "mounts house, which there is not"},
		{"gate/deployment.yaml", "        - name: roots\n          configMap", "        - name: unused\n          emptyDir: {}\n        - name: roots\n          configMap", "nobody mounts unused"},
		{"gate/deployment.yaml", "mountPath: /run/injectproxy\n              readOnly: true", "mountPath: /run/injectproxy", "mounts secrets read-only: false"},

		{"gate/deployment.yaml", "runAsNonRoot: true", "runAsNonRoot: false", "the pods run as"},
		{"gate/deployment.yaml", "runAsUser: 65532", "runAsUser: 0", "the pods run as"},
		{"serve/deployment.yaml", "fsGroupChangePolicy: OnRootMismatch", "fsGroupChangePolicy: Always", "the pods run as"},
		{"serve/deployment.yaml", "type: RuntimeDefault", "type: Unconfined", "the pods run as"},
		{"serve/deployment.yaml", "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "ca is not confined"},
		{"gate/deployment.yaml", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "gate is not confined"},
		{"gate/deployment.yaml", `drop: ["ALL"]`, `drop: ["NET_RAW"]`, "gate is not confined"},
		{"gate/deployment.yaml", "limits:\n              memory: 1Gi", "limits: {}", "gate has no resources"},
		{"gate/deployment.yaml", "value: 900MiB", "value: 9GiB", "the environment has"},
		{"gate/deployment.yaml", "- name: GOMEMLIMIT", "- name: AZURE_CLIENT_SECRET", "the environment has"},

		{"gate/deployment.yaml", "containerPort: 8080", "containerPort: 8081", "the program listens on"},
		{"gate/gate.toml", `":8080"`, `":8082"`, "the program listens on"},
		{"gate/deployment.yaml", "path: /readyz", "path: /ready", "a probe asks for /ready"},
		{"gate/deployment.yaml", "path: /healthz", "path: /readyz", "a probe asks for /readyz"},
		{"gate/deployment.yaml", "path: /healthz\n              port: http", "path: /healthz\n              port: admin", "at admin"},
		{"serve/deployment.yaml", "path: /readyz\n              port: admin", "path: /readyz\n              port: proxy", "at proxy"},
		{"gate/service.yaml", "targetPort: http", "targetPort: web", "leads to web"},
		{"gate/gate.toml", `token_file = "/run/injectproxy/metrics-token"`, `token_file = ""`, "without a token"},

		{"gate/deployment.yaml", "terminationGracePeriodSeconds: 45", "terminationGracePeriodSeconds: 39", "it takes 40s"},
		{"gate/gate.toml", `drain       = "30s"`, `drain       = "36s"`, "it takes 46s"},
		{"serve/deployment.yaml", "terminationGracePeriodSeconds: 50", "terminationGracePeriodSeconds: 30", "it takes 40s"},
		{"serve/deployment.yaml", "sleep:\n                seconds: 5", "sleep:\n                seconds: 1", "it goes on for 1s"},
		{"gate/deployment.yaml", "readinessProbe:", "lifecycle:\n            preStop:\n              sleep:\n                seconds: 5\n          readinessProbe:", "the gate does so itself"},
		{"gate/deployment.yaml", "periodSeconds: 1\n            timeoutSeconds: 2", "periodSeconds: 10\n            timeoutSeconds: 2", "is seen after 20s"},

		{"gate/network.yaml", `policyTypes: ["Ingress", "Egress"]`, `policyTypes: ["Ingress"]`, "the policy is for"},
		{"gate/network.yaml", "- port: 8079", "- port: 8080", "the policy lets in at"},
		{"gate/network.yaml", "kubernetes.io/metadata.name: ingress-nginx", "{}", "or everybody"},
		{"serve/network.yaml", `, "169.254.0.0/16"`, "", "the metadata service"},
		{"gate/network.yaml", "- port: 6380", "- port: 6379", "lets out to ports"},
		{"gate/network.yaml", "      ports:\n        - port: 443\n", "", "on every port"},
		{"overlays/example-gate/gate.toml", ":8443", ":9443", "lets out to ports"},

		{"overlays/example-gate/ingress.yaml", "- host: tools", "- host: tool", "public_url says otherwise"},
		{"overlays/example-gate/ingress.yaml", `hosts: ["tools`, `hosts: ["tool`, "public_url says otherwise"},
		{"overlays/example-gate/ingress.yaml", "name: http\n", "name: admin\n", "the Ingress leads"},
		{"overlays/example-gate/ingress.yaml", `proxy-buffering: "off"`, `proxy-buffering: "on"`, "the Ingress buffers"},

		{"serve/network.yaml", "::/0", "fc00::/8", "the internet in one family"},
		{"gate/network.yaml", `["fc00::/7", "fe80::/10"]`, `["fe80::/10"]`, "networks of one's own"},
		{"gate/network.yaml", `"10.0.0.0/8", `, "", "networks of one's own"},
		{"gate/network.yaml", "169.254.20.10/32", "169.254.20.11/32", "no cache of names"},
		{"serve/network.yaml", "169.254.10.10/31", "169.254.0.0/16", "the metadata service"},
		{"serve/config.toml", `":8877"`, `"0.0.0.0:8877"`, "not in each family"},
		{"gate/gate.toml", `":8079"`, `"[::]:8079"`, "not in each family"},

		{"overlays/example-serve/kustomization.yaml", "namespace: egress\n", "", "says no namespace"},
		{"overlays/example-serve/namespace.yaml", "name: egress", "name: default", `makes namespace "default"`},
		{"overlays/example-gate/namespace.yaml", "enforce: restricted", "enforce: privileged", "admits pods"},
		{"overlays/example-serve/kustomization.yaml", "- ../../serve\n", "- ../../gate\n", "is that of no container"},
		{"overlays/example-serve/kustomization.yaml", "- ../../serve\n", "- ../../others\n", "others"},
		{"overlays/example-serve/kustomization.yaml", "- name: busybox", "- name: alpine", "image busybox is from anywhere"},
		{"overlays/example-gate/kustomization.yaml", "newName: registry.corp.example/platform/injectproxy", "newName: injectproxy", "image injectproxy is from anywhere"},
		{"overlays/example-serve/kustomization.yaml", "digest: sha256:", "newTag: sha256-", "busybox by a name that can be moved"},
		{"overlays/example-serve/config.toml", "/run/injectproxy/nightly-report", "/run/nightly-report", "nightly-report is not mounted"},
		{"overlays/example-serve/config.toml", `permit = ["tools.`, `permit = ["other.`, "configuration: "},

		{"overlays/example-servers/kustomization.yaml", "namespace: cost", "namespace: mcp", "upstream https://cost-0.cost.cost:8443"},
		{"overlays/example-servers/network.yaml", "podSelector: {}", "podSelector:\n    matchLabels:\n      app: cost", "does not select each pod"},
		{"overlays/example-servers/network.yaml", `policyTypes: ["Ingress"]`, `policyTypes: ["Egress"]`, "the policy is for"},
		{"overlays/example-servers/network.yaml", "name: mcp-gate", "name: gate", "others than the gate"},
		{"overlays/example-servers/network.yaml", "name: injectproxy-gate\n      ports", "name: gate\n      ports", "others than the gate"},
		{"overlays/example-servers/network.yaml", "          podSelector", "        - podSelector", "others than the gate"},
		{"overlays/example-servers/network.yaml", "        - port: 8443\n", "        - port: 9443\n", "lets in at"},
		{"overlays/example-servers/network.yaml", "      ports:\n        - port: 8443\n", "", "lets in at"},

		{"gate/gate.toml", `tenants   = ["`, `tenants   = ["x`, "configuration: "},
		{"serve/config.toml", `rules      = ["tools"]`, `rules      = ["tool"]`, "configuration: "},
		{"gate/service.yaml", "kind: Service\n", "kind: Secret\n", "holds a secret"},
		{"gate/serviceaccount.yaml", "annotations:", "annotations:\n    password: hunter2", "holds a secret"},
	} {
		t.Run(tt.want, func(t *testing.T) { wantSeen(t, "kubernetes/"+tt.file, tt.old, tt.new, tt.want) })
	}
}

// wantSeen puts new in the place of old in a file of deploy, and wants that seen.
func wantSeen(t *testing.T, file, old, new, want string) {
	t.Helper()
	tree := fstest.MapFS{}
	err := fs.WalkDir(os.DirFS(deploy), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(deploy + name)
		tree[name] = &fstest.MapFile{Data: text}
		return err
	})
	must(t, err)
	if tree[file] == nil || !strings.Contains(string(tree[file].Data), old) {
		t.Fatalf("%s has no %q", file, old)
	}
	tree[file] = &fstest.MapFile{Data: []byte(strings.Replace(string(tree[file].Data), old, new, 1))}
	found := append(wrongManifests(t, tree, path.Dir(file)), secretsIn(fstest.MapFS{file: tree[file]})...)
	if got := strings.Join(found, "\n"); !strings.Contains(got, want) {
		t.Errorf("%q for %q in %s: what is wrong is\n%s\nwant %s", new, old, file, got, want)
	}
}

package main

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// readOverlay reads the base of the overlay in dir and what it says in its place.
func readOverlay(tree fs.FS, dir string) (*manifests, error) {
	over, err := readManifests(tree, dir)
	if err != nil {
		return nil, err
	}
	base := slices.IndexFunc(over.kust.Resources, func(r string) bool { return strings.HasPrefix(r, "../") })
	if base < 0 {
		return nil, fmt.Errorf("%s has no base", dir)
	}
	m, err := readManifests(tree, path.Join(dir, over.kust.Resources[base]))
	if err != nil {
		return nil, err
	}
	m.dir, m.over, m.kust, m.namespace, m.ingress = dir, true, over.kust, over.namespace, over.ingress
	if over.account.Kind != "" {
		m.account.Metadata.Name = over.account.Metadata.Name
		m.account.Metadata.Annotations = over.account.Metadata.Annotations
	}
	if over.scale.Kind != "" {
		m.scale.Metadata.Name = over.scale.Metadata.Name
		m.scale.Spec.MinReplicas, m.scale.Spec.MaxReplicas = over.scale.Spec.MinReplicas, over.scale.Spec.MaxReplicas
	}
	if over.network.Kind != "" {
		m.network.Metadata.Name = over.network.Metadata.Name
		m.network.Spec.Egress = over.network.Spec.Egress
	}
	return m, nil
}

// overlaid holds an overlay to what no base can say: the namespace, which is part of
// the subject of a federated credential, and where each image is from.
func (m *manifests) overlaid(say sayf) {
	if m.kust.Namespace == "" {
		say("says no namespace")
	}
	if made := m.namespace.Metadata; made.Name != m.kust.Namespace {
		say("makes namespace %q, and is for %q", made.Name, m.kust.Namespace)
	} else if made.Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
		say("the namespace admits pods that are not confined")
	}
	spec := m.deployment.Spec.Template.Spec
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		m.pulled(c.imageName(), say)
	}
}

// pulled wants an image from a registry of one's own, and one that is not the
// program's by its digest.
func (m *manifests) pulled(name string, say sayf) {
	for _, i := range m.kust.Images {
		if i.Name != name || !strings.HasPrefix(i.NewName, "registry.corp.example/") {
			continue
		}
		if pinned := regexp.MustCompile(`^sha256:[0-9a-f]{64}$`).MatchString(i.Digest); !pinned && (name != imageName || i.NewTag == "") {
			say("pulls %s by a name that can be moved", name)
		}
		return
	}
	say("image %s is from anywhere", name)
}

// wrongServers returns what is wrong with the policy for the servers behind the gate
// of the other overlay.
func wrongServers(t testing.TB, tree fs.FS, dir string) (found []string) {
	t.Helper()
	say := func(format string, args ...any) { found = append(found, dir+": "+fmt.Sprintf(format, args...)) }
	m, err := readManifests(tree, dir)
	gate, noGate := readOverlay(tree, path.Join(path.Dir(dir), "example-gate"))
	if err != nil || noGate != nil {
		return append(found, fmt.Sprint(err, noGate))
	}
	m.files(tree, say)
	text, err := fs.ReadFile(tree, path.Join(gate.dir, gate.kust.ConfigMapGenerator[0].Files[0]))
	must(t, err)
	ports := map[int]bool{}
	for _, r := range readMounted(t, string(text)).upstreams {
		if ports[portOf(r.Host)] = true; !strings.HasSuffix(r.Hostname(), "."+m.kust.Namespace) {
			say("is for namespace %q, and not for the upstream %s", m.kust.Namespace, r)
		}
	}
	m.guards(gate, ports, say)
	return found
}

// guards wants the policy m to let in nobody but the pods of the gate.
func (m *manifests) guards(gate *manifests, ports map[int]bool, say sayf) {
	p := m.network.Spec
	if !slices.Equal(p.PolicyTypes, []string{"Ingress"}) {
		say("the policy is for %q", p.PolicyTypes)
	}
	if len(p.PodSelector.MatchLabels) != 0 {
		say("the policy does not select each pod of the namespace")
	}
	for _, f := range p.Ingress {
		for _, from := range f.From {
			if from.NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"] != gate.kust.Namespace ||
				from.PodSelector.MatchLabels["app.kubernetes.io/name"] != gate.deployment.Spec.Template.Metadata.Labels["app.kubernetes.io/name"] {
				say("the policy lets in others than the gate: %v", from)
			}
		}
		if len(f.From) == 0 {
			say("the policy lets in others than the gate: everybody")
		}
		if len(f.Ports) != len(ports) || len(f.Ports) == 0 || !ports[f.Ports[0].Port] {
			say("the policy lets in at %v, and the servers listen on %v", f.Ports, ports)
		}
	}
}

// Where the configurations are written, what they name is not.
func TestDeployedConfigurationsAreCheckedAsThePageSays(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/deploy.md")
	must(t, err)
	for file, says := range map[string]string{
		"gate.toml":   "injectproxy gate check --without-files --config …/",
		"config.toml": "injectproxy check --config …/",
	} {
		if !strings.Contains(string(page), "`"+says+file+"`") {
			t.Errorf("the page has no %s%s", says, file)
		}
		found, err := fs.Glob(os.DirFS(deploy), "kubernetes/*/"+file)
		must(t, err)
		over, err := fs.Glob(os.DirFS(deploy), "kubernetes/overlays/*/"+file)
		must(t, err)
		if found = append(found, over...); len(found) != 2 {
			t.Errorf("of %s there are %q", file, found)
		}
		for _, name := range found {
			args := strings.Fields(strings.Replace(says, "…/", deploy+name, 1))[1:]
			if out, status := runToEnd(t, t.TempDir(), nil, args...); status != 0 || strings.Contains(out, "error: ") {
				t.Errorf("%q: status %d\n%s", args, status, out)
			}
		}
	}
}

// What the page says to apply is there, once it was copied as the page says; and
// the subjects of the federated credentials are those of the overlays.
func TestDeployDocsAreOfTheOverlays(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../docs/deploy.md")
	must(t, err)
	page := string(b)
	wants := func(text string) {
		if !strings.Contains(page, text) {
			t.Errorf("the page has no %q", text)
		}
	}
	entries, err := os.ReadDir(deploy + "kubernetes/overlays")
	must(t, err)
	for _, e := range entries {
		ours := "deploy/kubernetes/overlays/" + strings.Replace(e.Name(), "example-", "our-", 1)
		wants("cp -r deploy/kubernetes/overlays/" + e.Name() + " " + ours)
		wants("kubectl apply -k " + ours + "\n")
		if e.Name() == "example-servers" {
			continue // it runs nothing
		}
		m, err := readOverlay(os.DirFS(deploy), "kubernetes/overlays/"+e.Name())
		must(t, err)
		wants("kubectl apply -f " + ours + "/namespace.yaml\n") // before what is put into it
		wants("kubectl --namespace " + m.kust.Namespace + " create secret")
		wants("system:serviceaccount:" + m.kust.Namespace + ":" + m.account.Metadata.Name)
	}
	for _, name := range regexp.MustCompile(`\bdeploy/[\w./-]*\w`).FindAllString(page, -1) {
		if _, err := os.Stat("../../" + strings.Replace(name, "overlays/our-", "overlays/example-", 1)); err != nil {
			t.Error(err)
		}
	}
}

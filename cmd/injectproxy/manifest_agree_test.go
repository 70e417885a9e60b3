package main

import (
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/config"
)

// image of the containers, by the name under which the Dockerfile says to build it.
const imageName = "injectproxy"

// mounts is a configuration of the manifests, as the container of the program has it.
type mounts struct {
	command    string // gate or serve
	file       string // its name
	listen     string
	admin      string
	drain      time.Duration
	secrets    []string // files that it names and that nobody else may read, by their path in the container
	public     []string // other files that it names
	upstreams  []*url.URL
	reaches    []*url.URL // with those
	federated  bool
	adminToken bool
	problems   []config.Problem
}

// ports are those that it listens on.
func (c mounts) ports() []int { return []int{portOf(c.listen), portOf(c.admin)} }

func portOf(address string) int {
	n, _ := strconv.Atoi(address[strings.LastIndex(address, ":")+1:])
	return n
}

// readMounted loads a configuration as the container would: what it names is there.
func readMounted(t testing.TB, text string) mounts {
	t.Helper()
	root := filepath.ToSlash(t.TempDir())
	for _, name := range []string{"redis-password", "metrics-token", "build-farm", "nightly-report"} {
		writeTestFile(t, root+"/run/injectproxy/"+name, strings.Repeat("s", 40))
	}
	writeTestFile(t, root+"/run/cluster-ca/ca.crt", string(origins().pem))
	text = strings.ReplaceAll(text, `"/run/`, `"`+root+"/run/")
	inside := func(file string) string { return strings.TrimPrefix(filepath.ToSlash(file), root) }
	if strings.Contains(text, "public_url") {
		return mountedGate(t, root, text, inside)
	}
	writeTestFile(t, root+"/config.toml", text)
	cfg, problems := config.Load(root + "/config.toml")
	c := mounts{command: "serve", file: "config.toml", federated: true, problems: problems}
	if cfg == nil {
		return c
	}
	c.listen, c.admin, c.drain, c.adminToken = cfg.Listen, cfg.Admin.Listen, cfg.Drain, cfg.Admin.TokenFile != ""
	c.secrets = append(c.secrets, inside(cfg.Admin.TokenFile))
	for _, client := range cfg.Access.Clients {
		c.secrets = append(c.secrets, inside(client.TokenFile))
	}
	return c
}

func mountedGate(t testing.TB, root, text string, inside func(string) string) mounts {
	t.Helper()
	writeTestFile(t, root+"/gate.toml", text)
	cfg, problems := config.LoadGate(root + "/gate.toml")
	c := mounts{command: "gate", file: "gate.toml", problems: problems}
	if cfg == nil {
		return c
	}
	c.listen, c.admin, c.drain, c.adminToken = cfg.Listen, cfg.Admin.Listen, cfg.Drain, cfg.Admin.TokenFile != ""
	if c.adminToken {
		c.secrets = append(c.secrets, inside(cfg.Admin.TokenFile))
	}
	if redis, err := url.Parse(cfg.Redis.URL); err == nil && cfg.Redis.URL != "" {
		c.secrets, c.reaches = append(c.secrets, inside(cfg.Redis.PasswordFile)), append(c.reaches, redis)
	}
	for _, file := range cfg.Upstream.CA {
		c.public = append(c.public, inside(file))
	}
	for _, r := range cfg.Routes {
		c.upstreams, c.reaches = append(c.upstreams, r.Upstreams...), append(c.reaches, r.Upstreams...)
		c.federated = c.federated || r.OnBehalfOf != nil && r.OnBehalfOf.Federated == "workload-identity"
	}
	return c
}

// disagreements returns where the manifests contradict each other, their
// configuration or the program.
func (m *manifests) disagreements(t testing.TB, tree fs.FS) (found []string) {
	t.Helper()
	say := func(format string, args ...any) { found = append(found, m.dir+": "+fmt.Sprintf(format, args...)) }
	m.files(tree, say)
	if m.over {
		m.overlaid(say)
	}
	if len(m.deployment.Spec.Template.Spec.Containers) != 1 || len(m.kust.ConfigMapGenerator) != 1 || len(m.kust.ConfigMapGenerator[0].Files) != 1 {
		say("wants one container and one ConfigMap of one file")
		return found
	}
	text, err := fs.ReadFile(tree, path.Join(m.dir, m.kust.ConfigMapGenerator[0].Files[0]))
	if err != nil {
		return append(found, err.Error())
	}
	cfg := readMounted(t, string(text))
	for _, p := range cfg.problems {
		say("configuration: %s", p)
	}
	m.names(say)
	m.identity(cfg, say)
	m.mounting(cfg, say)
	m.confined(say)
	m.probed(cfg, say)
	m.timed(cfg, say)
	m.networked(cfg, say)
	m.reached(string(text), say)
	return found
}

type sayf = func(format string, args ...any)

// files are all listed, and all that is listed is there.
func (m *manifests) files(tree fs.FS, say sayf) {
	listed := slices.Clone(m.kust.Resources)
	for _, p := range m.kust.Patches {
		listed = append(listed, p.Path)
	}
	for _, g := range m.kust.ConfigMapGenerator {
		listed = append(listed, g.Files...)
	}
	entries, _ := fs.ReadDir(tree, m.dir)
	for _, e := range entries {
		if e.Name() != "kustomization.yaml" && !slices.Contains(listed, e.Name()) {
			say("%s is not in the kustomization", e.Name())
		}
	}
	for _, name := range listed {
		if _, err := fs.Stat(tree, path.Join(m.dir, name)); err != nil {
			say("the kustomization lists %s: %v", name, err)
		}
	}
	spec := m.deployment.Spec.Template.Spec
	for _, i := range m.kust.Images {
		if !slices.ContainsFunc(slices.Concat(spec.InitContainers, spec.Containers), func(c container) bool { return c.imageName() == i.Name }) {
			say("image %s is that of no container", i.Name)
		}
	}
}

// names and labels agree.
func (m *manifests) names(say sayf) {
	name := m.deployment.Metadata.Name
	own := labels{"app.kubernetes.io/name": name}
	pod := m.deployment.Spec.Template
	for _, o := range []object{m.deployment.object, m.service.object, m.account.object, m.scale.object, m.disruption.object, m.network.object} {
		if o.Metadata.Name != name || !maps.Equal(o.Metadata.Labels, own) {
			say("%s is %q with %v", o.Kind, o.Metadata.Name, o.Metadata.Labels)
		}
	}
	selectors := map[string]labels{
		"Deployment": m.deployment.Spec.Selector.MatchLabels, "Service": m.service.Spec.Selector,
		"PodDisruptionBudget": m.disruption.Spec.Selector.MatchLabels, "NetworkPolicy": m.network.Spec.PodSelector.MatchLabels,
	}
	for i, c := range pod.Spec.TopologySpreadConstraints {
		selectors[fmt.Sprintf("spread %d", i)] = c.LabelSelector.MatchLabels
	}
	for kind, s := range selectors {
		if !maps.Equal(s, own) || pod.Metadata.Labels["app.kubernetes.io/name"] != name {
			say("%s selects %v, and the pods have %v", kind, s, pod.Metadata.Labels)
		}
	}
	if to := m.scale.Spec.ScaleTargetRef; to.APIVersion != m.deployment.APIVersion || to.Kind != m.deployment.Kind || to.Name != name {
		say("the autoscaler scales %v", to)
	}
	if g := m.kust.ConfigMapGenerator[0].Name; g != name {
		say("the ConfigMap is %q", g)
	}
	if len(pod.Spec.TopologySpreadConstraints) != 2 || m.scale.Spec.MinReplicas < 2 || m.disruption.Spec.MaxUnavailable >= m.scale.Spec.MinReplicas {
		say("one node, or one replica, is all that there may be")
	}
	if u := m.deployment.Spec.Strategy.RollingUpdate; u.MaxUnavailable == nil || *u.MaxUnavailable != 0 || u.MaxSurge < 1 {
		say("a roll-out takes replicas away before there are others")
	}
}

// identity is the workload's, where the configuration wants one.
func (m *manifests) identity(cfg mounts, say sayf) {
	pod := m.deployment.Spec.Template
	if pod.Spec.ServiceAccountName != m.account.Metadata.Name {
		say("the pods are of ServiceAccount %q", pod.Spec.ServiceAccountName)
	}
	if used := pod.Metadata.Labels["azure.workload.identity/use"] == "true"; used != cfg.federated {
		say("the pods have a workload identity: %v; the configuration wants one: %v", used, cfg.federated)
	}
	for _, key := range []string{"client-id", "tenant-id"} {
		if len(m.account.Metadata.Annotations["azure.workload.identity/"+key]) != 36 {
			say("the ServiceAccount has no %s", key)
		}
	}
	for _, automount := range []*bool{m.account.AutomountServiceAccountToken, pod.Spec.AutomountServiceAccountToken} {
		if automount == nil || *automount {
			say("the pods get a token for the cluster's API")
		}
	}
}

// mounting holds what the configuration names against what is mounted.
func (m *manifests) mounting(cfg mounts, say sayf) {
	spec := m.deployment.Spec.Template.Spec
	c := spec.Containers[0]
	if !slices.Equal(c.Args, []string{cfg.command}) || c.Command != nil || c.Image != imageName {
		say("the container runs %q %q %q", c.Image, c.Command, c.Args)
	}
	if v, rest, ok := m.mounted(c, "/etc/injectproxy/"+cfg.file); !ok || v.ConfigMap.Name != m.kust.ConfigMapGenerator[0].Name || rest != m.kust.ConfigMapGenerator[0].Files[0] {
		say("%s is not where the program looks for it", cfg.file)
	}
	for _, file := range cfg.secrets {
		if v, rest, ok := m.mounted(c, file); !ok || v.Secret.SecretName != m.deployment.Metadata.Name || strings.Contains(rest, "/") {
			say("%s is not mounted from the Secret", file)
		}
	}
	for _, file := range cfg.public {
		if v, _, ok := m.mounted(c, file); !ok || v.ConfigMap.Name == "" {
			say("%s is not mounted from a ConfigMap", file)
		}
	}
	if v, _, ok := m.mounted(c, "/var/lib/injectproxy/credential"); !ok || v.EmptyDir == nil || v.EmptyDir.Medium != "Memory" {
		say("there is no home in memory")
	}
	used := map[string]bool{}
	for _, c := range append(slices.Clone(spec.InitContainers), spec.Containers...) {
		for _, mount := range c.VolumeMounts {
			used[mount.Name] = true
			i := slices.IndexFunc(spec.Volumes, func(v volume) bool { return v.Name == mount.Name })
			if i < 0 {
				say("%s mounts %s, which there is not", c.Name, mount.Name)
			} else if v := spec.Volumes[i]; mount.ReadOnly == (v.EmptyDir != nil) {
				say("%s mounts %s read-only: %v", c.Name, mount.Name, mount.ReadOnly)
			}
		}
	}
	for _, v := range spec.Volumes {
		if !used[v.Name] {
			say("nobody mounts %s", v.Name)
		}
		if v.Secret.SecretName != "" && v.Secret.DefaultMode != 0o440 {
			say("%s has mode %o: what is read from it must not be open to everybody", v.Name, v.Secret.DefaultMode)
		}
	}
}

// confined holds the containers to what the strictest policy of pods admits, and
// their environment to what is no secret.
func (m *manifests) confined(say sayf) {
	spec := m.deployment.Spec.Template.Spec
	if s := spec.SecurityContext; !s.RunAsNonRoot || s.RunAsUser != 65532 || s.RunAsGroup != 65532 || s.FSGroup != 65532 ||
		s.FSGroupChangePolicy != "OnRootMismatch" || s.SeccompProfile.Type != "RuntimeDefault" {
		say("the pods run as %+v", s)
	}
	for _, c := range append(slices.Clone(spec.InitContainers), spec.Containers...) {
		if s := c.SecurityContext; s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || !s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []string{"ALL"}) {
			say("%s is not confined", c.Name)
		}
		if r := c.Resources; r.Requests["cpu"] == "" || r.Requests["memory"] == "" || r.Limits["memory"] == "" {
			say("%s has no resources", c.Name)
		}
	}
	for _, e := range spec.Containers[0].Env {
		if e.Name != "GOMEMLIMIT" || e.Value != "900MiB" || spec.Containers[0].Resources.Limits["memory"] != "1Gi" {
			say("the environment has %s=%s", e.Name, e.Value)
		}
	}
}

// probed holds probes and ports against those that the program serves: that it
// does is held by what starts it.
func (m *manifests) probed(cfg mounts, say sayf) {
	c := m.deployment.Spec.Template.Spec.Containers[0]
	var ports []int
	for _, p := range c.Ports {
		ports = append(ports, p.ContainerPort)
	}
	if !slices.Equal(ports, cfg.ports()) {
		say("the container has ports %v, and the program listens on %v", ports, cfg.ports())
	}
	for _, address := range []string{cfg.listen, cfg.admin} {
		if !strings.HasPrefix(address, ":") {
			say("the program listens on %s: not in each family of addresses", address)
		}
	}
	at := cfg.ports()[0]
	if cfg.command == "serve" { // whose port is a proxy's
		at = cfg.ports()[1]
	}
	for name, p := range map[string]probe{"/readyz": c.ReadinessProbe, "/healthz": c.LivenessProbe, "/healthz ": c.StartupProbe} {
		if p.HTTPGet.Path != strings.TrimSpace(name) || c.port(p.HTTPGet.Port) != at || p.PeriodSeconds == 0 || p.FailureThreshold == 0 {
			say("a probe asks for %s at %v", p.HTTPGet.Path, p.HTTPGet.Port)
		}
	}
	for _, p := range m.service.Spec.Ports {
		if !slices.Contains(ports, c.port(p.TargetPort)) {
			say("the Service leads to %s, which there is not", p.TargetPort)
		}
	}
	if len(m.service.Spec.Ports) != len(ports) || !cfg.adminToken {
		say("the admin port is not served, or without a token")
	}
}

// timed holds the time that a pod is given to end against what the program takes,
// and that in which it is seen that it ends.
func (m *manifests) timed(cfg mounts, say sayf) {
	spec := m.deployment.Spec.Template.Spec
	given, notice := time.Duration(spec.TerminationGracePeriodSeconds)*time.Second, graceMost
	before := time.Duration(spec.Containers[0].Lifecycle.PreStop.Sleep.Seconds) * time.Second
	if cfg.command == "serve" { // it has no grace of its own
		notice = before
	} else if before != 0 {
		say("preStop waits %v, and then the gate does so itself", before)
	}
	if needs := notice + cfg.drain + 5*time.Second; given < needs {
		say("terminationGracePeriodSeconds is %v, and it takes %v", given, needs)
	}
	ready := spec.Containers[0].ReadinessProbe
	if seen := time.Duration(ready.PeriodSeconds*ready.FailureThreshold) * time.Second; notice <= seen {
		say("that a pod ends is seen after %v, and it goes on for %v", seen, notice)
	}
}

// networked holds the policy of the network against who is served and whom the
// program asks.
func (m *manifests) networked(cfg mounts, say sayf) {
	p := m.network.Spec
	if !slices.Equal(p.PolicyTypes, []string{"Ingress", "Egress"}) {
		say("the policy is for %q", p.PolicyTypes)
	}
	var in []int
	for _, f := range p.Ingress {
		for _, port := range f.Ports {
			in = append(in, port.Port)
		}
		if len(f.Ports) == 0 || len(f.From) != 1 || len(f.From[0].NamespaceSelector.MatchLabels) == 0 {
			say("the policy lets in more than one kind of namespace, or everybody")
		}
	}
	if !slices.Equal(in, cfg.ports()) {
		say("the policy lets in at %v, and the program listens on %v", in, cfg.ports())
	}
	out := map[int]bool{}
	for _, f := range p.Egress {
		for _, port := range f.Ports {
			out[port.Port] = true
		}
		if len(f.Ports) == 0 || len(f.To) == 0 {
			say("the policy lets out to everybody, or on every port")
			continue
		}
		f.leads(say)
	}
	wanted := map[int]bool{53: true, 443: true}
	for _, u := range cfg.reaches {
		n, _ := strconv.Atoi(u.Port())
		wanted[n] = true
	}
	if !maps.Equal(out, wanted) {
		say("the policy lets out to ports %v, and the program wants %v", slices.Sorted(maps.Keys(out)), slices.Sorted(maps.Keys(wanted)))
	}
}

// ownNetworks are those that a policy for the internet leaves out, of each family.
// The metadata services are in them, of IPv6 below fc00::/7.
var ownNetworks = map[string][]string{
	"0.0.0.0/0": {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"},
	"::/0":      {"fc00::/7", "fe80::/10"},
}

// leads holds whom a policy lets out to against what no pod is to ask, and what
// each has to, whatever the family of its addresses.
func (f flow) leads(say sayf) {
	blocks := map[string]bool{}
	for _, to := range f.To {
		blocks[to.IPBlock.CIDR] = true
		if own := ownNetworks[to.IPBlock.CIDR]; !slices.Equal(to.IPBlock.Except, own) {
			say("the policy lets out to %s, and so to networks of one's own or the metadata service, for it leaves out other than %v", to.IPBlock.CIDR, own)
		}
		block, err := netip.ParsePrefix(to.IPBlock.CIDR)
		if err == nil && block.Bits() > 0 && block.Contains(netip.MustParseAddr("169.254.169.254")) {
			say("the policy lets out to the metadata service by %s", block)
		}
	}
	if blocks["0.0.0.0/0"] != blocks["::/0"] {
		say("the policy lets out to the internet in one family of addresses")
	}
	if f.Ports[0].Port == 53 && !(blocks["169.254.20.10/32"] && blocks["169.254.10.10/31"]) {
		say("the policy lets out to no cache of names on the node")
	}
}

// reached holds an Ingress, where there is one, against public_url.
func (m *manifests) reached(text string, say sayf) {
	if m.ingress.Kind == "" {
		return
	}
	spec := m.ingress.Spec
	if len(spec.Rules) != 1 || len(spec.Rules[0].HTTP.Paths) != 1 || len(spec.TLS) != 1 {
		say("the Ingress has other than one rule")
		return
	}
	host, to := spec.Rules[0].Host, spec.Rules[0].HTTP.Paths[0]
	if !strings.Contains(text, `"https://`+host+`"`) || !slices.Equal(spec.TLS[0].Hosts, []string{host}) {
		say("the Ingress is for %q, and public_url says otherwise", host)
	}
	if b := to.Backend.Service; to.Path != "/" || b.Name != m.service.Metadata.Name || b.Port.Name != m.service.Spec.Ports[0].Name {
		say("the Ingress leads %s to %v", to.Path, b)
	}
	if m.ingress.Metadata.Annotations["nginx.ingress.kubernetes.io/proxy-buffering"] != "off" {
		say("the Ingress buffers answers")
	}
}

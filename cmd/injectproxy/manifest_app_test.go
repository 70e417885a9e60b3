package main

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"
)

// containerApp has the fields of an Azure Container App that ours has.
type containerApp struct {
	Location string `json:"location"`
	Identity struct {
		Type                   string                    `json:"type"`
		UserAssignedIdentities map[string]map[string]any `json:"userAssignedIdentities"`
	} `json:"identity"`
	Properties struct {
		EnvironmentID string `json:"environmentId"`
		Configuration struct {
			ActiveRevisionsMode string `json:"activeRevisionsMode"`
			Ingress             struct {
				External      bool   `json:"external"`
				TargetPort    int    `json:"targetPort"`
				Transport     string `json:"transport"`
				AllowInsecure bool   `json:"allowInsecure"`
			} `json:"ingress"`
			Registries []struct {
				Server   string `json:"server"`
				Identity string `json:"identity"`
			} `json:"registries"`
			Secrets []struct {
				Name        string `json:"name"`
				Value       string `json:"value"`
				KeyVaultURL string `json:"keyVaultUrl"`
				Identity    string `json:"identity"`
			} `json:"secrets"`
		} `json:"configuration"`
		Template struct {
			TerminationGracePeriodSeconds int            `json:"terminationGracePeriodSeconds"`
			Containers                    []appContainer `json:"containers"`
			Scale                         struct {
				MinReplicas int `json:"minReplicas"`
				MaxReplicas int `json:"maxReplicas"`
				Rules       []struct {
					Name string `json:"name"`
					HTTP struct {
						Metadata labels `json:"metadata"`
					} `json:"http"`
				} `json:"rules"`
			} `json:"scale"`
			Volumes []struct {
				Name        string `json:"name"`
				StorageType string `json:"storageType"`
				Secrets     []struct {
					SecretRef string `json:"secretRef"`
					Path      string `json:"path"`
				} `json:"secrets"`
			} `json:"volumes"`
		} `json:"template"`
	} `json:"properties"`
}

type appContainer struct {
	Name      string   `json:"name"`
	Image     string   `json:"image"`
	Args      []string `json:"args"`
	Resources struct {
		CPU    float64 `json:"cpu"`
		Memory string  `json:"memory"`
	} `json:"resources"`
	Env []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"env"`
	Probes []struct {
		Type string `json:"type"`
		probe
	} `json:"probes"`
	VolumeMounts []struct {
		VolumeName string `json:"volumeName"`
		MountPath  string `json:"mountPath"`
	} `json:"volumeMounts"`
}

// secretOf returns the secret that the container finds as file.
func (a *containerApp) secretOf(file string) (name, value string) {
	for _, mount := range a.Properties.Template.Containers[0].VolumeMounts {
		for _, v := range a.Properties.Template.Volumes {
			for _, s := range v.Secrets {
				if v.Name == mount.VolumeName && v.StorageType == "Secret" && mount.MountPath+"/"+s.Path == file {
					name = s.SecretRef
				}
			}
		}
	}
	for _, s := range a.Properties.Configuration.Secrets {
		if s.Name == name {
			return name, s.Value
		}
	}
	return "", ""
}

// wrongApp returns what is wrong with the Container App of deploy.
func wrongApp(t testing.TB, tree fs.FS) (found []string) {
	t.Helper()
	say := func(format string, args ...any) {
		found = append(found, "container app: "+fmt.Sprintf(format, args...))
	}
	text, err := fs.ReadFile(tree, "container-apps/gate.yaml")
	must(t, err)
	var a containerApp
	if err := strictly(text, &a); err != nil {
		say("%v", err)
		return found
	}
	template := a.Properties.Template
	if len(template.Containers) != 1 {
		say("wants one container")
		return found
	}
	const file = "/etc/injectproxy/gate.toml"
	if _, gate := a.secretOf(file); gate == "" {
		say("%s is not mounted", file)
	} else {
		a.agrees(readMounted(t, gate), gate, say)
	}
	a.identified(say)
	if c := template.Containers[0]; !slices.Equal(c.Args, []string{"gate", "--config", file}) || !strings.Contains(c.Image, "/"+imageName+":") {
		say("the container runs %q %q", c.Image, c.Args)
	}
	if template.Scale.MinReplicas < 2 || template.Scale.MaxReplicas <= template.Scale.MinReplicas || len(template.Scale.Rules) != 1 {
		say("it scales from %d to %d", template.Scale.MinReplicas, template.Scale.MaxReplicas)
	}
	return found
}

// agrees holds the app against the configuration that it mounts.
func (a *containerApp) agrees(cfg mounts, text string, say sayf) {
	template, c := a.Properties.Template, a.Properties.Template.Containers[0]
	for _, p := range cfg.problems {
		say("configuration: %s", p)
	}
	if a.Properties.Configuration.Ingress.TargetPort != portOf(cfg.listen) || a.Properties.Configuration.Ingress.AllowInsecure {
		say("the ingress leads to %d, and the gate listens on %s", a.Properties.Configuration.Ingress.TargetPort, cfg.listen)
	}
	for _, file := range cfg.secrets {
		if name, value := a.secretOf(file); name == "" || value != "" {
			say("%s is not mounted from a secret of the vault", file)
		}
	}
	if needs := graceMost + cfg.drain + 5*time.Second; time.Duration(template.TerminationGracePeriodSeconds)*time.Second < needs {
		say("terminationGracePeriodSeconds is %d, and it takes %v", template.TerminationGracePeriodSeconds, needs)
	}
	paths := map[string]string{}
	for _, p := range c.Probes {
		if paths[p.Type] = p.HTTPGet.Path; p.HTTPGet.Port != int64(portOf(cfg.listen)) {
			say("a probe asks at %v", p.HTTPGet.Port)
		}
	}
	if len(paths) != 3 || paths["Readiness"] != "/readyz" || paths["Liveness"] != "/healthz" || paths["Startup"] != "/healthz" {
		say("the probes are %v", paths)
	}
	if !strings.Contains(text, `federated = "managed-identity"`) || cfg.federated {
		say("the gate does not go by the managed identity")
	}
}

// identified reports an identity that is used and not assigned, and a secret that
// stands in the file.
func (a *containerApp) identified(say sayf) {
	var used []string
	for _, r := range a.Properties.Configuration.Registries {
		used = append(used, r.Identity)
	}
	for _, s := range a.Properties.Configuration.Secrets {
		if s.Name != "gate-toml" {
			used = append(used, s.Identity)
			if s.Value != "" || !strings.HasPrefix(s.KeyVaultURL, "https://VAULT.vault.azure.net/secrets/") {
				say("the secret %s is not from the vault", s.Name)
			}
		}
	}
	for _, id := range used {
		if _, ok := a.Identity.UserAssignedIdentities[id]; !ok || a.Identity.Type != "UserAssigned" {
			say("identity %q is not assigned", id)
		}
	}
}

func TestEachMistakeInTheContainerAppIsSeen(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ old, new, want string }{
		{"targetPort: 8080", "targetport: 8080", "unknown field"},
		{"targetPort: 8080", "targetPort: 8081", "the ingress leads to 8081"},
		{"allowInsecure: false", "allowInsecure: true", "the ingress leads"},
		{"path: gate.toml", "path: config.toml", "gate.toml is not mounted"},
		{"mountPath: /etc/injectproxy", "mountPath: /etc", "gate.toml is not mounted"},
		{"path: redis-password", "path: password", "redis-password is not mounted"},
		{"keyVaultUrl: https://VAULT.vault.azure.net/secrets/redis-password", "value: hunter2", "redis-password is not from the vault"},
		{`gate", "--config"`, `serve", "--config"`, "the container runs"},
		{"/injectproxy:TAG", "/proxy:TAG", "the container runs"},
		{"terminationGracePeriodSeconds: 45", "terminationGracePeriodSeconds: 39", "it takes 40s"},
		{`drain      = "30s"`, `drain      = "50s"`, "it takes 1m0s"},
		{"path: /readyz", "path: /healthz", "the probes are"},
		{"path: /healthz\n              port: 8080", "path: /healthz\n              port: 8079", "a probe asks at 8079"},
		{"type: Startup", "type: Liveness", "the probes are"},
		{`federated = "managed-identity"`, `federated = "workload-identity"`, "does not go by the managed identity"},
		{"minReplicas: 2", "minReplicas: 0", "it scales from 0"},
		{"type: UserAssigned", "type: SystemAssigned", "is not assigned"},
		{"server: REGISTRY.azurecr.io\n        identity: \"/subscriptions", "server: REGISTRY.azurecr.io\n        identity: \"/other", "is not assigned"},
		{`scopes   = ["access_as_user"]`, `scope   = ["access_as_user"]`, "configuration: "},
	} {
		t.Run(tt.want, func(t *testing.T) { wantSeen(t, "container-apps/gate.yaml", tt.old, tt.new, tt.want) })
	}
}

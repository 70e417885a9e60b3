package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// The fields of Kubernetes that our manifests have: others are refused when they
// are read. That they are those of Kubernetes is held by the test in deploy.
type (
	labels map[string]string

	object struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct {
			Name        string `json:"name"`
			Labels      labels `json:"labels"`
			Annotations labels `json:"annotations"`
		} `json:"metadata"`
	}
	selector struct {
		MatchLabels labels `json:"matchLabels"`
	}

	deployment struct {
		object
		Spec struct {
			RevisionHistoryLimit int      `json:"revisionHistoryLimit"`
			Selector             selector `json:"selector"`
			Strategy             struct {
				Type          string `json:"type"`
				RollingUpdate struct {
					MaxUnavailable *int `json:"maxUnavailable"`
					MaxSurge       int  `json:"maxSurge"`
				} `json:"rollingUpdate"`
			} `json:"strategy"`
			Template struct {
				Metadata struct {
					Labels labels `json:"labels"`
				} `json:"metadata"`
				Spec podSpec `json:"spec"`
			} `json:"template"`
		} `json:"spec"`
	}
	podSpec struct {
		ServiceAccountName            string `json:"serviceAccountName"`
		AutomountServiceAccountToken  *bool  `json:"automountServiceAccountToken"`
		EnableServiceLinks            *bool  `json:"enableServiceLinks"`
		TerminationGracePeriodSeconds int    `json:"terminationGracePeriodSeconds"`
		SecurityContext               struct {
			RunAsNonRoot        bool   `json:"runAsNonRoot"`
			RunAsUser           int    `json:"runAsUser"`
			RunAsGroup          int    `json:"runAsGroup"`
			FSGroup             int    `json:"fsGroup"`
			FSGroupChangePolicy string `json:"fsGroupChangePolicy"`
			SeccompProfile      struct {
				Type string `json:"type"`
			} `json:"seccompProfile"`
		} `json:"securityContext"`
		TopologySpreadConstraints []struct {
			TopologyKey       string   `json:"topologyKey"`
			MaxSkew           int      `json:"maxSkew"`
			WhenUnsatisfiable string   `json:"whenUnsatisfiable"`
			LabelSelector     selector `json:"labelSelector"`
		} `json:"topologySpreadConstraints"`
		InitContainers []container `json:"initContainers"`
		Containers     []container `json:"containers"`
		Volumes        []volume    `json:"volumes"`
	}
	container struct {
		Name    string   `json:"name"`
		Image   string   `json:"image"`
		Command []string `json:"command"`
		Args    []string `json:"args"`
		Env     []struct {
			Name  string `json:"name"`
			Value string `json:"value"`
		} `json:"env"`
		Ports []struct {
			Name          string `json:"name"`
			ContainerPort int    `json:"containerPort"`
		} `json:"ports"`
		Lifecycle struct {
			PreStop struct {
				Sleep struct {
					Seconds int `json:"seconds"`
				} `json:"sleep"`
			} `json:"preStop"`
		} `json:"lifecycle"`
		ReadinessProbe probe `json:"readinessProbe"`
		LivenessProbe  probe `json:"livenessProbe"`
		StartupProbe   probe `json:"startupProbe"`
		Resources      struct {
			Requests labels `json:"requests"`
			Limits   labels `json:"limits"`
		} `json:"resources"`
		SecurityContext struct {
			AllowPrivilegeEscalation *bool `json:"allowPrivilegeEscalation"`
			ReadOnlyRootFilesystem   bool  `json:"readOnlyRootFilesystem"`
			Capabilities             struct {
				Drop []string `json:"drop"`
			} `json:"capabilities"`
		} `json:"securityContext"`
		VolumeMounts []struct {
			Name      string `json:"name"`
			MountPath string `json:"mountPath"`
			ReadOnly  bool   `json:"readOnly"`
		} `json:"volumeMounts"`
	}
	probe struct {
		HTTPGet struct {
			Path string `json:"path"`
			Port any    `json:"port"` // a name or a number
		} `json:"httpGet"`
		PeriodSeconds    int `json:"periodSeconds"`
		TimeoutSeconds   int `json:"timeoutSeconds"`
		FailureThreshold int `json:"failureThreshold"`
	}
	volume struct {
		Name      string `json:"name"`
		ConfigMap struct {
			Name string `json:"name"`
		} `json:"configMap"`
		Secret struct {
			SecretName  string `json:"secretName"`
			DefaultMode int    `json:"defaultMode"`
		} `json:"secret"`
		EmptyDir *struct {
			Medium    string `json:"medium"`
			SizeLimit string `json:"sizeLimit"`
		} `json:"emptyDir"`
	}

	service struct {
		object
		Spec struct {
			Selector        labels `json:"selector"`
			SessionAffinity string `json:"sessionAffinity"`
			Ports           []struct {
				Name        string `json:"name"`
				Port        int    `json:"port"`
				TargetPort  string `json:"targetPort"`
				AppProtocol string `json:"appProtocol"`
			} `json:"ports"`
		} `json:"spec"`
	}
	serviceAccount struct {
		object
		AutomountServiceAccountToken *bool `json:"automountServiceAccountToken"`
	}
	autoscaler struct {
		object
		Spec struct {
			ScaleTargetRef struct {
				APIVersion string `json:"apiVersion"`
				Kind       string `json:"kind"`
				Name       string `json:"name"`
			} `json:"scaleTargetRef"`
			MinReplicas int `json:"minReplicas"`
			MaxReplicas int `json:"maxReplicas"`
			Metrics     []struct {
				Type     string `json:"type"`
				Resource struct {
					Name   string `json:"name"`
					Target struct {
						Type               string `json:"type"`
						AverageUtilization int    `json:"averageUtilization"`
					} `json:"target"`
				} `json:"resource"`
			} `json:"metrics"`
			Behavior struct {
				ScaleDown struct {
					StabilizationWindowSeconds int `json:"stabilizationWindowSeconds"`
					Policies                   []struct {
						Type          string `json:"type"`
						Value         int    `json:"value"`
						PeriodSeconds int    `json:"periodSeconds"`
					} `json:"policies"`
				} `json:"scaleDown"`
			} `json:"behavior"`
		} `json:"spec"`
	}
	disruption struct {
		object
		Spec struct {
			MaxUnavailable             int      `json:"maxUnavailable"`
			UnhealthyPodEvictionPolicy string   `json:"unhealthyPodEvictionPolicy"`
			Selector                   selector `json:"selector"`
		} `json:"spec"`
	}
	networkPolicy struct {
		object
		Spec struct {
			PodSelector selector `json:"podSelector"`
			PolicyTypes []string `json:"policyTypes"`
			Ingress     []flow   `json:"ingress"`
			Egress      []flow   `json:"egress"`
		} `json:"spec"`
	}
	flow struct {
		From  []peer `json:"from"`
		To    []peer `json:"to"`
		Ports []struct {
			Port     int    `json:"port"`
			Protocol string `json:"protocol"`
		} `json:"ports"`
	}
	peer struct {
		NamespaceSelector selector `json:"namespaceSelector"`
		PodSelector       selector `json:"podSelector"`
		IPBlock           struct {
			CIDR   string   `json:"cidr"`
			Except []string `json:"except"`
		} `json:"ipBlock"`
	}
	ingress struct {
		object
		Spec struct {
			IngressClassName string `json:"ingressClassName"`
			TLS              []struct {
				Hosts      []string `json:"hosts"`
				SecretName string   `json:"secretName"`
			} `json:"tls"`
			Rules []struct {
				Host string `json:"host"`
				HTTP struct {
					Paths []struct {
						Path     string `json:"path"`
						PathType string `json:"pathType"`
						Backend  struct {
							Service struct {
								Name string `json:"name"`
								Port struct {
									Name string `json:"name"`
								} `json:"port"`
							} `json:"service"`
						} `json:"backend"`
					} `json:"paths"`
				} `json:"http"`
			} `json:"rules"`
		} `json:"spec"`
	}

	kustomization struct {
		APIVersion         string   `json:"apiVersion"`
		Kind               string   `json:"kind"`
		Namespace          string   `json:"namespace"`
		Resources          []string `json:"resources"`
		ConfigMapGenerator []struct {
			Name     string   `json:"name"`
			Behavior string   `json:"behavior"`
			Files    []string `json:"files"`
		} `json:"configMapGenerator"`
		Images []struct {
			Name    string `json:"name"`
			NewName string `json:"newName"`
			NewTag  string `json:"newTag"`
			Digest  string `json:"digest"`
		} `json:"images"`
		Patches []struct {
			Path string `json:"path"`
		} `json:"patches"`
	}
)

// manifests are those of one directory.
type manifests struct {
	dir  string
	over bool // an overlay, with its base
	kust kustomization

	deployment deployment
	service    service
	account    serviceAccount
	scale      autoscaler
	disruption disruption
	network    networkPolicy
	ingress    ingress
	namespace  object
}

// into returns where an object of that kind goes.
func (m *manifests) into(kind string) any {
	return map[string]any{
		"apps/v1 Deployment": &m.deployment, "v1 Service": &m.service, "v1 ServiceAccount": &m.account,
		"autoscaling/v2 HorizontalPodAutoscaler": &m.scale, "policy/v1 PodDisruptionBudget": &m.disruption,
		"networking.k8s.io/v1 NetworkPolicy": &m.network, "networking.k8s.io/v1 Ingress": &m.ingress, "v1 Namespace": &m.namespace,
		"kustomize.config.k8s.io/v1beta1 Kustomization": &m.kust,
	}[kind]
}

// readManifests reads the kustomization in dir and the files beside it, all of
// them, and says what is wrong: each file is one object, and none is there twice.
func readManifests(tree fs.FS, dir string) (*manifests, error) {
	m := &manifests{dir: dir}
	entries, err := fs.ReadDir(tree, dir)
	if err != nil {
		return nil, err
	}
	var wrong []error
	seen := map[string]bool{}
	for _, e := range entries {
		if path.Ext(e.Name()) != ".yaml" {
			continue
		}
		text, err := fs.ReadFile(tree, path.Join(dir, e.Name()))
		if err == nil {
			err = m.read(text, seen)
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s/%s: %w", dir, e.Name(), err))
		}
	}
	return m, errors.Join(wrong...)
}

func (m *manifests) read(text []byte, seen map[string]bool) error {
	if bytes.Contains(text, []byte("\n---")) {
		return errors.New("has more than one document")
	}
	var is object
	if err := yaml.Unmarshal(text, &is); err != nil {
		return err
	}
	kind := is.APIVersion + " " + is.Kind
	into := m.into(kind)
	switch {
	case into == nil:
		return fmt.Errorf("kind %s is none that our manifests have", kind)
	case seen[kind]:
		return fmt.Errorf("there are two of kind %s", kind)
	}
	seen[kind] = true
	return strictly(text, into)
}

// strictly decodes YAML as Kubernetes does when it is strict: no field is unknown,
// written in another case, or there twice.
func strictly(text []byte, into any) error {
	asJSON, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return err
	}
	strict, err := json.UnmarshalStrict(asJSON, into)
	return errors.Join(append(strict, err)...)
}

// imageName returns the name of its image, without the tag.
func (c container) imageName() string {
	name, _, _ := strings.Cut(c.Image, ":")
	return name
}

// port returns the number of the container's port that a probe or a Service means.
func (c container) port(meant any) int {
	if n, ok := meant.(int64); ok {
		return int(n)
	}
	for _, p := range c.Ports {
		if p.Name == meant {
			return p.ContainerPort
		}
	}
	return 0
}

// mounted returns the volume, and the path in it, under which the container finds file.
func (m *manifests) mounted(c container, file string) (v volume, rest string, ok bool) {
	for _, mount := range c.VolumeMounts {
		if rest, ok := strings.CutPrefix(file, mount.MountPath+"/"); ok {
			for _, v := range m.deployment.Spec.Template.Spec.Volumes {
				if v.Name == mount.Name {
					return v, rest, true
				}
			}
		}
	}
	return volume{}, "", false
}

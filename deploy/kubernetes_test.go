//go:build kubernetes

// Package deploy_test holds the manifests against the types of Kubernetes. These
// take long to compile, so it has a build tag of its own:
//
//	go test -tags kubernetes ./deploy
//
// What the manifests say, and whether that agrees with the program, is looked at
// in cmd/injectproxy, without the tag.
package deploy_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"testing"

	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// kinds are those that the manifests have.
var kinds = map[string]func() any{
	"apps/v1 Deployment":                     func() any { return new(apps.Deployment) },
	"autoscaling/v2 HorizontalPodAutoscaler": func() any { return new(autoscaling.HorizontalPodAutoscaler) },
	"networking.k8s.io/v1 Ingress":           func() any { return new(networking.Ingress) },
	"networking.k8s.io/v1 NetworkPolicy":     func() any { return new(networking.NetworkPolicy) },
	"policy/v1 PodDisruptionBudget":          func() any { return new(policy.PodDisruptionBudget) },
	"v1 Namespace":                           func() any { return new(core.Namespace) },
	"v1 Service":                             func() any { return new(core.Service) },
	"v1 ServiceAccount":                      func() any { return new(core.ServiceAccount) },
}

// decode returns why Kubernetes would not take a document as it stands: it is as
// strict as kubectl apply --validate=strict.
func decode(doc []byte) error {
	text, err := yaml.YAMLToJSONStrict(doc)
	if err != nil {
		return err
	}
	var is struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := json.UnmarshalCaseSensitivePreserveInts(text, &is); err != nil {
		return err
	}
	into := kinds[is.APIVersion+" "+is.Kind]
	if into == nil {
		return fmt.Errorf("kind %q of %q", is.Kind, is.APIVersion)
	}
	strict, err := json.UnmarshalStrict(text, into())
	return errors.Join(append(strict, err)...)
}

func TestManifestsDecodeStrictlyIntoTheKubernetesTypes(t *testing.T) {
	t.Parallel()
	found := 0
	err := fs.WalkDir(os.DirFS("kubernetes"), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || path.Ext(name) != ".yaml" || path.Base(name) == "kustomization.yaml" {
			return err
		}
		text, err := os.ReadFile(path.Join("kubernetes", name))
		for i, doc := range bytes.Split(text, []byte("\n---\n")) {
			found++
			if err := decode(doc); err != nil {
				t.Errorf("%s, document %d: %v", name, i+1, err)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 12 {
		t.Errorf("%d documents: the search does not find them", found)
	}
}

func TestDecodingSeesWhatKubernetesWouldNotTake(t *testing.T) {
	t.Parallel()
	const sound = "apiVersion: apps/v1\nkind: Deployment\nspec:\n  replicas: 2\n"
	if err := decode([]byte(sound)); err != nil {
		t.Fatal(err)
	}
	for name, doc := range map[string]string{
		"unknown field":      sound + "  replica: 3\n",
		"field in its place": sound + "replicas: 3\n",
		"another case":       sound + "  MinReadySeconds: 3\n",
		"twice":              sound + "  replicas: 3\n",
		"another type":       "apiVersion: apps/v1\nkind: Deployment\nspec:\n  replicas: two\n",
		"unknown kind":       "apiVersion: apps/v1beta1\nkind: Deployment\n",
		"no YAML":            sound + "\t-\n",
	} {
		if decode([]byte(doc)) == nil {
			t.Errorf("%s: is taken", name)
		}
	}
}

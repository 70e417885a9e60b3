package source

import (
	"slices"
	"testing"
)

func TestAudienceResolution(t *testing.T) {
	t.Parallel()
	const id = "58348f96-645d-4a2e-8c1d-000000000000"
	for _, c := range []struct {
		in    Entra
		scope string
		az    []string
	}{
		{Entra{ClientID: id}, "api://" + id + "/.default", []string{"--scope", "api://" + id + "/.default"}},
		{Entra{Resource: "https://cognitiveservices.azure.com/"}, "https://cognitiveservices.azure.com/.default", []string{"--resource", "https://cognitiveservices.azure.com"}},
		{Entra{Resource: "https://cognitiveservices.azure.com"}, "https://cognitiveservices.azure.com/.default", []string{"--resource", "https://cognitiveservices.azure.com"}},
		{Entra{Resource: "https://vault.azure.net///"}, "https://vault.azure.net/.default", []string{"--resource", "https://vault.azure.net"}},
		{Entra{Resource: "api://my_api.corp:1"}, "api://my_api.corp:1/.default", []string{"--resource", "api://my_api.corp:1"}},
		{Entra{Scope: "https://vault.azure.net//.default", Tenant: "corp.example"}, "https://vault.azure.net//.default", []string{"--scope", "https://vault.azure.net//.default"}},
	} {
		got, err := c.in.Resolve()
		if err != nil || got.Scope != c.scope || !slices.Equal(got.AzArgs, c.az) {
			t.Errorf("%+v: got %+v, %v", c.in, got, err)
		}
	}
}

func TestImpossibleAudiencesAreRefused(t *testing.T) {
	t.Parallel()
	for _, in := range []Entra{
		{},
		{Tenant: "corp.example"},
		{ClientID: "a", Resource: "b"},
		{Resource: "a", Scope: "b"},
		{ClientID: "--query"},
		{ClientID: "a/b"},
		{Resource: "/"},
		{Resource: "-h"},
		{Resource: "https://x y"},
		{Scope: "https://x/.default openid"},
		{Scope: "https://x/.default\n"},
		{Scope: "https://x/é"},
		{Scope: "https://x/?a=b"},
		{Scope: "ok", Tenant: "a/b"},
		{Scope: "ok", Tenant: "-t"},
		{Scope: "ok", Tenant: "common\x00"},
	} {
		if got, err := in.Resolve(); err == nil {
			t.Errorf("%+v: resolved to %+v", in, got)
		}
		if d, err := NewDefault(in, DefaultOptions{}); err == nil {
			d.Close()
			t.Errorf("%+v: NewDefault took it", in)
		}
	}
}

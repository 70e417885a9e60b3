package entratest_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

func inPublic(o *entratest.Options) { o.Public = true }

func TestPublicCloudIsFoundByItsOwnNames(t *testing.T) {
	t.Parallel()
	a := start(t, inPublic)
	// Nothing says where the authority is, and instance discovery is on.
	c, err := azidentity.NewClientSecretCredential(tenant, app, secret, &azidentity.ClientSecretCredentialOptions{
		ClientOptions: azcore.ClientOptions{Transport: a.HTTPClient()},
	})
	if err != nil {
		t.Fatal(err)
	}
	token := mustGet(t, c, "api://"+apiV2+"/.default")
	claims, err := a.Validate(token, apiV2)
	if want := "https://login.microsoftonline.com/" + tenant + "/v2.0"; err != nil || claims["iss"] != want {
		t.Errorf("issuer %v, want %s (%v)", claims["iss"], want, err)
	}
}

func TestInstanceDiscoveryKnowsThisAuthorityAlone(t *testing.T) {
	t.Parallel()
	for host, a := range map[string]*entratest.Authority{"127.0.0.1": start(t), "login.microsoftonline.com": start(t, inPublic)} {
		path := "/common/discovery/instance?api-version=1.1&authorization_endpoint="
		var found struct {
			Metadata []struct{ Aliases []string }
		}
		if status := fetch(t, a, "", a.URL()+path+url.QueryEscape("https://"+host+"/common/oauth2/authorize"), &found); status != http.StatusOK {
			t.Errorf("%s: status %d", host, status)
		}
		if len(found.Metadata) != 1 || len(found.Metadata[0].Aliases) != 1 || found.Metadata[0].Aliases[0] != host {
			t.Errorf("%s: %v", host, found)
		}
		var refused struct{ Error string }
		fetch(t, a, "", a.URL()+path+url.QueryEscape("https://elsewhere.example/common/oauth2/authorize"), &refused)
		if refused.Error != "invalid_instance" {
			t.Errorf("%s: a host that is no authority: %q", host, refused.Error)
		}
	}
}

func TestProxyToThePublicCloudLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	a := start(t, inPublic)
	for _, target := range []string{"example.com:443", "login.microsoftonline.com:80", "169.254.169.254:443"} {
		c, status := connect(t, a, target)
		c.Close()
		if status != http.StatusForbidden {
			t.Errorf("CONNECT %s: status %d", target, status)
		}
	}
	resp, err := http.Get(a.ProxyURL())
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("GET: status %d", resp.StatusCode)
	}
	if other := start(t); other.ProxyURL() != "" {
		t.Errorf("an authority that is not public has the proxy %q", other.ProxyURL())
	}
}

func TestTunnelsEndWithTheAuthority(t *testing.T) {
	t.Parallel()
	a := start(t, inPublic)
	c, status := connect(t, a, "login.microsoftonline.com:443")
	defer c.Close()
	if status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Errorf("the tunnel is still there: %v", err)
	}
}

func TestTunnelsEndWithTheirClients(t *testing.T) {
	t.Parallel()
	a := start(t, inPublic)
	defer a.Fail(entratest.Failure{Hang: true})()
	c, _ := connect(t, a, "login.microsoftonline.com:443")
	defer c.Close()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(a.CAPEM())
	secure := tls.Client(c, &tls.Config{RootCAs: roots, ServerName: "login.microsoftonline.com"})
	if _, err := io.WriteString(secure, "POST /"+tenant+"/oauth2/v2.0/token HTTP/1.1\r\nHost: login.microsoftonline.com\r\nContent-Length: 0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	asked := entratest.Request{Endpoint: entratest.TokenEndpoint}
	if err := a.WaitRequests(guarded(t), 1, asked); err != nil {
		t.Fatal(err)
	}
	c.Close() // without a word to the authority, as a process that is killed
	if err := a.WaitIdle(guarded(t), asked); err != nil {
		t.Error(err)
	}
}

// connect asks a's proxy for a tunnel.
func connect(t *testing.T, a *entratest.Authority, target string) (net.Conn, int) {
	t.Helper()
	ctx := guarded(t)
	c, err := new(net.Dialer).DialContext(ctx, "tcp", strings.TrimPrefix(a.ProxyURL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	deadline, _ := ctx.Deadline()
	c.SetDeadline(deadline)
	if _, err := io.WriteString(c, "CONNECT "+target+" HTTP/1.1\r\nHost: "+target+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: http.MethodConnect})
	if err != nil {
		t.Fatal(err)
	}
	return c, resp.StatusCode
}

// fetch gets what is at address with a bearer token, "" meaning none.
func fetch(t *testing.T, a *entratest.Authority, bearer, address string, into any) (status int) {
	t.Helper()
	req, err := http.NewRequestWithContext(guarded(t), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := a.HTTPClient().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

package entratest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

func TestEveryErrorReachesTheCredentialWithItsCode(t *testing.T) {
	t.Parallel()
	a := start(t)
	codes := entratest.Codes()
	if len(codes) < 40 {
		t.Fatalf("%d codes are known", len(codes))
	}
	for _, code := range append(codes, 123456) {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			failure := entratest.AADSTS(code)
			a.FailNext(1, failure)
			_, err := get(t.Context(), secretCredential(t, a, secret), vault+"/.default")
			var failed *azidentity.AuthenticationFailedError
			if !errors.As(err, &failed) || failed.RawResponse == nil {
				t.Fatalf("error %v has no response", err)
			}
			checkErrorBody(t, failed.RawResponse, failure)
		})
	}
}

// checkErrorBody compares an error response with what Entra would have sent.
func checkErrorBody(t *testing.T, resp *http.Response, want entratest.Failure) {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Error, SubError, Claims, Timestamp string
		Description                        string `json:"error_description"`
		Codes                              []int  `json:"error_codes"`
		Trace                              string `json:"trace_id"`
		Correlation                        string `json:"correlation_id"`
		URI                                string `json:"error_uri"`
	}
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	if resp.StatusCode != want.Status || len(got.Codes) != 1 || got.Codes[0] != want.Code ||
		got.Error != want.Error || got.SubError != want.SubError || got.Claims != want.Claims {
		t.Errorf("status %d with %s; want %+v", resp.StatusCode, body, want)
	}
	if !strings.HasPrefix(got.Description, fmt.Sprintf("AADSTS%d: ", want.Code)) || strings.Contains(got.Description, "{"+"scope") || strings.Contains(got.Description, "{resource") || strings.Contains(got.Description, "{client") || strings.Contains(got.Description, "{tenant") {
		t.Errorf("description %q", got.Description)
	}
	for _, part := range []string{"\r\nTrace ID: " + got.Trace, "Correlation ID: " + got.Correlation, "Timestamp: " + got.Timestamp} {
		if !strings.Contains(got.Description, part) {
			t.Errorf("description %q lacks %q", got.Description, part)
		}
	}
	if got.Correlation != resp.Request.Header.Get("client-request-id") {
		t.Errorf("correlation id %q is not the client's", got.Correlation)
	}
	if (resp.Header.Get("Retry-After") != "") != (want.RetryAfter > 0) {
		t.Errorf("Retry-After %q, want %s", resp.Header.Get("Retry-After"), want.RetryAfter)
	}
}

func TestFailuresApplyInOrderAndEnd(t *testing.T) {
	t.Parallel()
	a := start(t)
	ask := func() int { return post(t.Context(), t, a, tenant, secretForm(nil)) }
	check := func(when string, want ...int) {
		t.Helper()
		for i, code := range want {
			if got := ask(); got != code {
				t.Errorf("%s, request %d: AADSTS%d, want AADSTS%d", when, i+1, got, code)
			}
		}
	}
	release := a.Fail(entratest.AADSTS(90033))
	a.FailNext(2, entratest.AADSTS(50076))
	a.FailNext(1, entratest.AADSTS(65001))
	check("counted before lasting", 50076, 50076, 65001, 90033, 90033)
	second := a.Fail(entratest.AADSTS(53003))
	check("the last of the lasting", 53003)
	second()
	second()
	check("after its end", 90033)
	release()
	check("after all ended", 0)
	release = a.Fail(entratest.AADSTS(90033))
	a.Clear()
	release()
	check("after Clear", 0)
}

func TestFailureMeetsOnlyWhatItNames(t *testing.T) {
	t.Parallel()
	a := start(t)
	inVault := secretForm(url.Values{"scope": {vault + "/.default"}})
	tests := []struct {
		name   string
		where  entratest.Failure
		others bool
	}{
		{"everything", entratest.Failure{}, true},
		{"the scope", entratest.Failure{Scope: vault + "/.default"}, false},
		{"the tenant", entratest.Failure{Tenant: strings.ToUpper(tenant)}, true},
		{"the client", entratest.Failure{Client: app}, true},
		{"the endpoint", entratest.Failure{Endpoint: entratest.TokenEndpoint}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.where.Code = 50076
			defer a.Fail(tt.where)()
			if code := post(t.Context(), t, a, tenant, inVault); code != 50076 {
				t.Errorf("what it names: AADSTS%d", code)
			}
			if code := post(t.Context(), t, a, tenant, secretForm(nil)); (code == 50076) != tt.others {
				t.Errorf("another scope: AADSTS%d", code)
			}
			fetchKeys(t, a, "/"+tenant+"/discovery/keys") // fails on any error
		})
	}
	for name, elsewhere := range map[string]entratest.Failure{
		"another tenant": {Tenant: apiV1}, "another client": {Client: apiV1}, "another endpoint": {Endpoint: entratest.KeysEndpoint},
	} {
		elsewhere.Code = 50076
		release := a.Fail(elsewhere)
		if code := post(t.Context(), t, a, tenant, inVault); code != 0 {
			t.Errorf("%s: AADSTS%d", name, code)
		}
		release()
	}
}

func TestFailureIsAnsweredAsTold(t *testing.T) {
	t.Parallel()
	a := start(t)
	tests := []struct {
		name       string
		failure    entratest.Failure
		status     int
		retryAfter string
		body       string
	}{
		{"throttled", entratest.Failure{Status: 429, RetryAfter: 7 * time.Second, Error: "slow"}, 429, "7", `"error":"slow"`},
		{"garbage", entratest.Failure{Status: 200, Body: "<html>captive portal"}, 200, "", "<html>captive portal"},
		{"garbage without a status", entratest.Failure{Body: "oops"}, 500, "", "oops"},
		{"a delay that passes", entratest.Failure{Delay: time.Millisecond}, 200, "", `"access_token"`},
		{"a known code told differently", entratest.Failure{Code: 50076, Status: 418, SubError: "own", Claims: "{}"}, 418, "", `"claims":"{}"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a.FailNext(1, tt.failure)
			resp, err := a.HTTPClient().PostForm(a.URL()+"/"+tenant+"/oauth2/v2.0/token", secretForm(nil))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.status || resp.Header.Get("Retry-After") != tt.retryAfter || !strings.Contains(string(body), tt.body) {
				t.Errorf("status %d, Retry-After %q, body %s", resp.StatusCode, resp.Header.Get("Retry-After"), body)
			}
		})
	}
}

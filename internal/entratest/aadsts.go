package entratest

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// AADSTS returns the failure that Entra reports with that code, with the
// status, OAuth error and text it comes with. A code this package does not
// know becomes an invalid_grant with status 400.
func AADSTS(code int) Failure {
	f, ok := knownFailures()[code]
	if !ok {
		f = Failure{Error: "invalid_grant", Description: "An error that this simulation has no text for."}
	}
	f.Code = code
	if f.Status == 0 {
		f.Status = http.StatusBadRequest
	}
	return f
}

// Codes returns the codes that [AADSTS] knows, ascending.
func Codes() []int { return slices.Sorted(maps.Keys(knownFailures())) }

// failWith is AADSTS for use in answers.
func failWith(code int) *Failure {
	f := AADSTS(code)
	return &f
}

// errorBody returns f as Entra's token endpoint writes it.
func (a *Authority) errorBody(f Failure, r Request, requestID string) map[string]any {
	now := a.now().UTC().Format("2006-01-02 15:04:05Z")
	trace := uuid.NewString()
	body := map[string]any{
		"error":          orDefault(f.Error, "server_error"),
		"timestamp":      now,
		"trace_id":       trace,
		"correlation_id": requestID,
	}
	text := f.fill(r)
	if f.Code != 0 {
		text = fmt.Sprintf("AADSTS%d: %s", f.Code, text)
		body["error_codes"] = []int{f.Code}
		body["error_uri"] = fmt.Sprintf("%s/error?code=%d", a.url, f.Code)
	}
	body["error_description"] = fmt.Sprintf("%s\r\nTrace ID: %s\r\nCorrelation ID: %s\r\nTimestamp: %s", text, trace, requestID, now)
	if f.SubError != "" {
		body["suberror"] = f.SubError
	}
	if f.Claims != "" {
		body["claims"] = f.Claims
	}
	return body
}

// fill returns the description with what r asked for put in.
func (f Failure) fill(r Request) string {
	return strings.NewReplacer(
		"{client}", r.Client,
		"{tenant}", r.Tenant,
		"{scope}", r.Scope,
		"{resource}", strings.TrimSuffix(r.Scope, "/.default"),
	).Replace(f.Description)
}

// withDefaults returns f with what its code says where f says nothing.
func (f Failure) withDefaults() Failure {
	if f.Code == 0 {
		f.Status = firstNonZero(f.Status, http.StatusInternalServerError)
		return f
	}
	known := AADSTS(f.Code)
	f.Status = firstNonZero(f.Status, known.Status)
	f.Error = orDefault(f.Error, known.Error)
	f.Description = orDefault(f.Description, known.Description)
	f.SubError = orDefault(f.SubError, known.SubError)
	f.Claims = orDefault(f.Claims, known.Claims)
	f.RetryAfter = firstNonZero(f.RetryAfter, known.RetryAfter)
	return f
}

func firstNonZero[T int | time.Duration](a, b T) T {
	if a != 0 {
		return a
	}
	return b
}

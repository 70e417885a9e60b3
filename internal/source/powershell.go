package source

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"unicode/utf16"

	"github.com/injectproxy/injectproxy/internal/token"
)

// azurePowerShell is the application ID of the Az modules.
const azurePowerShell = "1950a258-227b-4e31-a9cf-717495945fc2"

// powershell yields the tokens of whoever is signed in to Azure PowerShell.
type powershell struct {
	tool *tool
	args []string
}

// PowerShell returns the source of e's tokens from the Az.Accounts module of
// PowerShell, or on Windows of Windows PowerShell where there is no other. It
// runs nothing yet, and fails on an invalid audience and on a scope other than
// <resource>/.default: Get-AzAccessToken takes resources only.
func (t *Tools) PowerShell(e Entra) (token.Source, error) {
	audience, err := e.Resolve()
	if err != nil {
		return nil, err
	}
	resource, ok := strings.CutSuffix(audience.Scope, "/.default")
	if !ok {
		return nil, errors.New("PowerShell gives tokens for <resource>/.default only: leave it out of sources, or change scope")
	}
	login := "Connect-AzAccount"
	if e.Tenant != "" {
		login += " -Tenant " + e.Tenant
	}
	return &powershell{
		args: []string{"-NoLogo", "-NoProfile", "-NonInteractive", "-OutputFormat", "Text", "-EncodedCommand", encodeScript(script(resource, e.Tenant))},
		tool: &tool{Tools: t, name: "powershell", tenant: e.Tenant, client: azurePowerShell, login: login, get: "Get-AzContext",
			noSession: powershellSignedOut.MatchString, files: powershellFiles(t.env)},
	}, nil
}

func powershellFiles(env []string) []string {
	local, _ := variable(env, "LOCALAPPDATA")
	if local == "" {
		local = filepath.Join(home(env), ".local", "share")
	}
	return []string{
		filepath.Join(home(env), ".Azure", "AzureRmContext.json"),
		filepath.Join(local, ".IdentityService", "msal.cache"),
		filepath.Join(local, ".IdentityService", "msal.cache.cae"),
	}
}

// script is what PowerShell runs. Resource and tenant are of characters that
// mean nothing between quotes. Az.Accounts before 5 gives the token as text
// unless asked, later ones as a SecureString always; without the module it
// ends as a shell does that found no program.
func script(resource, tenant string) string {
	return fmt.Sprintf(`$ErrorActionPreference = 'Stop'
$ProgressPreference = $WarningPreference = 'SilentlyContinue'
if (-not (Import-Module Az.Accounts -MinimumVersion 2.2.0 -PassThru -ErrorAction SilentlyContinue)) { exit 127 }
$what = @{ ResourceUrl = '%s' }
if ('%s') { $what.TenantId = '%[2]s' }
if ((Get-Command Get-AzAccessToken).Parameters.ContainsKey('AsSecureString')) { $what.AsSecureString = $true }
try { $got = Get-AzAccessToken @what } catch { [Console]::Error.WriteLine($_.Exception.Message); exit 1 }
$text = $got.Token
if ($text -is [securestring]) { $text = (New-Object System.Net.NetworkCredential('', $text)).Password }
[Console]::Out.Write((ConvertTo-Json -Compress @{ token = $text; expires_on = $got.ExpiresOn.ToUnixTimeSeconds() }))
`, resource, tenant)
}

// encodeScript is how PowerShell takes a script in one argument: base64 of
// UTF-16LE.
func encodeScript(s string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return base64.StdEncoding.EncodeToString(b)
}

// Token asks PowerShell for a token. Nothing makes it pass its cache by.
func (p *powershell) Token(ctx context.Context, ask token.Ask) (token.Token, error) {
	got, err := p.tool.ask(ctx, p.args...)
	if err != nil {
		return token.Token{}, err
	}
	if ask.Rejected.IsZero() || !got.Equal(ask.Rejected) {
		return got, nil
	}
	e := p.tool.same()
	if ask.Claims != "" {
		e.Err = nil
	}
	if fit(ask.Claims) {
		e.Hint += " -ClaimsChallenge " + encodeClaims(ask.Claims)
	}
	return token.Token{}, e
}

package ca

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// client is one verifier: it makes a TLS connection for every trial and
// returns "ok", or "refused" and the reason, for each.
type client struct {
	name    string
	program string
	run     func(t *testing.T, trials []trial) []string
}

var clients = []client{
	{"Go", "", runGo},
	{"curl", "curl", runCurl},
	{"Node", "node", func(t *testing.T, trials []trial) []string {
		return runScript(t, trialsJSON(t, trials), "node", "testdata/probe/probe.js")
	}},
	{"Python", "python3", func(t *testing.T, trials []trial) []string {
		return runScript(t, trialsJSON(t, trials), "python3", "testdata/probe/probe.py")
	}},
	{"GnuTLS", "gnutls-cli", runGnuTLS},
	{"Java", "java", func(t *testing.T, trials []trial) []string {
		var lines strings.Builder
		for _, tr := range trials {
			fmt.Fprintln(&lines, tr.Host, tr.Port, tr.Roots)
		}
		return runScript(t, lines.String(), "java", "-XX:TieredStopAtLevel=1", "testdata/probe/Probe.java")
	}},
}

func TestClientsAcceptInsideTheConstraintsAndRefuseOutside(t *testing.T) {
	t.Parallel()
	trials := newTrials(t)
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			if c.program != "" {
				require(t, c.program)
			}
			results := c.run(t, trials)
			if len(results) != len(trials) {
				t.Fatalf("%d results for %d trials: %q", len(results), len(trials), results)
			}
			for i, tr := range trials {
				accepted := results[i] == "ok"
				if !accepted && !strings.HasPrefix(results[i], "refused") {
					t.Errorf("%s: neither accepted nor refused: %s", tr.name, results[i])
				}
				if accepted != tr.accept {
					t.Errorf("%s: accepted = %t, want %t (%s)", tr.name, accepted, tr.accept, results[i])
				}
			}
		})
	}
}

func runGo(t *testing.T, trials []trial) []string {
	var results []string
	for _, tr := range trials {
		roots := x509.NewCertPool()
		data, err := os.ReadFile(tr.Roots)
		if err != nil || !roots.AppendCertsFromPEM(data) {
			t.Fatalf("%s: %v", tr.Roots, err)
		}
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(tr.Port))
		conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: roots, ServerName: tr.Host})
		var refusal *tls.CertificateVerificationError
		switch {
		case err == nil:
			conn.Close()
			results = append(results, "ok")
		case errors.As(err, &refusal):
			results = append(results, "refused "+err.Error())
		default:
			results = append(results, err.Error())
		}
	}
	return results
}

func runCurl(t *testing.T, trials []trial) []string {
	const verificationFailed = 60
	var results []string
	for _, tr := range trials {
		authority := net.JoinHostPort(tr.Host, strconv.Itoa(tr.Port))
		cmd := exec.Command("curl", "-sS", "--noproxy", "*", "--cacert", tr.Roots,
			"--connect-to", fmt.Sprintf("%s:127.0.0.1:%d", authority, tr.Port), "https://"+authority+"/")
		results = append(results, outcome(cmd, verificationFailed))
	}
	return results
}

func runGnuTLS(t *testing.T, trials []trial) []string {
	const verificationFailed = 1
	var results []string
	for _, tr := range trials {
		sni := "--sni-hostname=" + tr.Host
		if net.ParseIP(tr.Host) != nil {
			sni = "--disable-sni"
		}
		cmd := exec.Command("gnutls-cli", "--x509cafile="+tr.Roots,
			"--verify-hostname="+tr.Host, sni, "--port="+strconv.Itoa(tr.Port), "127.0.0.1")
		result := outcome(cmd, verificationFailed)
		if reason, refused := strings.CutPrefix(result, "refused "); refused {
			// The exit status is the same for all failures.
			_, status, verified := strings.Cut(reason, "- Status: ")
			if !verified {
				t.Fatalf("%s: %s", tr.name, reason)
			}
			result = "refused " + status
		}
		results = append(results, result)
	}
	return results
}

// outcome runs one connection. Only the exit status for a bad certificate
// counts as a refusal.
func outcome(cmd *exec.Cmd, refused int) string {
	out, err := cmd.CombinedOutput()
	text := strings.ReplaceAll(strings.TrimSpace(string(out)), "\n", " ")
	var exit *exec.ExitError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &exit) && exit.ExitCode() == refused:
		return "refused " + text
	}
	return err.Error() + ": " + text
}

func runScript(t *testing.T, stdin, program string, args ...string) []string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", program, err, out, stderr.Bytes())
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

func trialsJSON(t *testing.T, trials []trial) string {
	t.Helper()
	data, err := json.Marshal(trials)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

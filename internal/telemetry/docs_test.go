package telemetry

import (
	"encoding/json"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/record"
)

// complete returns Metrics that have at least one series of each metric, and
// the labels of each, in their order.
func complete(t testing.TB) map[string][]string {
	t.Helper()
	gateway := Audience{"platform", "gateway"}
	m := NewMetrics(MetricsOptions{
		Version: "v1", Retries: []string{"healed"}, Losses: []string{"404"}, Reasons: []string{"refused"},
		Tokens: func() []TokenState {
			return []TokenState{{gateway, true, time.Now().Add(time.Hour), "unavailable"}}
		},
		Sessions: func() SessionState { return SessionState{} }, InUse: time.Now, CAExpiry: time.Now, AuditErrors: func() int64 { return 0 }, AuditLost: func() int64 { return 0 },
	})
	m.SetRules([]Rule{mcpOne})
	m.SetAudiences([]Audience{gateway}, func(Audience) []string { return nil })
	r := &record.Record{Team: mcpOne.Team, Rule: mcpOne.Name, Kind: mcpOne.Kind, Problem: "x"}
	m.Began(r)
	m.Done(r, 0)
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	ofGate, err := completeGate().registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for _, f := range append(families, ofGate...) {
		labels := []string{}
		for _, l := range f.Metric[0].Label {
			labels = append(labels, l.GetName())
		}
		all[f.GetName()] = labels
	}
	return all
}

// The table of the documentation has every metric of ours with its labels, and
// no other.
func TestDocumentedMetricsAreThoseThereAre(t *testing.T) {
	page, err := os.ReadFile("../../docs/telemetry.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string][]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(injectproxy_\\w+)` \\| ([`\\w ]*)\\|").FindAllStringSubmatch(string(page), -1) {
		labels := strings.Fields(strings.ReplaceAll(row[2], "`", ""))
		slices.Sort(labels)
		documented[row[1]] = labels
	}
	there := complete(t)
	maps.DeleteFunc(there, func(name string, _ []string) bool { return !strings.HasPrefix(name, namespace+"_") })
	for name, labels := range there {
		if got, ok := documented[name]; !ok || !slices.Equal(got, labels) {
			t.Errorf("%s %q is documented as %q (%t)", name, labels, got, ok)
		}
	}
	for name := range documented {
		if _, ok := there[name]; !ok {
			t.Errorf("%s is documented, and not there", name)
		}
	}
}

// unknown returns what an expression names and there is not: metrics, and
// labels of those that it names.
func unknown(expr string, metrics map[string][]string) (names []string) {
	labels := map[string]bool{"instance": true, "job": true, "le": true}
	found := false
	for _, name := range regexp.MustCompile(`\b(injectproxy|go|process)_\w+`).FindAllString(expr, -1) {
		own, ok := metrics[name]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if base, cut := strings.CutSuffix(name, suffix); !ok && cut {
				own, ok = metrics[base]
			}
		}
		found = true
		if !ok {
			names = append(names, name)
		}
		for _, l := range own {
			labels[l] = true
		}
	}
	if !found && !strings.HasPrefix(expr, "up{") {
		names = append(names, "no metric")
	}
	used := regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"`).FindAllStringSubmatch(expr, -1)
	for _, list := range regexp.MustCompile(`\b(?:by|on) \(([^)]*)\)`).FindAllStringSubmatch(expr, -1) {
		for _, l := range strings.Split(list[1], ",") {
			used = append(used, []string{"", strings.TrimSpace(l)})
		}
	}
	for _, u := range used {
		if !labels[u[1]] {
			names = append(names, "label "+u[1])
		}
	}
	return names
}

// ambiguous are expressions that mix teams, whose rules may have the same names,
// or jobs.
var ambiguous = regexp.MustCompile(`by \((le, )?(rule|audience)|\{instance|\w\{[^j]`)

func TestDashboardShowsWhatThereIs(t *testing.T) {
	b, err := os.ReadFile("../../deploy/grafana/injectproxy.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		UID, Title string
		Panels     []struct {
			ID         int
			Type       string
			Title      string
			Datasource struct{ UID string }
			Targets    []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Name, Type string }
		}
	}
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	if d.UID != "injectproxy" || d.Title == "" || len(d.Templating.List) == 0 || d.Templating.List[0].Type != "datasource" {
		t.Errorf("uid %q, variables %+v", d.UID, d.Templating.List)
	}
	metrics, shown, ids := complete(t), "", map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("%s: id %d is taken", p.Title, p.ID)
		}
		ids[p.ID] = true
		if p.Type != "row" && (p.Datasource.UID != "${datasource}" || len(p.Targets) == 0) {
			t.Errorf("%s: data source %q, %d targets", p.Title, p.Datasource.UID, len(p.Targets))
		}
		for _, target := range p.Targets {
			shown += target.Expr + "\n"
			if names := unknown(target.Expr, metrics); len(names) > 0 {
				t.Errorf("%s: %q in %s", p.Title, names, target.Expr)
			}
			if ambiguous.MatchString(target.Expr) {
				t.Errorf("%s mixes what is not the same: %s", p.Title, target.Expr)
			}
		}
	}
	for name := range metrics {
		if strings.HasPrefix(name, namespace+"_session_") && !strings.Contains(shown, name) {
			t.Errorf("%s is not shown", name)
		}
	}
}

func TestAlertsAreAboutWhatThereIs(t *testing.T) {
	b, err := os.ReadFile("../../deploy/prometheus/injectproxy.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	metrics, n := complete(t), 0
	for _, rule := range strings.Split(string(b), "- alert: ")[1:] {
		_, expr, _ := strings.Cut(rule, "expr:")
		if cut := regexp.MustCompile(`\n        (for|labels):`).FindStringIndex(expr); cut != nil {
			expr = expr[:cut[0]]
		}
		n++
		if names := unknown(strings.TrimPrefix(strings.TrimSpace(expr), "|\n"), metrics); len(names) > 0 {
			t.Errorf("%q in %s", names, expr)
		}
	}
	if n < 10 {
		t.Errorf("%d alerts", n)
	}
	if len(unknown(`injectproxy_nothing{rule="x"} + injectproxy_teams_off{rule="x"}`, metrics)) != 3 {
		t.Error("what is not there is not seen")
	}
}

// lookPromtool returns where it is; Debian has it in the package prometheus.
func lookPromtool(t testing.TB) string {
	t.Helper()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("INJECTPROXY_REQUIRE_ALL") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return promtool
}

// Prometheus itself reads the alerts, and fires them when the file beside them
// says so.
func TestAlertsFireWhenTheyShould(t *testing.T) {
	promtool := lookPromtool(t)
	for _, args := range [][]string{{"check", "rules", "injectproxy.rules.yml"}, {"test", "rules", "injectproxy.rules_test.yml"}} {
		cmd := exec.CommandContext(t.Context(), promtool, args...)
		cmd.Dir = "../../deploy/prometheus"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %q: %v\n%s", args, err, out)
		}
	}
}

// What is scraped reads as Prometheus wants it, help and type included.
func TestMetricsPassPromtoolsLint(t *testing.T) {
	promtool := lookPromtool(t)
	cmd := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	m := newMetrics(mcpOne, api)
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	cmd.Stdin = w.Body
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

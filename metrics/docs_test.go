package metrics_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/metrics"
	"github.com/proactor-go/proactor/tests/rig"
	"github.com/proactor-go/proactor/work"
)

// exported are the names of all metrics.
func exported(t *testing.T) map[string]bool {
	r := rig.New(t, "std")
	p, err := work.New(work.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Shutdown(t.Context())
	names := map[string]bool{}
	for _, c := range []prometheus.Collector{metrics.Engine(r.Engine), metrics.Server("a", r.Serve(proactor.Handler{})), metrics.Pool("b", p)} {
		ch := make(chan *prometheus.Desc, 100)
		c.Describe(ch)
		close(ch)
		for d := range ch {
			names[regexp.MustCompile(`fqName: "(\w+)"`).FindStringSubmatch(d.String())[1]] = true
		}
	}
	return names
}

// Each metric is in docs/metrics.md, and what the docs, the alerts and the dashboard name is there.
func TestDocs(t *testing.T) {
	known := exported(t)
	listed := map[string]bool{}
	for _, file := range []string{"metrics.md", "prometheus/alerts.yml", "prometheus/alerts_test.yml", "prometheus/dashboard.json"} {
		text, err := os.ReadFile(filepath.Join("../docs", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`\bproactor_\w+`).FindAllString(string(text), -1) {
			plain := regexp.MustCompile(`_seconds_(bucket|sum|count)$`).ReplaceAllString(name, "_seconds")
			if !known[plain] {
				t.Errorf("%s has %s, which is not exported", file, name)
			}
			if file == "metrics.md" {
				listed[plain] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if !listed[name] {
			t.Errorf("metrics.md has no %s", name)
		}
	}
	md, _ := os.ReadFile("../docs/metrics.md")
	for c := range (proactor.CauseCounts{}) {
		if name := proactor.Cause(c).String(); !strings.Contains(string(md), "`"+name+"`") {
			t.Errorf("metrics.md has no cause %s", name)
		}
	}
}

// Prometheus understands the alerts, which do what their tests say, and the expressions of the
// dashboard.
func TestPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skipf("promtool is not installed (Debian package prometheus): %v", err)
	}
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	run("check", "rules", "../docs/prometheus/alerts.yml")
	run("test", "rules", "../docs/prometheus/alerts_test.yml")

	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	text, err := os.ReadFile("../docs/prometheus/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	rules, n := "groups:\n  - name: dashboard\n    rules:\n", 0
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			n++
			expr := strings.ReplaceAll(target.Expr, "$__rate_interval", "1m")
			rules += fmt.Sprintf("      - {record: 'panel%d', expr: '%s'}\n", n, expr)
		}
	}
	if n == 0 {
		t.Fatal("the dashboard has no expressions")
	}
	file := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	run("check", "rules", file)
}

package metrics_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/metrics"
	"github.com/proactor-go/proactor/tests/rig"
	"github.com/proactor-go/proactor/work"
)

// value is that of a metric with these labels, given as "name=value"; a histogram's is its count.
func value(t *testing.T, g prometheus.Gatherer, name string, labels ...string) float64 {
	t.Helper()
	all, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		for _, m := range f.Metric {
			if f.GetName() == name && has(m, labels) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	t.Fatalf("there is no %s %v", name, labels)
	return 0
}

func has(m *dto.Metric, labels []string) bool {
	got := map[string]bool{}
	for _, l := range m.Label {
		got[l.GetName()+"="+l.GetValue()] = true
	}
	for _, l := range labels {
		if !got[l] {
			return false
		}
	}
	return true
}

// What an engine has done is what a scrape shows: connections by their causes, bytes, and the
// distributions of those that have gone.
func TestEngine(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		r.Panics = 1
		s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
			if p[0] == '!' {
				panic("boom")
			}
			c.Write(p)
			return len(p)
		}})
		g := prometheus.NewPedanticRegistry()
		g.MustRegister(metrics.Engine(r.Engine), metrics.Server("echo", s))
		is := func(want float64, name string, labels ...string) {
			t.Helper()
			if got := value(t, g, name, labels...); got != want {
				t.Errorf("%s %v is %v, want %v", name, labels, got, want)
			}
		}

		talks := rig.Client(t, s)
		must.Send(t, talks, []byte("hello"))
		must.Read(t, talks, []byte("hello"))
		panics := rig.Client(t, s)
		must.Send(t, panics, []byte("!"))
		must.Take(t, "the end", r.Closed)
		must.Eventually(t, "counted", func() bool { return r.Engine.Stats().Closed == 1 })
		is(1, "proactor_connections")
		is(1, "proactor_server_connections", "server=echo")
		is(1, "proactor_callback_panics_total")
		is(1, "proactor_connections_closed_total", "cause=panic")
		is(0, "proactor_connections_closed_total", "cause=peer")
		is(1, "proactor_connection_received_bytes")

		talks.CloseWrite()
		must.Take(t, "the end", r.Closed)
		must.Eventually(t, "counted", func() bool { return r.Engine.Stats().Closed == 2 })
		is(0, "proactor_connections")
		is(2, "proactor_connections_accepted_total")
		is(1, "proactor_connections_closed_total", "cause=peer")
		is(6, "proactor_received_bytes_total")
		is(5, "proactor_sent_bytes_total")
		is(2, "proactor_connection_duration_seconds")
		is(1<<30, "proactor_outbound_max_bytes")
		is(1, "proactor_engine_info", "backend="+backend, "loops=2")
		if n := value(t, g, "proactor_loop_round_seconds"); n < 2 {
			t.Errorf("%v rounds", n)
		}
	})
}

// A loop that is blocked in a callback does not hold up a scrape: its last distributions are shown.
func TestBlockedLoop(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		blocked, release := make(chan bool), make(chan bool)
		s := r.Serve(proactor.Handler{Opened: func(*proactor.Conn) { blocked <- true; <-release }})
		g := prometheus.NewPedanticRegistry()
		g.MustRegister(metrics.Engine(r.Engine))
		rig.Client(t, s)
		must.Take(t, "Opened", blocked)
		defer close(release)
		if n := value(t, g, "proactor_connections_accepted_total"); n > 1 { // it is published at the end of the round
			t.Errorf("%v connections accepted", n)
		}
		value(t, g, "proactor_loop_round_seconds")
	})
}

// The names and the help follow the conventions, also those that promlint checks.
func TestConventions(t *testing.T) {
	r := rig.New(t, "std")
	p, err := work.New(work.Config{})
	if err != nil {
		t.Fatal(err)
	}
	g := prometheus.NewPedanticRegistry()
	g.MustRegister(metrics.Engine(r.Engine), metrics.Server("a", r.Serve(proactor.Handler{})), metrics.Pool("b", p))
	problems, err := testutil.GatherAndLint(g)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	all, _ := g.Gather()
	for _, f := range all {
		if !strings.HasPrefix(f.GetName(), "proactor_") || !strings.HasSuffix(f.GetHelp(), ".") && !strings.Contains(f.GetHelp(), ";") {
			t.Errorf("%s: %q", f.GetName(), f.GetHelp())
		}
	}
	must.Within(t, "Shutdown", func() error { return p.Shutdown(t.Context()) })
}

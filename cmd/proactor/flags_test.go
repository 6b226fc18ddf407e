package main

import (
	"io"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/samples/broadcast"
	"github.com/proactor-go/proactor/samples/greet"
	"github.com/proactor-go/proactor/samples/hello"
	"github.com/proactor-go/proactor/samples/large"
	"github.com/proactor-go/proactor/samples/line"
	"github.com/proactor-go/proactor/samples/linepool"
	"github.com/proactor-go/proactor/samples/packet"
	"github.com/proactor-go/proactor/samples/proxy"
	"github.com/proactor-go/proactor/samples/site"
)

func model(t *testing.T) (*command, *kong.Kong) {
	t.Helper()
	c := new(command)
	k, err := newParser(c, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return c, k
}

// leaves calls f with every command that can be run.
func leaves(n *kong.Node, f func(*kong.Node)) {
	if n.Leaf() {
		f(n)
	}
	for _, c := range n.Children {
		leaves(c, f)
	}
}

// TestDefaultsInHelp: each flag that takes a value tells what it is without it.
func TestDefaultsInHelp(t *testing.T) {
	_, k := model(t)
	leaves(k.Model.Node, func(n *kong.Node) {
		for _, group := range n.AllFlags(true) {
			for _, f := range group {
				if !f.IsBool() && !f.Required && !strings.Contains(strings.ToLower(f.Help), "default") {
					t.Errorf("%s --%s: %s", n.FullPath(), f.Name, f.Help)
				}
			}
		}
	})
}

// TestEveryLimitIsAFlag: of each sample that runs on a Server, and it arrives there.
func TestEveryLimitIsAFlag(t *testing.T) {
	c, k := model(t)
	args := []string{"serve", "echo"}
	want := reflect.New(reflect.TypeFor[proactor.Limits]()).Elem()
	for i := range want.NumField() {
		f := want.Type().Field(i)
		flag := "--" + kebab(f.Name) + "="
		switch f.Type {
		case reflect.TypeFor[time.Duration]():
			flag += "17s"
			want.Field(i).SetInt(int64(17 * time.Second))
		case reflect.TypeFor[int]():
			if strings.HasSuffix(f.Name, "Count") {
				flag += "3"
				want.Field(i).SetInt(3)
				break
			}
			flag += "3KiB"
			want.Field(i).SetInt(3 << 10)
		case reflect.TypeFor[bool]():
			flag += "true"
			want.Field(i).SetBool(true)
		case reflect.TypeFor[proactor.Overflow]():
			flag += "close"
			want.Field(i).SetUint(uint64(proactor.CloseSlow))
		default:
			t.Fatalf("%s is a %v", f.Name, f.Type)
		}
		args = append(args, flag)
	}
	if _, err := k.Parse(append(args, "--max-conns=5", "--max-conns-per-peer=6", "--listen=unix:a")); err != nil {
		t.Fatal(err)
	}
	var srv proactor.Server
	c.Serve.Echo.configure(&srv)
	if srv.Limits != want.Interface() || srv.MaxConns != 5 || srv.MaxConnsPerPeer != 6 || srv.Network != "unix" || srv.Addr != "a" {
		t.Errorf("%+v", srv.Limits)
	}
	leaves(k.Model.Node, func(n *kong.Node) {
		if n.Parent.Name != "serve" || n.Name == "raw" || n.Name == "select" {
			return
		}
		have := map[string]bool{}
		for _, f := range n.Flags {
			have[f.Name] = true
		}
		for i := range want.NumField() {
			if name := kebab(want.Type().Field(i).Name); !have[name] {
				t.Errorf("serve %s has no --%s", n.Name, name)
			}
		}
	})
}

var upper = regexp.MustCompile(`[A-Z]`)

// kebab is a field's name as a flag.
func kebab(name string) string {
	return strings.ToLower(strings.TrimPrefix(upper.ReplaceAllString(name, "-$0"), "-"))
}

// TestLimitsInHelp: what the help says of a sample's limits is what it has.
func TestLimitsInHelp(t *testing.T) {
	e, err := proactor.NewEngine(proactor.Config{Loops: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	p, err := packet.New(packet.Options{})
	if err != nil {
		t.Fatal(err)
	}
	lp, err := linepool.New(linepool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer lp.Pool.Shutdown(t.Context())
	lg, err := large.New(large.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer lg.Pool.Shutdown(t.Context())
	px, err := proxy.New(proxy.Options{To: "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	st, err := site.New(site.Options{})
	if err != nil {
		t.Fatal(err)
	}
	samples := map[string]*proactor.Server{
		"packet": p, "line": line.New(line.Options{}), "line-pool": lp.Server, "large": lg.Server, "hello": hello.New(hello.Options{}),
		"greet": greet.New(greet.Options{}), "broadcast": broadcast.New(broadcast.Options{Engine: e}).Server, "http": st.Server, "proxy": px.Server,
	}
	_, k := model(t)
	leaves(k.Model.Node, func(n *kong.Node) {
		srv := samples[n.Name]
		if srv == nil || n.Parent.Name != "serve" {
			return
		}
		has := reflect.ValueOf(srv.Limits)
		for _, f := range n.Flags {
			_, says, ok := strings.Cut(f.Help, "Default: ")
			field := has.FieldByNameFunc(func(name string) bool { return kebab(name) == f.Name })
			if !ok || !field.IsValid() || field.IsZero() {
				continue
			}
			says, _, _ = strings.Cut(strings.TrimSuffix(says, "."), ";")
			switch v := field.Interface().(type) {
			case time.Duration:
				if d, err := time.ParseDuration(says); err != nil || d != v {
					t.Errorf("%s --%s: the help says %s, the sample has %v", n.Name, f.Name, says, v)
				}
			case int:
				var s size
				if err := s.UnmarshalText([]byte(says)); (err != nil || int(s) != v) && n.Name != "packet" {
					t.Errorf("%s --%s: the help says %s, the sample has %d", n.Name, f.Name, says, v)
				}
			case proactor.Overflow:
				var o overflow
				if err := o.UnmarshalText([]byte(says)); err != nil || proactor.Overflow(o) != v {
					t.Errorf("%s --%s: the help says %s, the sample has %d", n.Name, f.Name, says, v)
				}
			}
		}
	})
}

func TestPlaces(t *testing.T) {
	for text, want := range map[string]struct{ listen, server place }{
		"5001":                   {place{"tcp", ":5001"}, place{"tcp", "127.0.0.1:5001"}},
		":5001":                  {place{"tcp", ":5001"}, place{"tcp", "127.0.0.1:5001"}},
		"localhost:0":            {place{"tcp", "localhost:0"}, place{"tcp", "localhost:0"}},
		"[::]:6060":              {place{"tcp", "[::]:6060"}, place{"tcp", "127.0.0.1:6060"}},
		"0.0.0.0:6060":           {place{"tcp", "0.0.0.0:6060"}, place{"tcp", "127.0.0.1:6060"}},
		"[::1]:6060":             {place{"tcp", "[::1]:6060"}, place{"tcp", "[::1]:6060"}},
		"unix:/run/a b":          {place{"unix", "/run/a b"}, place{"unix", "/run/a b"}},
		"http://127.0.0.1:6060/": {place{}, place{"tcp", "127.0.0.1:6060"}},
		"http://[::]:6060/":      {place{}, place{"tcp", "127.0.0.1:6060"}},
		"":                       {}, "x": {}, "x:": {}, "-1": {}, "65536": {}, "x:y": {}, "unix:": {}, "::1:80": {},
	} {
		var l listenPlace
		var s serverPlace
		errListen, errServer := l.UnmarshalText([]byte(text)), s.UnmarshalText([]byte(text))
		if l.place != want.listen || s.place != want.server || (errListen == nil) != (want.listen != place{}) || (errServer == nil) != (want.server != place{}) {
			t.Errorf("%q: %v, %v; %v, %v", text, l, errListen, s, errServer)
		}
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]size{"0": 0, "65536": 65536, "64KiB": 65536, "3MiB": 3 << 20, "1GiB": 1 << 30, strconv.Itoa(math.MaxInt): math.MaxInt} {
		var s size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%s: %d, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "KiB", "-1", "1.5MiB", "1KB", "1 KiB", "9223372036854775808", "9007199254740992KiB", "8589934592GiB"} {
		var s size
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is %d", text, s)
		}
	}
}

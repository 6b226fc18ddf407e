package proxy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"net/netip"
)

// All that a file may have.
func TestConfig(t *testing.T) {
	got, err := ParseConfig("f", []byte(`
accept-proxy 10.0.0.0/8 ::1/128  # who stands before it

pool web
  server 192.0.2.1:80
  server unix:/run/web
  balance leastconn
  timeout 3s
  retries 0
  check 2s 5 1
  send-proxy 2
pool tls
server 192.0.2.3:443
tls example.org
route Example.org web
route *.example.org tls
default tls
`))
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Pools: []Pool{
			{
				Name: "web", Servers: []Address{{"tcp", "192.0.2.1:80"}, {"unix", "/run/web"}}, LeastConns: true, Timeout: 3 * time.Second,
				Every: 2 * time.Second, Fall: 5, Rise: 1, Header: 2,
			},
			{Name: "tls", Servers: []Address{{"tcp", "192.0.2.3:443"}}, Retries: 1},
		},
		Routes:  []Route{{"example.org", "web"}, {"*.example.org", "tls"}},
		Default: "tls",
		Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")},
	}
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(Pool{}, "TLS"), cmpopts.EquateComparable(netip.Prefix{})); d != "" {
		t.Error(d)
	}
	if c := got.Pools[1].TLS; c == nil || c.ServerName != "example.org" {
		t.Errorf("TLS: %+v", c)
	}
	if got, err = ParseConfig("f", []byte("pool a\nserver 127.0.0.1:1")); err != nil || got.Default != "a" {
		t.Errorf("the only pool is not the default: %+v, %v", got, err)
	}
}

// What is wrong is told with its line, all of it at once.
func TestConfigErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                                                          "f:1: there is no pool",
		"\n\nserve 1":                                               `f:3: there is no "serve"`,
		"server 127.0.0.1:1":                                        "f:1: server stands before any pool",
		"pool a":                                                    "f:1: pool a has no server",
		"pool a\nserver x":                                          "f:2: server: ",
		"pool a\nserver x:1\nserver x:1":                            "f:3: server: x:1 is listed twice",
		"pool a\nserver x:1\npool a\nserver x:1":                    "f:3: pool: a is listed twice",
		"pool a\nserver x:1\nbalance random":                        "f:3: balance: ",
		"pool a\nserver x:1\ntimeout 0s":                            "f:3: timeout: ",
		"pool a\nserver x:1\ntimeout 1":                             "f:3: timeout: ",
		"pool a\nserver x:1\nretries -1":                            "f:3: retries: ",
		"pool a\nserver x:1\ncheck 1s 0":                            "f:3: check: ",
		"pool a\nserver x:1\ncheck 1s 1 1 1":                        "f:3: check takes 1 to 3 words, not 4",
		"pool a\nserver x:1\nsend-proxy 3":                          "f:3: send-proxy: ",
		"pool a\nserver x:1\ntls\ntls":                              "f:4: tls stands in line 3 already",
		"pool a\nserver x:1\nserver unix:/y\ntls":                   "f:4: tls needs a name: unix:/y has none",
		"pool a\nserver :1\ntls":                                    "f:3: tls needs a name: :1 has none",
		"pool a\nserver x:1\ntls-ca /nothing":                       "f:3: tls-ca: ",
		"pool a\nserver x:1\nroute n b":                             "f:3: there is no pool b",
		"pool a\nserver x:1\nroute n a\nroute N a":                  "f:4: route: n has the route of line 3 already",
		"pool a\nserver x:0":                                        "f:2: server: x:0: nobody listens at port 0",
		"pool a\nserver x:":                                         "f:2: server: ",
		"pool a\nserver x:1\nroute *example.org a":                  "f:3: route: *example.org is no host name",
		"pool a\nserver x:1\nroute * a":                             "f:3: route: * is no host name",
		"pool a\nserver x:1\nroute *. a":                            "f:3: route: *. is no host name",
		"pool a\nserver x:1\nroute a.*.org a":                       "f:3: route: a.*.org is no host name",
		"pool a\nserver x:1\nroute example.org. a":                  "f:3: route: example.org. is no host name",
		"pool a\nserver x:1\nroute example.org:443 a":               "f:3: route: example.org:443 is no host name",
		"pool a\nserver x:1\nroute b\u00fccher.example a":           "f:3: route: ",
		"pool a\nserver x:1\nroute 192.0.2.1 a":                     "f:3: route: 192.0.2.1 is an address",
		"pool a\nserver x:1\nroute *.n.org a\nroute a.n.org a":      "f:4: route: a.n.org has the route of line 3 already",
		"pool a\nserver x:1\naccept-proxy ::ffff:1.2.3.4/128":       "f:3: accept-proxy: ",
		"route n c\npool a\npool b\ndefault d":                      "f:1: there is no pool c\nf:2: pool a has no server\nf:3: pool b has no server\nf:4: there is no pool d",
		"#" + strings.Repeat("x", 1<<17) + "\nfoo":                  "f:2: there is no \"foo\"",
		"pool a\nserver x:1\n\nroute " + strings.Repeat("x", 1<<17): "f:4: route takes 2 words, not 1",

		"pool a\nserver x:1\npool b\nserver x:1":   "f:4: neither a route nor a default leads to a pool",
		"pool a\nserver x:1\naccept-proxy 1.2.3.4": "f:3: accept-proxy: ",
		"pool a\nserver x:1\nfoo\nretries x":       "f:3: there is no \"foo\"\nf:4: retries: ",
	} {
		if _, err := ParseConfig("f", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	if _, err := ReadConfig(filepath.Join(t.TempDir(), "none")); !os.IsNotExist(err) {
		t.Errorf("no file: %v", err)
	}
}

// Names are matched as a whole, or below a domain, in the order of the routes.
func TestRoutes(t *testing.T) {
	c, err := ParseConfig("f", []byte("pool a\nserver x:1\npool b\nserver x:1\npool c\nserver x:1\nroute www.example.org a\nroute *.example.org b\ndefault c"))
	if err != nil {
		t.Fatal(err)
	}
	table, err := newTable(c, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"www.example.org": "a", "WWW.example.ORG": "a", "x.example.org": "b", "x.y.example.org": "b",
		"example.org": "c", ".example.org": "c", "badexample.org": "c", "": "c",
	} {
		if got := table.of(name).Name; got != want {
			t.Errorf("%q goes to %s, want %s", name, got, want)
		}
	}
}

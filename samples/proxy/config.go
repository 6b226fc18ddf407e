package proxy

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config says which servers there are, and which of them a client gets. It is what a file has,
// see [ReadConfig].
type Config struct {
	Pools []Pool
	// Routes are tried in their order against the name that the client asks for by TLS (SNI).
	Routes []Route
	// Default is the pool of all other clients. Empty: they are reset.
	Default string
	// Trusted are the proxies that begin their connections with a header of the PROXY protocol; all others
	// are refused then. nil: nobody sends one. A Reload cannot change it.
	Trusted []netip.Prefix
}

// Route is where clients go who ask for a name: "example.org", or "*.example.org" for all below it.
type Route struct{ Name, Pool string }

// Pool is a group of servers that do the same.
type Pool struct {
	Name    string
	Servers []Address
	// LeastConns gives a client to the server with the fewest. false: they have their turns.
	LeastConns bool
	// Timeout bounds a connect. 0: 10 s.
	Timeout time.Duration
	// Retries is how many other servers are tried for a client when one cannot be connected to.
	Retries int
	// Every is the time between the checks of a server, each a connect; one that takes longer puts off the
	// next. 0: there are none, and a server that is down is tried with a client after 10 s, one at a time.
	Every time.Duration
	// Fall is after how many failures, of checks and of clients, a server is down, and Rise after how many
	// checks it is up again. 0: 3 and 2.
	Fall, Rise int
	// Header is the version of the PROXY header that each connection begins with. 0: none.
	Header int
	// TLS is spoken to the servers. nil: none is.
	TLS *tls.Config
}

// Address is one of package net: "tcp" and "host:port", or "unix" and a path.
type Address struct{ Network, Addr string }

// ParseAddress takes "host:port" or "unix:path".
func ParseAddress(s string) (Address, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok && path != "" {
		return Address{"unix", path}, nil
	}
	a := Address{"tcp", s}
	return a, a.check()
}

func (a Address) check() error {
	if a.Network == "unix" {
		return nil
	}
	_, service, err := net.SplitHostPort(a.Addr)
	if err != nil {
		return err
	}
	number, err := net.LookupPort("tcp", service)
	if err == nil && number == 0 {
		err = fmt.Errorf("%s: nobody listens at port 0", a.Addr)
	}
	return err
}

// String is what ParseAddress takes.
func (a Address) String() string {
	if a.Network == "unix" {
		return "unix:" + a.Addr
	}
	return a.Addr
}

// ReadConfig reads a file of lines, each with one directive. "#" begins a comment. All errors are told,
// each with its line.
//
//	accept-proxy PREFIX...         headers of the PROXY protocol come from these addresses
//	pool NAME                      begins a pool, which the lines until the next pool describe:
//	  server ADDR                    "host:port" or "unix:path"; one line for each
//	  balance roundrobin|leastconn   roundrobin
//	  timeout DURATION               of a connect; 10s
//	  retries N                      other servers that are tried when one cannot be connected to; 1
//	  check DURATION [FALL [RISE]]   connects so often: down after FALL failures, up after RISE; none, 3, 2
//	  send-proxy 1|2                 a header of that version goes first
//	  tls [NAME]                     TLS to the servers, whose certificate is for NAME, or their host
//	  tls-ca FILE                    which certificates vouch for theirs (PEM); the system's
//	route NAME POOL                clients that ask for NAME, or *.NAME, by TLS
//	default POOL                   all others; the only pool, if there is one
func ReadConfig(file string) (*Config, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return ParseConfig(file, b)
}

// ParseConfig is ReadConfig of what the file has.
func ParseConfig(file string, b []byte) (*Config, error) {
	p := parser{seen: map[string]int{}, pools: map[string]bool{}, uses: map[string]int{}}
	for text := range strings.Lines(string(b)) {
		p.line++
		text, _, _ := strings.Cut(text, "#")
		if words := strings.Fields(text); len(words) > 0 {
			p.note(p.line, p.directive(words[0], words[1:]))
		}
	}
	p.finish()
	if len(p.errs) > 0 {
		slices.SortStableFunc(p.errs, func(a, b lineError) int { return a.line - b.line })
		all := make([]error, len(p.errs))
		for i, e := range p.errs {
			all[i] = fmt.Errorf("%s:%d: %w", file, e.line, e.err)
		}
		return nil, errors.Join(all...)
	}
	return &p.Config, nil
}

// parser is a file that is being read.
type parser struct {
	Config
	line   int
	pools  map[string]bool
	uses   map[string]int // the first line that names a pool
	routes []int          // their lines
	errs   []lineError

	seen   map[string]int // the line of each directive
	within map[string]int // and of those of the pool that is described
	begun  int            // its line
}

// lineError is what is wrong with a line.
type lineError struct {
	line int
	err  error
}

func (p *parser) note(line int, err error) {
	if err != nil {
		p.errs = append(p.errs, lineError{line, err})
	}
}

// manyWords is more than a line should have.
const manyWords = 1000

// directives are how each is written, and what it does.
var directives = map[string]struct {
	least, most int // words behind it
	often       bool
	pool        bool // it describes one
	set         func(*parser, []string) error
}{
	"accept-proxy": {1, manyWords, false, false, (*parser).trust},
	"pool":         {1, 1, true, false, (*parser).pool},
	"route":        {2, 2, true, false, (*parser).route},
	"default":      {1, 1, false, false, func(p *parser, w []string) error { p.Default = w[0]; p.use(w[0]); return nil }},

	"server":     {1, 1, true, true, (*parser).server},
	"balance":    {1, 1, false, true, (*parser).balance},
	"timeout":    {1, 1, false, true, func(p *parser, w []string) error { return duration(w[0], &p.last().Timeout) }},
	"retries":    {1, 1, false, true, func(p *parser, w []string) error { return number(w[0], 0, 100, &p.last().Retries) }},
	"check":      {1, 3, false, true, (*parser).check},
	"send-proxy": {1, 1, false, true, func(p *parser, w []string) error { return number(w[0], 1, 2, &p.last().Header) }},
	"tls":        {0, 1, false, true, (*parser).tls},
	"tls-ca":     {1, 1, false, true, (*parser).authority},
}

func (p *parser) directive(name string, said []string) error {
	d, ok := directives[name]
	seen := p.seen
	if d.pool {
		seen = p.within
	}
	switch {
	case !ok:
		return fmt.Errorf("there is no %q", name)
	case len(said) < d.least || len(said) > d.most:
		return fmt.Errorf("%s takes %s, not %d", name, words(d.least, d.most), len(said))
	case d.pool && len(p.Pools) == 0:
		return fmt.Errorf("%s stands before any pool", name)
	case !d.often && seen[name] > 0:
		return fmt.Errorf("%s stands in line %d already", name, seen[name])
	}
	seen[name] = p.line
	if err := d.set(p, said); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// words says how many there may be.
func words(least, most int) string {
	switch {
	case least == most && least == 1:
		return "one word"
	case least == most:
		return fmt.Sprintf("%d words", least)
	case most == manyWords:
		return fmt.Sprintf("at least %d", least)
	}
	return fmt.Sprintf("%d to %d words", least, most)
}

func (p *parser) last() *Pool { return &p.Pools[len(p.Pools)-1] }

func (p *parser) pool(w []string) error {
	p.ended()
	p.within = map[string]int{}
	p.Pools = append(p.Pools, Pool{Name: w[0], Retries: 1})
	p.begun = p.line
	if p.pools[w[0]] {
		return fmt.Errorf("%s is listed twice", w[0])
	}
	p.pools[w[0]] = true
	return nil
}

// ended checks the pool that was described last.
func (p *parser) ended() {
	if len(p.Pools) == 0 {
		return
	}
	if len(p.last().Servers) == 0 {
		p.note(p.begun, fmt.Errorf("pool %s has no server", p.last().Name))
	}
	if c := p.last().TLS; c != nil && p.within["tls"] == 0 {
		p.note(p.within["tls-ca"], errors.New("tls-ca is for tls"))
	} else if c != nil && c.ServerName == "" {
		for _, s := range p.last().Servers {
			if host, _, _ := net.SplitHostPort(s.Addr); s.Network == "unix" || host == "" {
				p.note(p.within["tls"], fmt.Errorf("tls needs a name: %s has none", s))
				break
			}
		}
	}
}

func (p *parser) server(w []string) error {
	a, err := ParseAddress(w[0])
	for _, other := range p.last().Servers {
		if other == a {
			err = fmt.Errorf("%s is listed twice", a)
		}
	}
	p.last().Servers = append(p.last().Servers, a)
	return err
}

func (p *parser) balance(w []string) error {
	p.last().LeastConns = w[0] == "leastconn"
	if w[0] != "leastconn" && w[0] != "roundrobin" {
		return fmt.Errorf("%q is neither roundrobin nor leastconn", w[0])
	}
	return nil
}

func (p *parser) check(w []string) error {
	err := duration(w[0], &p.last().Every)
	for i, n := range []*int{&p.last().Fall, &p.last().Rise} {
		if len(w) > i+1 {
			err = cmp.Or(err, number(w[i+1], 1, 1000, n))
		}
	}
	return err
}

func (p *parser) tls(w []string) error {
	if p.last().TLS == nil {
		p.last().TLS = &tls.Config{}
	}
	if len(w) > 0 {
		p.last().TLS.ServerName = w[0]
	}
	return nil
}

func (p *parser) authority(w []string) error {
	b, err := os.ReadFile(w[0])
	if err != nil {
		return err
	}
	if p.last().TLS == nil {
		p.last().TLS = &tls.Config{}
	}
	p.last().TLS.RootCAs = x509.NewCertPool()
	if !p.last().TLS.RootCAs.AppendCertsFromPEM(b) {
		return fmt.Errorf("no certificate in %s", w[0])
	}
	return nil
}

func (p *parser) trust(w []string) error {
	for _, s := range w {
		prefix, err := netip.ParsePrefix(s)
		if err != nil {
			return err
		}
		if prefix.Addr().Is4In6() {
			return fmt.Errorf("%s: write it as IPv4", prefix)
		}
		p.Trusted = append(p.Trusted, prefix)
	}
	return nil
}

func (p *parser) route(w []string) error {
	r := Route{strings.ToLower(w[0]), w[1]}
	p.use(r.Pool)
	if err := r.check(); err != nil {
		return err
	}
	for i, before := range p.Routes {
		if before.matches(r.Name) {
			return fmt.Errorf("%s has the route of line %d already", r.Name, p.routes[i])
		}
	}
	p.Routes, p.routes = append(p.Routes, r), append(p.routes, p.line)
	return nil
}

// check says why no client asks for the name, which is in lower case.
func (r Route) check() error {
	name := strings.TrimPrefix(r.Name, "*.")
	if _, err := netip.ParseAddr(name); err == nil {
		return fmt.Errorf("%s is an address; clients name hosts only in TLS", r.Name)
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return fmt.Errorf("%s is no host name (other scripts are written as xn--…), nor \"*.\" and a host name", r.Name)
		}
	}
	return nil
}

// matches reports whether the route is that of a client that asks for the name, in lower case.
func (r Route) matches(name string) bool {
	below, ok := strings.CutPrefix(r.Name, "*")
	return r.Name == name || ok && name != "" && strings.HasSuffix(name, below) && len(name) > len(below)
}

func (p *parser) use(pool string) {
	if p.uses[pool] == 0 {
		p.uses[pool] = p.line
	}
}

// finish checks what needs the whole file.
func (p *parser) finish() {
	p.ended()
	for name, line := range p.uses {
		if !p.pools[name] {
			p.note(line, fmt.Errorf("there is no pool %s", name))
		}
	}
	switch {
	case len(p.Pools) == 0 && len(p.errs) == 0:
		p.note(max(1, p.line), errors.New("there is no pool"))
	case len(p.Pools) == 1 && len(p.Routes) == 0:
		p.Default = p.Pools[0].Name
	case len(p.Routes) == 0 && p.Default == "" && len(p.errs) == 0:
		p.note(p.line, errors.New("neither a route nor a default leads to a pool"))
	}
}

func duration(s string, to *time.Duration) (err error) {
	if *to, err = time.ParseDuration(s); err == nil && *to <= 0 {
		err = fmt.Errorf("%s is not above 0", s)
	}
	return err
}

func number(s string, least, most int, to *int) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > most {
		return fmt.Errorf("%q is no number from %d to %d", s, least, most)
	}
	*to = n
	return nil
}

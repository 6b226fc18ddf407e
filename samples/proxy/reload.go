package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"

	"github.com/proactor-go/proactor"
)

// table is a [Config] in use. It does not change: a reload puts another in its place, which clients
// follow that come from then on.
type table struct {
	pools    map[string]*pool
	routes   []Route
	fallback *pool // nil: none
	trusted  []netip.Prefix
	ctx      context.Context // of its checks
	end      context.CancelFunc
}

// newTable makes a table. Servers that the one before has are the same, in pools of the same name: whether
// they are up, and how many clients they have. before may be nil.
func newTable(c *Config, before *table, log *slog.Logger) (*table, error) {
	t := &table{pools: map[string]*pool{}, routes: c.Routes, trusted: c.Trusted}
	for _, p := range c.Pools {
		if len(p.Servers) == 0 {
			return nil, fmt.Errorf("proxy: pool %q has no server", p.Name)
		}
		kept := map[Address]*server{}
		if before != nil && before.pools[p.Name] != nil {
			for _, s := range before.pools[p.Name].servers {
				kept[s.Address] = s
			}
		}
		t.pools[p.Name] = newPool(p, kept, log)
	}
	for _, r := range append(slices.Clone(c.Routes), Route{"default", c.Default}) {
		if t.pools[r.Pool] == nil && r.Pool != "" {
			return nil, fmt.Errorf("proxy: there is no pool %q", r.Pool)
		}
	}
	t.fallback = t.pools[c.Default]
	t.ctx, t.end = context.WithCancel(context.Background())
	return t, nil
}

// of is the pool for a name; nil: there is none.
func (t *table) of(name string) *pool {
	name = strings.ToLower(name)
	for _, r := range t.routes {
		if r.matches(name) {
			return t.pools[r.Pool]
		}
	}
	return t.fallback
}

// bound has connections to servers be bounded, before the table is in use.
func (t *table) bound(l proactor.Limits) {
	for _, of := range t.pools {
		of.dialer.Limits = l
	}
}

// begin has the table's servers be checked.
func (p *Server) begin(t *table) {
	for _, of := range t.pools {
		if of.Every > 0 && p.Engine != nil {
			for _, s := range of.servers {
				p.After(0, func() { p.check(t.ctx, of, s) })
			}
		}
	}
}

// errTrusted is why a reload is refused.
var errTrusted = errors.New("who is trusted with a PROXY header cannot be changed by a reload: start the proxy anew")

// Reload has the clients that come from now on follow another configuration. Those that are there keep
// their servers. An error says why nothing has changed: [ErrLoop], or what is wrong with the configuration. It
// looks names up, which may take a while. Listen must have been called.
func (p *Server) Reload(c *Config) error {
	p.reloads.Lock()
	defer p.reloads.Unlock()
	before := p.inUse.Load()
	if !slices.Equal(c.Trusted, before.trusted) {
		return errTrusted
	}
	t, err := newTable(c, before, p.Log)
	if err == nil {
		err = p.leads(t.addresses())
	}
	if err != nil {
		return err
	}
	t.bound(p.Limits)
	p.begin(t)
	p.inUse.Store(t)
	before.end()
	return nil
}

package proactor

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"

	"github.com/proactor-go/proactor/port"
)

// TLS returns what is known of the connection's TLS: the version, the peer's certificates, the
// protocol that was agreed on. nil: it speaks no TLS, or the handshake has not ended. Any
// goroutine may call it, as often as it likes: each call makes a copy, so keep it.
func (c *Conn) TLS() *tls.ConnectionState {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.tlsLayer()
	if l == nil || !c.wire().ready {
		return nil
	}
	state := l.conn.ConnectionState()
	return &state
}

// tlsLayer is the connection's layer, if that is TLS. As with wire, others than the loop hold mu.
func (c *Conn) tlsLayer() *tlsLayer {
	w := c.wire()
	if w == nil {
		return nil
	}
	l, _ := w.layer.(*tlsLayer)
	return l
}

// makeLayers makes what makes the layers of a server's connections.
func (s *Server) makeLayers(set *settings) (err error) {
	if set.layer = s.Layer; s.TLS != nil {
		set.behind, err = s.makeTLS(s.TLS)
	}
	set.closeRanks()
	return err
}

func (s *Server) makeTLS(config *tls.Config) (func() Layer, error) {
	if config == nil || len(config.Certificates) == 0 && config.GetCertificate == nil && config.GetConfigForClient == nil {
		return nil, fmt.Errorf("%w: TLS has neither Certificates nor GetCertificate nor GetConfigForClient", port.ErrInvalid)
	}
	made := s.tlsMade.Load()
	if made == nil || made.config != config {
		made = &tlsMade{config, layerTLS(config, false)}
		s.tlsMade.Store(made)
	}
	return made.layer, nil
}

// tlsMade is what makes layers of a config, which costs a copy of that where it has functions.
type tlsMade struct {
	config *tls.Config
	layer  func() Layer
}

// makeLayers makes what makes the layers of a dialer's connections to one address.
func (d *Dialer) makeLayers(set *settings, network, address string) (err error) {
	if set.layer = d.Layer; d.TLS != nil {
		set.behind, err = layerTLSClient(d.TLS, network, address)
	}
	set.closeRanks()
	return err
}

// closeRanks has TLS begin at once where nothing stands before it.
func (s *settings) closeRanks() {
	if s.layer == nil {
		s.layer, s.behind = s.behind, nil
	}
}

func (r *race) makeTLS(config *tls.Config) (func() Layer, error) {
	return layerTLSClient(config, r.network, r.address)
}

// layerTLSClient makes the layer of a client that has dialed the address.
func layerTLSClient(config *tls.Config, network, address string) (func() Layer, error) {
	switch {
	case config == nil:
		return nil, fmt.Errorf("%w: no tls.Config", port.ErrInvalid)
	case config.Renegotiation != tls.RenegotiateNever:
		return nil, fmt.Errorf("%w: TLS.Renegotiation: there is none", port.ErrInvalid)
	}
	if config.ServerName == "" { // also where nothing is verified: functions of the config may do that
		host, _, err := net.SplitHostPort(address)
		switch {
		case err == nil && network != "unix":
			config = config.Clone()
			config.ServerName = host
		case !config.InsecureSkipVerify:
			return nil, fmt.Errorf("%w: TLS.ServerName is not set, and the address has none", port.ErrInvalid)
		}
	}
	return layerTLS(config, true), nil
}

// noTLS tells the log, once for each server, that a client speaks plain HTTP. mu is held.
func (l *tlsLayer) noTLS() {
	c := l.wire.conn
	if !looksLikeHTTP(l.hello.records.head) || c.cfg.plainHTTP.Swap(true) {
		return
	}
	c.loop.do(func() {
		c.cfg.log.Warn("a client sent plain HTTP to a port where TLS is spoken; further ones are not logged", "conn", c.id, "peer", c.peer())
	})
}

// tellFailed tells the log, at the level of debugging, why a handshake has failed: of a server's
// connection that is the only word, since its handler never hears of it.
func (l *tlsLayer) tellFailed(cause error) {
	c := l.wire.conn
	if c.cfg.log.Enabled(context.Background(), slog.LevelDebug) {
		c.cfg.log.Debug("TLS handshake failed", "conn", c.id, "peer", c.peer(), "cause", cause)
	}
}

// panicked counts and logs a function of the tls.Config that did not return.
func (l *tlsLayer) panicked(why *PanicError) error {
	c := l.wire.conn
	c.loop.engine.panics.Add(1)
	c.cfg.log.Error("function of tls.Config panicked", "conn", c.id, "peer", c.peer(), "panic", why.Value, "stack", string(why.Stack))
	return why
}

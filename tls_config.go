package proactor

import (
	"context"
	"crypto/tls"
	"crypto/x509"

	"github.com/proactor-go/proactor/internal/goid"
)

// aside is a config whose functions give the handshake's place among those that compute up while
// they run, for they may wait for whatever they like. Which handshake that is, its goroutine
// tells: not all of the functions are given the connection. A config without functions is used as
// it is.
func aside(config *tls.Config) (_ *tls.Config, waits bool) {
	if !hasFunctions(config) {
		return config, false
	}
	outer := asideEach(config)
	// The copy would have ticket keys of its own, and not learn of new ones.
	if outer.WrapSession == nil && outer.UnwrapSession == nil {
		outer.WrapSession, outer.UnwrapSession = config.EncryptTicket, config.DecryptTicket
	}
	return outer, true
}

func hasFunctions(c *tls.Config) bool {
	return c.GetCertificate != nil || c.GetClientCertificate != nil || c.GetConfigForClient != nil ||
		c.VerifyPeerCertificate != nil || c.VerifyConnection != nil ||
		c.WrapSession != nil || c.UnwrapSession != nil ||
		c.GetEncryptedClientHelloKeys != nil || c.EncryptedClientHelloRejectionVerify != nil
}

// asideEach is a copy with the functions wrapped, and those of a config that one of them returns.
func asideEach(config *tls.Config) *tls.Config {
	c := config.Clone()
	c.GetCertificate = asideAsk(c.GetCertificate)
	c.GetClientCertificate = asideAsk(c.GetClientCertificate)
	c.GetEncryptedClientHelloKeys = asideAsk(c.GetEncryptedClientHelloKeys)
	c.VerifyConnection = asideCheck(c.VerifyConnection)
	c.EncryptedClientHelloRejectionVerify = asideCheck(c.EncryptedClientHelloRejectionVerify)
	if f := c.GetConfigForClient; f != nil {
		ask := asideAsk(f)
		c.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			other, err := ask(h)
			if other != nil && hasFunctions(other) {
				other = asideEach(other)
			}
			return other, err
		}
	}
	if f := c.VerifyPeerCertificate; f != nil {
		c.VerifyPeerCertificate = func(raw [][]byte, chains [][]*x509.Certificate) error {
			defer stepAside()()
			return f(raw, chains)
		}
	}
	if f := c.WrapSession; f != nil {
		c.WrapSession = func(state tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
			defer stepAside()()
			return f(state, session)
		}
	}
	if f := c.UnwrapSession; f != nil {
		c.UnwrapSession = func(ticket []byte, state tls.ConnectionState) (*tls.SessionState, error) {
			defer stepAside()()
			return f(ticket, state)
		}
	}
	return c
}

func asideAsk[A, R any](f func(A) (R, error)) func(A) (R, error) {
	if f == nil {
		return nil
	}
	return func(a A) (R, error) {
		defer stepAside()()
		return f(a)
	}
}

func asideCheck[A any](f func(A) error) func(A) error {
	if f == nil {
		return nil
	}
	return func(a A) error {
		defer stepAside()()
		return f(a)
	}
}

// stepAside lets other handshakes compute until back is called, which waits for a turn. After
// the handshake nobody waits.
func stepAside() (back func()) {
	h, ok := goid.Owner().(*handshake)
	if !ok {
		return func() {}
	}
	s := &h.engine().handshakes
	s.pauses(nil)
	return func() { s.goesOn(h) }
}

// context is what the functions of the tls.Config are given: it is done when nobody wants the
// handshake any more.
func (h *handshake) context() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	c := h.tls.wire.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.cancel = cancel; h.over {
		cancel()
	}
	return ctx, cancel
}

// shakes is the handshake of crypto/tls.
func (h *handshake) shakes() error {
	if !h.tls.waits {
		return h.tls.conn.Handshake()
	}
	goid.Own(h)
	defer goid.Disown()
	ctx, cancel := h.context()
	defer cancel()
	return h.tls.conn.HandshakeContext(ctx)
}

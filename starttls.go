package proactor

import (
	"crypto/tls"
	"fmt"

	"github.com/proactor-go/proactor/port"
)

// TLS that begins in the middle of a connection is the same layer as TLS from its first byte, put
// in at a boundary that both directions must agree on. The hard part is that neither may
// leak past it:
//
//   - What was written before is in the outbound, in the clear, and goes out first. From the moment
//     at which the Wire is there, under Conn.mu, a Write goes to the layer and nowhere else. It
//     waits there, as plain bytes apart from the outbound (Wire.full, Wire.held), until the
//     handshake is done; no send ever looks at that memory. It counts as waiting all the same.
//   - What has arrived and is not consumed when the callback is over was sent in the clear. It is
//     never given to the handler as if it had come through TLS, nor to the handshake: Conn.left
//     ends the connection. What arrives later goes to the handshake.
//
// Until then flagReady is missing: the handler is shown nothing, and only the layer pauses reads.

// StartTLS has the connection speak TLS from here on, for protocols that begin in the clear: SMTP,
// IMAP, POP3, FTP, XMPP, LDAP, PostgreSQL. A connection that a server accepted, or adopted, is the
// server of TLS, one that was dialed is the client. A server calls it when it has written that it is
// ready, a client when it has read that:
//
//	Message: func(c *proactor.Conn, line []byte) {
//		if string(line) == "STLS" {
//			c.Write([]byte("+OK begin\r\n"))
//			c.StartTLS(config)
//			return
//		}
//		…
//
// All that was written before goes out in the clear, all that is written from now on through TLS:
// Write accepts it at once, Limits.MaxPending and HighWater count it, and it goes out when the
// handshake is done. So the handler need not be told of that. The next call of Data or Message has
// bytes of TLS, and [Conn.TLS] is not nil from then on; what the peer must be, config verifies
// before anything is sent to it, see tls.Config.VerifyConnection. Writes of other goroutines that run at
// the same time go before or behind.
//
// What the peer has sent behind the message that asks for TLS, and was received with it, nobody has
// protected: it is not shown, and closes the connection with [ErrPlaintext] (RFC 3207, section 4;
// CVE-2011-0411). With Data that is what it has not consumed when it returns, with Message what
// follows the message. What arrives later belongs to the handshake, which fails where it is none.
//
// A handshake that fails closes the connection, with the cause, as with [Server.TLS]; nothing of
// what was written since StartTLS is sent then. So does Close. CloseWrite is done after the
// handshake. PauseRead holds back what comes after it. Limits.HandshakeTimeout, the bounds on
// handshakes and Stats.Handshakes are those of Server.TLS.
//
// config is that of Server.TLS, or of Dialer.TLS: a client's ServerName, where it is empty, is the
// host of the address that was dialed. It must not be changed any more. StartTLS may be called
// only in a callback of this connection; others call it in a function that they give to
// [Conn.Post]. It fails with [ErrNoCallback] elsewhere; with [ErrClosed] where the peer has closed its sending
// side, or this side was closed; with [ErrRelaying] where the connection is part of a relay or of
// a pair; with port.ErrInvalid where it has TLS, or another [Layer], already, or config cannot be
// used. Then nothing has changed. It fails with [ErrPlaintext], and closes the connection, where it is not about
// bytes that it is called and there are some that were not consumed.
func (c *Conn) StartTLS(config *tls.Config) error {
	switch {
	case hereLoop() != c.loop || c.busy.Load()&inside == 0:
		return ErrNoCallback
	case c.wire() != nil:
		return fmt.Errorf("%w: the connection has TLS, or another Layer, already", port.ErrInvalid)
	case c.relaying() != nil || c.fed() != nil || c.joined() != nil:
		return ErrRelaying
	}
	layer, err := c.cfg.owner.makeTLS(config)
	switch {
	case err != nil:
		return err
	case c.state != stateReading || c.flags&flagOpened == 0 || c.shut():
		return ErrClosed
	case c.flags&flagDelivering == 0 && c.keeps():
		c.ask(wantClose, ErrPlaintext)
		return ErrPlaintext
	}
	c.putLayer(layer())
	return nil
}

// putLayer puts a layer between the connection and its handler, which has had it without.
func (c *Conn) putLayer(l Layer) {
	w := &Wire{conn: c, layer: l, most: c.cfg.limits.HandshakeTimeout, since: c.loop.now(), plain: c.bytesIn.Load()}
	c.flags &^= flagReady
	c.addWire(w)
	if c.cfg.limits.HandshakeTimeout > 0 {
		c.deadlines()
		c.watch()
	}
	l.Begin(w)
	c.arm() // where the handler has paused reads
}

// shut reports whether nothing more may be written.
func (c *Conn) shut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sending&shut != 0
}

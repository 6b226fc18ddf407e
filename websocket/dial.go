package websocket

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/goid"
)

// HandshakeError is why Dial failed at a server that did not upgrade.
type HandshakeError struct {
	Status int         // of the answer
	Header http.Header // of the answer
	Err    error       // what was wrong with it
}

func (e *HandshakeError) Error() string {
	return fmt.Sprintf("websocket: not upgraded by the server: status %d: %v", e.Status, e.Err)
}

// Unwrap gives what was wrong.
func (e *HandshakeError) Unwrap() error { return e.Err }

// dialing is the value of a connection until the handshake is done.
type dialing struct {
	key   string
	asked *Options
	done  func(*Conn, error) (wanted bool)
}

func (d *dialing) fail(err error) { d.done(nil, err) }

// Dial connects to a server and waits for the handshake, during which ctx bounds everything; the
// connection was given to Options.Opened then. rawURL is that of a WebSocket, ws:// or wss:// (RFC
// 6455, 3), header what the request has beside what the protocol wants, such as Origin, Cookie and
// Authorization; a Host in it takes the place of the URL's. nil: nothing.
//
// d says how to connect, and carries the connection. Its Handler must be empty. Its TLS is that of
// wss, where nil has the system's roots, and is not used for ws.
//
// The errors are those of [proactor.Dialer.Dial], [proactor.ErrOnLoop] in a callback included;
// a [HandshakeError] for an answer that does not upgrade; [ErrNoHandshake] for none within
// Limits.HandshakeTimeout; and the cause for which the connection ended meanwhile.
func Dial(ctx context.Context, d *proactor.Dialer, rawURL string, header http.Header, o *Options) (*Conn, error) {
	if goid.OnLoop() {
		return nil, proactor.ErrOnLoop
	}
	o.init()
	r, err := o.request(rawURL, header)
	if err != nil {
		return nil, err
	}
	dialer := proactor.Dialer{
		Engine: d.Engine, Handler: o.dialed, Limits: d.Limits, LocalAddr: d.LocalAddr, Layer: d.Layer,
		Control: d.Control, Timeout: d.Timeout,
	}
	defaultPort := "80"
	if r.URL.Scheme == "wss" {
		defaultPort, dialer.TLS = "443", d.TLS
		if dialer.TLS == nil {
			dialer.TLS = new(tls.Config)
		}
	}
	address := r.URL.Host
	if r.URL.Port() == "" {
		address = net.JoinHostPort(r.URL.Hostname(), defaultPort)
	}
	type result struct {
		c   *Conn
		err error
	}
	results := make(chan result, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	state := &dialing{key: r.Header.Get(hdrKey), asked: o}
	var once sync.Once
	state.done = func(c *Conn, err error) (wanted bool) {
		once.Do(func() { wanted = true; results <- result{c, err} })
		return wanted
	}
	dialer.DialAsync(ctx, "tcp", address, func(pc *proactor.Conn, err error) {
		if err != nil {
			state.fail(err)
			return
		}
		c := o.newConn(pc)
		c.shared.bits.Or(dialedBit)
		c.value = state
		c.in.flags |= client
		context.AfterFunc(ctx, func() { _ = pc.Post(c.giveUp) })
		var b bytes.Buffer
		_ = r.Write(&b) // to memory, without a body
		pc.Write(b.Bytes())
	})
	select {
	case got := <-results:
		return got.c, got.err
	case <-ctx.Done():
		state.fail(ctx.Err())
		got := <-results
		return got.c, got.err
	}
}

// giveUp ends a connection whose dial is over without a handshake, on the loop.
func (c *Conn) giveUp() {
	if c.state&(upgrading|over) == upgrading {
		c.pc.Abort()
	}
}

// request is that of a handshake (RFC 6455, 4.1).
func (o *Options) request(rawURL string, header http.Header) (*http.Request, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("websocket: %w", err)
	}
	if u.Scheme != "ws" && u.Scheme != "wss" || u.Hostname() == "" || u.Fragment != "" {
		return nil, fmt.Errorf("%w: %q is no URL of a WebSocket", ErrInvalid, rawURL)
	}
	r := &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header.Clone()}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	var nonce [16]byte
	rand.Read(nonce[:]) // which never fails
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set(hdrVersion, "13")
	r.Header.Set(hdrKey, base64.StdEncoding.EncodeToString(nonce[:]))
	if len(o.Protocols) > 0 {
		r.Header.Set(hdrProtocol, strings.Join(o.Protocols, ", "))
	}
	if c := o.compression(); c != NoCompression {
		r.Header.Set(hdrExtensions, c.offer().String())
	}
	return r, nil
}

// answered reads the answer of a server.
func (c *Conn) answered(data []byte) (advance int, err error) {
	d := c.value.(*dialing)
	n, err := head(data)
	if err == nil && n == 0 {
		return 0, nil
	}
	var a agreement
	if err == nil {
		a, err = d.check(data[:n])
	}
	if err != nil {
		d.fail(err)
		return len(data), bufio.ErrFinalToken
	}
	c.value = nil
	c.open(nil, a)
	if !d.done(c, nil) {
		c.pc.Abort()
	}
	return n, nil
}

// check checks an answer (RFC 6455, 4.1).
func (d *dialing) check(b []byte) (a agreement, err error) {
	r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b)), nil)
	if err != nil {
		return a, fmt.Errorf("websocket: not upgraded by the server: %w", err)
	}
	fail := func(why string) (agreement, error) {
		return a, &HandshakeError{r.StatusCode, r.Header, errors.New(why)}
	}
	protocols := r.Header[hdrProtocol]
	switch {
	case r.StatusCode != http.StatusSwitchingProtocols:
		return fail("it is not 101")
	case !hasToken(r.Header, "Upgrade", "websocket") || !hasToken(r.Header, "Connection", "upgrade"):
		return fail("it is not upgraded to websocket")
	case r.Header.Get(hdrAccept) != accept(d.key):
		return fail(hdrAccept + " is not what the key calls for")
	case len(protocols) > 1:
		return fail("it has several subprotocols")
	case len(protocols) == 1:
		a.chosen = d.asked.choose(func(p string) bool { return p == protocols[0] })
		if a.chosen == 0 {
			return fail("it has a subprotocol that was not asked for")
		}
	}
	deflation, why := d.asked.compression().accepted(r.Header)
	if why != "" {
		return fail(why)
	}
	a.deflation = deflation
	return a, nil
}

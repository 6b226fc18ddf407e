package tls_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/tests/rig"
)

// forged is a connection on which what is sent is changed in one place.
type forged struct {
	net.Conn
	how  byte // see below
	at   int  // bytes before the place
	with []byte
}

// What a forged connection does there.
const (
	forgesNothing = iota
	forgesMore    // bytes that nobody has sent
	forgesOther   // some are changed
	forgesLess    // some are missing
	forgesEnd     // nothing follows but a FIN
	forgeries
)

func (c *forged) Write(p []byte) (int, error) {
	n := len(p)
	if c.how == forgesNothing || c.at >= n {
		c.at -= n
		_, err := c.Conn.Write(p)
		return n, err
	}
	out := bytes.Clone(p[:c.at])
	rest := bytes.Clone(p[c.at:])
	switch c.how {
	case forgesMore:
		rest = append(bytes.Clone(c.with), rest...)
	case forgesOther:
		for i := range min(len(c.with), len(rest)) {
			rest[i] ^= c.with[i]
		}
	case forgesLess:
		rest = rest[min(len(c.with), len(rest)):]
	case forgesEnd:
		if len(out) > 0 {
			c.Conn.Write(out)
		}
		c.Conn.(interface{ CloseWrite() error }).CloseWrite()
		return 0, io.ErrClosedPipe
	}
	c.how = forgesNothing
	if out = append(out, rest...); len(out) == 0 {
		return n, nil
	}
	_, err := c.Conn.Write(out)
	return n, err
}

// However the stream of one side is changed, before, in or after the handshake, and however it is cut,
// the handler of the other side is shown the beginning of what was sent, in order, and is told of an
// end only where that is all.
func FuzzForged(f *testing.F) {
	var times byte
	for how := range byte(forgeries) {
		for _, at := range []uint16{0, 1, 5, 9, 100, 200, 250, 300, 350, 400} {
			f.Add(times, how, at, []byte{1, 0, 3}, uint16(at))
			times++
		}
	}
	f.Add(byte(0), byte(forgesMore), uint16(0), []byte("GET / HTTP/1.1\r\n\r\n"), uint16(1))
	f.Add(byte(1), byte(forgesMore), uint16(0), []byte("\x15\x03\x01\x00\x02\x01\x00"), uint16(1))
	f.Add(byte(2), byte(forgesMore), uint16(300), []byte("\x14\x03\x03\x00\x01\x01"), uint16(1))
	f.Add(byte(3), byte(forgesMore), uint16(300), []byte("\x17\x03\x03\x00\x05plain"), uint16(1))
	f.Fuzz(func(t *testing.T, sides, how byte, at uint16, with []byte, seed uint16) {
		cfg := proactortest.Config{Seeds: 1, Network: port.SimConfig{MaxDelay: time.Millisecond, Split: .3, Window: 16 << 10}}
		cfg.Engine.BufferSize, cfg.Engine.BufferCount = 500, 4
		cfg.Run(t, func(e *proactortest.Env) {
			run := &forgery{Env: e, sent: must.Pattern(uint64(seed), 1+int(seed)%700)}
			serves, dials := rig.TLS()
			dials.CurvePreferences = short
			if sides&1 != 0 {
				dials.MaxVersion = tls.VersionTLS12
			}
			change := func(c net.Conn) net.Conn { return &forged{c, how % forgeries, int(at) % 1500, with} }
			if sides&2 != 0 {
				run.ofServer(serves, dials, change)
			} else {
				run.ofClient(serves, dials, change)
			}
		})
	})
}

// short makes a ClientHello short, and a handshake quick.
var short = []tls.CurveID{tls.X25519}

// forgery is one run.
type forgery struct {
	*proactortest.Env
	sent []byte
	got  []byte
}

// handler takes what is sent, and checks the end.
func (f *forgery) handler() proactor.Handler {
	return proactor.Handler{
		Data: func(_ *proactor.Conn, p []byte) int { f.got = append(f.got, p...); return len(p) },
		Ended: func(c *proactor.Conn, why error) {
			if errors.Is(why, proactor.ErrPeerClosed) && len(f.got) < len(f.sent) {
				f.Errorf("an end after %d bytes of %d", len(f.got), len(f.sent))
			}
			c.Close()
		},
		Closed: func(*proactor.Conn, error) {
			if !bytes.HasPrefix(f.sent, f.got) {
				f.Errorf("%x was shown, of %x", f.got, f.sent)
			}
		},
	}
}

// ofClient changes what a client sends to a server.
func (f *forgery) ofClient(serves, dials *tls.Config, change func(net.Conn) net.Conn) {
	s := f.Serve(&proactor.Server{TLS: serves, Handler: f.handler()})
	plain := f.Dial(s)
	f.sends(tls.Client(change(plain), dials))
	plain.CloseWrite()
	io.Copy(io.Discard, plain)
}

// ofServer changes what a server sends to a dialer.
func (f *forgery) ofServer(serves, dials *tls.Config, change func(net.Conn) net.Conn) {
	l, err := f.Net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	defer l.Close()
	f.Go(func() {
		plain, err := l.Accept()
		if err != nil {
			return
		}
		f.sends(tls.Server(change(plain), serves))
		plain.(*port.SimConn).CloseWrite()
		io.Copy(io.Discard, plain)
		plain.Close()
	})
	d := &proactor.Dialer{Engine: f.Engine, TLS: dials, Handler: f.handler()}
	d.Dial(f.Context(), "tcp", l.Addr().String())
}

// sends sends all, and says so at its end.
func (f *forgery) sends(c *tls.Conn) {
	for p := f.sent; len(p) > 0; p = p[min(len(p), 300):] {
		if _, err := c.Write(p[:min(len(p), 300)]); err != nil {
			return
		}
	}
	c.CloseWrite()
}

package layer_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/tests/rig"
)

// A dialed connection speaks TLS to a server that does, both unmodified crypto/tls on layers.
// Dial returns when the handshake is done and Opened was called.
func TestLayerDialTLS(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			r := rig.New(t, backend)
			serves, dials := rig.TLS()
			dials.MaxVersion = version
			s := r.Serve(proactor.Handler{Data: rig.Echo}, withLayer(newTLSLayer(serves)))
			want := must.Pattern(1, testenv.Scaled(1<<20))
			var opened atomic.Bool
			var got bytes.Buffer // the loop's
			ended := make(chan error, 1)
			d := &proactor.Dialer{
				Engine: r.Engine,
				Handler: r.Watch(proactor.Handler{
					Opened: func(*proactor.Conn) { opened.Store(true) },
					Data:   func(c *proactor.Conn, p []byte) int { n, _ := got.Write(p); return n },
					Ended:  func(c *proactor.Conn, why error) { c.Close(); ended <- why },
				}),
				Layer: newTLSClient(dials),
			}
			c, err := d.Dial(must.Context(t), "tcp", s.ListenAddr().String())
			if err != nil {
				t.Fatal(err)
			}
			if !opened.Load() {
				t.Error("Dial returned before Opened")
			}
			for p := want; len(p) > 0; p = p[min(len(p), 10000):] {
				if _, err := c.WriteContext(must.Context(t), p[:min(len(p), 10000)]); err != nil {
					t.Fatal(err)
				}
			}
			c.CloseWrite()
			if why := must.Take(t, "Ended", ended); why != proactor.ErrPeerClosed || !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%s: %d bytes of %d, %v", tls.VersionName(version), got.Len(), len(want), why)
			}
			for range 2 {
				must.Take(t, "Closed", r.Closed)
			}
		}
	})
}

// A dial whose layer does not become ready fails, says why, and the handler hears of nothing.
func TestLayerDialFails(t *testing.T) {
	rig.EachTogether(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		serves, dials := rig.TLS()
		secure := r.Serve(proactor.Handler{}, withLayer(newTLSLayer(serves))).ListenAddr().String()
		hasty := r.Serve(proactor.Handler{Opened: func(c *proactor.Conn) { c.Close() }}).ListenAddr().String()
		rude := r.Serve(proactor.Handler{Opened: (*proactor.Conn).Abort}).ListenAddr().String()
		mute := r.Serve(proactor.Handler{}).ListenAddr().String()
		stranger := dials.Clone()
		stranger.ServerName = "another"
		canceled, cancel := context.WithCancel(context.Background())
		canceling := func() proactor.Layer {
			cancel()
			return newTLSClient(dials)()
		}
		made := new(atomic.Int64)
		masking := func(way func()) func() proactor.Layer {
			return func() proactor.Layer {
				return &masks{ends: made, trouble: map[string]func(){"Begin": way}}
			}
		}
		is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
		for _, tt := range []struct {
			what  string
			to    string
			d     proactor.Dialer
			ctx   context.Context
			short bool // ctx ends soon
			right func(error) bool
		}{
			{what: "another name", to: secure, d: proactor.Dialer{Layer: newTLSClient(stranger)}, right: func(err error) bool {
				return errors.As(err, new(*tls.CertificateVerificationError))
			}},
			{what: "a FIN", to: hasty, d: proactor.Dialer{Layer: newTLSClient(dials)}, right: is(io.EOF)},
			{what: "a reset", to: rude, d: proactor.Dialer{Layer: newTLSClient(dials)}, right: func(err error) bool { return err != nil }},
			{what: "Timeout", to: mute, d: proactor.Dialer{Layer: newTLSClient(dials), Timeout: 10 * must.Short}, right: is(port.ErrTimeout)},
			{what: "ctx", to: mute, d: proactor.Dialer{Layer: newTLSClient(dials)}, short: true, right: is(port.ErrTimeout)},
			{what: "canceled", to: mute, d: proactor.Dialer{Layer: canceling}, ctx: canceled, right: is(context.Canceled)},
			{what: "FirstByteTimeout", to: mute, d: proactor.Dialer{Layer: newTLSClient(dials),
				Limits: proactor.Limits{FirstByteTimeout: 10 * must.Short, LingerTimeout: 10 * must.Short}}, right: is(proactor.ErrFirstByte)},
			{what: "panic", to: mute, d: proactor.Dialer{Layer: masking(ways["panic"].leave)}, right: is(errPlanted)},
			{what: "Goexit", to: mute, d: proactor.Dialer{Layer: masking(runtime.Goexit)}, right: is(proactor.ErrGoexit)},
		} {
			tt.d.Engine = r.Engine
			tt.d.Handler = proactor.Handler{
				Opened: func(*proactor.Conn) { t.Errorf("%s: Opened", tt.what) },
				Closed: func(*proactor.Conn, error) { t.Errorf("%s: Closed", tt.what) },
			}
			if tt.ctx == nil {
				tt.ctx = must.Context(t)
			}
			if tt.short {
				ctx, cancel := context.WithTimeout(tt.ctx, 10*must.Short)
				defer cancel()
				tt.ctx = ctx
			}
			c, err := tt.d.Dial(tt.ctx, "tcp", tt.to)
			if oe := (*net.OpError)(nil); c != nil || !errors.As(err, &oe) || !tt.right(err) {
				t.Errorf("%s: %v, %v", tt.what, c, err)
			}
		}
		must.Eventually(t, "Begin's layers are ended", func() bool { return made.Load() == 2 })
		r.Panics = 2
	})
}

// The end of the engine ends a dial whose layer is not ready.
func TestLayerDialAtTheEnd(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		mute, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer mute.Close()
		begun := make(chan *proactor.Wire, 1)
		ends := new(atomic.Int64)
		d := &proactor.Dialer{Engine: r.Engine, Layer: func() proactor.Layer { return &masks{begun: begun, ends: ends} }}
		done := make(chan error, 2)
		d.DialAsync(context.Background(), "tcp", mute.Addr().String(), func(c *proactor.Conn, err error) { done <- err })
		must.Take(t, "Begin", begun)
		go r.Engine.Close()
		if err := must.Take(t, "done", done); !errors.Is(err, proactor.ErrEngineClosed) {
			t.Errorf("dialed: %v", err)
		}
		must.Eventually(t, "End", func() bool { return ends.Load() == 1 })
	})
}

// done is called after Opened and before Data, also where bytes came before the layer was ready.
func TestLayerDialOrder(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{Opened: func(c *proactor.Conn) { c.Write([]byte("abc")) }})
		begun := make(chan *proactor.Wire, 1)
		told := make(chan string, 10)
		d := &proactor.Dialer{
			Engine: r.Engine,
			Handler: proactor.Handler{
				Opened: func(*proactor.Conn) { told <- "Opened" },
				Data:   func(c *proactor.Conn, p []byte) int { told <- string(p); c.Close(); return len(p) },
			},
			Layer: func() proactor.Layer { return &masks{begun: begun, ends: new(atomic.Int64)} },
		}
		d.DialAsync(context.Background(), "tcp", s.ListenAddr().String(), func(c *proactor.Conn, err error) { told <- "done" })
		w := must.Take(t, "Begin", begun)
		must.Eventually(t, "bytes", func() bool { return w.Conn().Stats().BytesIn == 3 })
		w.Ready(nil)
		for _, want := range []string{"Opened", "done", "ABC"} {
			if got := must.Take(t, want, told); got != want {
				t.Errorf("told %s, want %s", got, want)
			}
		}
	})
}

package websocket_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"hash"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/netconn"
	"github.com/proactor-go/proactor/tests/rig"
	"github.com/proactor-go/proactor/websocket"
)

// summed sends back the sum of each message that comes in parts, and the number of its bytes. It notes in most what
// the engine has kept at most when a part came.
func summed(e *proactor.Engine, most *atomic.Int64) *websocket.Options {
	type state struct {
		sum hash.Hash
		n   uint64
	}
	return &websocket.Options{
		Opened: func(c *websocket.Conn, _ *http.Request) { c.SetValue(&state{sum: sha256.New()}) },
		Part: func(c *websocket.Conn, _ websocket.Type, p []byte, last bool) {
			s := c.Value().(*state)
			s.sum.Write(p)
			s.n += uint64(len(p))
			if kept := e.Stats().Kept; kept > most.Load() {
				most.Store(kept)
			}
			if last {
				c.Write(websocket.Binary, binary.BigEndian.AppendUint64(s.sum.Sum(nil), s.n))
				s.sum.Reset()
				s.n = 0
			}
		},
	}
}

// A message that is thousands of times larger than MaxMessage goes through a server, of which next to nothing is
// kept: in one frame and in many, with pings between, over TCP and TLS, and where net/http has upgraded it.
func TestLargerThanMemory(t *testing.T) {
	for _, way := range []string{"plain", "TLS", "netconn", "netconn with TLS"} {
		t.Run(way, func(t *testing.T) {
			rig.Each(t, func(t *testing.T, backend string) {
				r := rig.New(t, backend)
				var kept atomic.Int64
				o := summed(r.Engine, &kept)
				serves, dials := rig.TLS()
				limits := proactor.Limits{MaxMessage: 64 << 10}
				var at net.Addr
				secure := way == "TLS" || way == "netconn with TLS"
				if way == "plain" || way == "TLS" {
					at = r.Serve(websocket.Handler(o), rig.Limits(limits), func(s *proactor.Server) {
						if secure {
							s.TLS = serves
						}
					}).ListenAddr()
				} else {
					s := &proactor.Server{Network: "tcp4", Addr: "127.0.0.1:0", Engine: r.Engine, Limits: limits}
					if secure {
						s.TLS = serves
					}
					at = upgrader(t, s, o)
				}
				peer := must.Dial(t, at)
				if secure {
					peer = tls.Client(peer, dials)
				}
				must.Send(t, peer, []byte(request+"\r\n"))
				must.Read(t, peer, []byte(upgraded+"\r\n"))
				const many = 100_000
				size := testenv.Many(2000) * many
				if way != "plain" {
					size = max(many, size/8/many*many)
				}
				for _, frame := range []int{size, many} {
					sendLarge(t, peer, size, frame)
				}
				if n := kept.Load(); n > 64<<10 {
					t.Errorf("%d bytes were kept", n)
				}
				must.Send(t, peer, []byte(in(whole, 0, closing, code(1000, ""))))
				must.ReadEnd(t, peer, []byte(out(closing, code(1000, ""))))
				peer.Close()
			})
		})
	}
}

// upgrader has net/http serve upgrades on a server of netconn.
func upgrader(t *testing.T, s *proactor.Server, o *websocket.Options) net.Addr {
	l, err := netconn.Listen(s)
	if err != nil {
		t.Fatal(err)
	}
	site := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := websocket.Upgrade(w, r, o); err != nil {
			t.Error(err)
		}
	})}
	served := make(chan error, 1)
	go func() { served <- site.Serve(l) }()
	t.Cleanup(func() {
		must.Within(t, "Server.Close", s.Close)
		site.Close()
		<-served
	})
	return l.Addr()
}

// sendLarge sends a message of so many bytes in frames, with a ping before each, and reads the pongs and the sum.
// The frames are all alike, and of 64 KiB or more.
func sendLarge(t *testing.T, peer net.Conn, size, frame int) {
	t.Helper()
	piece := must.Pattern(uint64(frame), min(frame, 1<<20))
	frames := size / frame
	sum := sha256.New()
	sent := make(chan error, 1)
	go func() {
		op, b := byte(binry), []byte(nil)
		for left := size; left > 0; op = cont {
			n := frame
			b = append(b[:0], in(whole, 0, ping, "ping")...)
			first := op
			if n == left {
				first |= 0x80
			}
			b = binary.BigEndian.AppendUint64(append(b, first, 0x80|127), uint64(n))
			b = append(b, 0, 0, 0, 0) // a mask that changes nothing
			for ; n > 0; b = b[:0] {
				p := piece[:min(n, len(piece))]
				if _, err := peer.Write(append(b, p...)); err != nil {
					sent <- err
					return
				}
				sum.Write(p)
				n, left = n-len(p), left-len(p)
			}
		}
		sent <- nil
	}()
	must.Read(t, peer, bytes.Repeat([]byte(out(pong, "ping")), frames))
	if err := must.Take(t, "the message", sent); err != nil {
		t.Fatal(err)
	}
	must.Read(t, peer, []byte(out(binry, string(binary.BigEndian.AppendUint64(sum.Sum(nil), uint64(size))))))
}

// An echo of a message in parts, to a peer that reads only when much waits, has no more waiting than the high mark and
// a part: where Overflow is PauseReads, and where the connection was netconn's and it is RejectWrites.
func TestEchoInParts(t *testing.T) {
	for _, policy := range []proactor.Overflow{proactor.PauseReads, proactor.RejectWrites} {
		rig.Each(t, func(t *testing.T, backend string) {
			r := rig.New(t, backend)
			full := make(chan struct{})
			var isFull bool // on the loop
			o := &websocket.Options{Part: func(c *websocket.Conn, kind websocket.Type, p []byte, _ bool) {
				if err := c.Write(kind, p); err != nil {
					t.Errorf("a part is not written: %v", err)
					c.Transport().Abort()
				}
				if !isFull && !c.Transport().Writable() {
					isFull = true
					close(full)
				}
			}}
			limits := proactor.Limits{HighWater: 128 << 10, MaxPending: 256 << 10, SendBuffer: 64 << 10, Overflow: policy}
			var at net.Addr
			if policy == proactor.PauseReads {
				at = r.Serve(websocket.Handler(o), rig.Limits(limits)).ListenAddr()
			} else {
				at = upgrader(t, &proactor.Server{Network: "tcp4", Addr: "127.0.0.1:0", Engine: r.Engine, Limits: limits}, o)
			}
			peer := must.Dial(t, at)
			must.Send(t, peer, []byte(request+"\r\n"))
			must.Read(t, peer, []byte(upgraded+"\r\n"))
			p := must.Pattern(11, 8<<20)
			sent := make(chan error, 1)
			go func() {
				_, err := peer.Write([]byte(in(whole, 0, binry, string(p)))) // as it waits, so does the peer
				sent <- err
			}()
			must.Take(t, "what waits", full)
			for rest := p; len(rest) > 0; {
				h, err := ws.ReadHeader(peer)
				if err != nil || h.Length > int64(len(rest)) {
					t.Fatalf("a frame of %d bytes, %v, of %d", h.Length, err, len(rest))
				}
				must.Read(t, peer, rest[:h.Length])
				rest = rest[h.Length:]
			}
			if err := must.Take(t, "the message", sent); err != nil {
				t.Error(err)
			}
			peer.Close()
		})
	}
}

// A client of ours gets what is much larger than its own MaxMessage, over TCP and TLS.
func TestDialInParts(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		for _, url := range []string{"ws://", "wss://"} {
			r := rig.New(t, backend)
			serves, dials := rig.TLS()
			p := must.Pattern(7, testenv.Many(10<<20))
			sums := make(chan []byte, 1)
			s := r.Serve(websocket.Handler(&websocket.Options{
				Opened:  func(c *websocket.Conn, _ *http.Request) { c.Write(websocket.Binary, p) },
				Message: func(_ *websocket.Conn, _ websocket.Type, p []byte) { sums <- bytes.Clone(p) },
			}), func(s *proactor.Server) {
				s.Limits = proactor.Limits{MaxPending: 64 << 20, HighWater: 32 << 20}
				if url == "wss://" {
					s.TLS = serves
				}
			})
			var kept atomic.Int64
			closed := make(chan error, 1)
			o := summed(r.Engine, &kept)
			o.Closed = func(_ *websocket.Conn, cause error) { closed <- cause }
			d := &proactor.Dialer{Engine: r.Engine, TLS: dials, Limits: proactor.Limits{MaxMessage: 4 << 10}}
			c, err := websocket.Dial(must.Context(t), d, url+s.ListenAddr().String(), nil, o)
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(p)
			if got, want := must.Take(t, "the sum", sums), binary.BigEndian.AppendUint64(sum[:], uint64(len(p))); !bytes.Equal(got, want) {
				t.Errorf("the sum and length are %x, want %x", got, want)
			}
			if n := kept.Load(); n > 64<<10 {
				t.Errorf("%d bytes were kept", n)
			}
			c.Close(websocket.StatusNormal, "")
			if cause := must.Take(t, "Closed", closed); cause != proactor.ErrLocalClosed {
				t.Error(cause)
			}
		}
	})
}

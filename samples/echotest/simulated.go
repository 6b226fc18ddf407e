package echotest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/proactortest"
)

// Simulated checks a sample over simulated networks. On a fair one each client
// is answered with exactly what it is owed; on a rough one too, up to where its
// connection broke. Both once more over TLS. Some clients reset their connections, some servers are shut
// down in the middle. Nothing hangs, and in the end nothing is left.
type Simulated struct {
	// Start makes a server on the engine of e; it need not listen yet.
	Start func(e *proactortest.Env) Server
	// Talk draws what a client at this address sends before its FIN, and what it
	// is owed for that.
	Talk func(r *rand.Rand, at netip.AddrPort) (sent, owed []byte)
	// Hides, if not nil, overwrites what differs from run to run in an answer,
	// which may be cut anywhere.
	Hides func(answer []byte)
	// Seeds is how many networks of each sort there are, unless the flag
	// -proactor.seeds says it. 0: 25.
	Seeds int
}

// Check makes all runs.
func (s Simulated) Check(t *testing.T) {
	seeds := s.Seeds
	if seeds == 0 {
		seeds = 25
	}
	if runtime.GOOS == "windows" {
		seeds = max(seeds/10, 1)
	}
	for _, over := range []string{"", " over TLS"} {
		for name, network := range map[string]port.SimConfig{"fair": proactortest.Fair(), "rough": proactortest.Rough()} {
			t.Run(name+over, func(t *testing.T) {
				cfg := proactortest.Config{Seeds: seeds, Network: network}
				if over != "" && !testenv.Long() {
					cfg.Seeds = max(seeds/5, 1)
				}
				cfg.Engine.Loops, cfg.Engine.BufferSize, cfg.Engine.BufferCount = 2, 1500, 4
				cfg.Run(t, func(e *proactortest.Env) {
					(&talks{Simulated: s, Env: e, fair: name == "fair", tls: over != ""}).run()
				})
			})
		}
	}
}

// talks is one run.
type talks struct {
	Simulated
	*proactortest.Env
	fair  bool
	early bool // the server is shut down in the middle
	tls   bool
	dials *tls.Config // nil: no TLS
	addr  string
}

func (k *talks) run() {
	srv := k.Start(k.Env)
	if k.tls {
		cryptotest.SetGlobalRandom(k.T, k.Seed)
		k.dials = speakTLS(srv, time.Hour) // loops stall for a second at a time
	}
	if err := srv.Listen(); err != nil {
		k.Fatal(err)
	}
	k.addr = srv.ListenAddr().String()
	k.early = k.Rand.IntN(4) == 0
	const clients = 4
	left := make(chan struct{}, clients)
	for i := range clients {
		k.Go(func() {
			k.client(rand.New(rand.NewPCG(k.Seed, 100+uint64(i))))
			left <- struct{}{}
		})
	}
	wait := func() {
		for range clients {
			<-left
		}
	}
	if k.early {
		k.Sleep(time.Duration(k.Rand.IntN(1500)) * time.Millisecond)
	} else {
		wait()
		k.Sleep(0)
	}
	k.Net.Calm()
	ctx, cancel := context.WithTimeout(context.Background(), 24*time.Hour)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		k.Errorf("shutdown: %v", err)
	}
	if k.early {
		wait()
	}
	if n := k.Engine.Stats().Panics; n > 0 {
		k.Errorf("%d callbacks panicked", n)
	}
}

// client has one conversation.
func (k *talks) client(r *rand.Rand) {
	below, err := k.Net.Dial(context.Background(), "tcp", k.addr)
	if err != nil {
		if k.fair && !k.early {
			k.Errorf("dial: %v", err)
		}
		return
	}
	defer below.Close()
	var c conn = below
	if k.dials != nil {
		below.SetDeadline(time.Now().Add(time.Hour))
		over := tls.Client(heedful{below}, k.dials)
		if err := over.Handshake(); err != nil {
			if k.fair && !k.early {
				k.Errorf("handshake: %v", err)
			}
			return
		}
		below.SetDeadline(time.Time{})
		c = over
	}
	sent, owed := k.Talk(r, netip.MustParseAddrPort(c.LocalAddr().String()))
	reset := r.IntN(6) == 0
	if reset {
		sent = sent[:r.IntN(len(sent)+1)]
	}
	var late time.Duration // many have much waiting for them before they read
	if r.IntN(3) == 0 {
		late = time.Duration(r.IntN(int(2 * time.Second))) // below Limits.LingerTimeout
	}
	received := make(chan struct{})
	k.Go(func() {
		k.Sleep(late)
		k.receive(c, owed, reset)
		close(received)
	})
	k.send(c, sent, r, received)
	if reset {
		below.SetLinger(0)
		below.Close()
	} else if err := c.CloseWrite(); errors.Is(err, os.ErrDeadlineExceeded) {
		// crypto/tls gives its close_notify 5 s, and a part of it may be out: the server would wait for the rest.
		below.SetLinger(0)
		below.Close()
	}
	<-received
}

// send sends pieces, with pauses, unless the server has closed.
func (k *talks) send(c conn, p []byte, r *rand.Rand, closed <-chan struct{}) {
	for len(p) > 0 {
		n := 1 + r.IntN(min(len(p), 1<<r.IntN(17)))
		if _, err := c.Write(p[:n]); err != nil {
			return // seen by what is received
		}
		p = p[n:]
		if r.IntN(6) > 0 {
			continue
		}
		k.Sleep(time.Duration(r.IntN(200)) * time.Millisecond)
		select {
		case <-closed:
			return
		default:
		}
	}
}

// receive compares what comes with what is owed.
func (k *talks) receive(c conn, owed []byte, reset bool) {
	got, err := io.ReadAll(patient{c})
	if k.Hides != nil {
		k.Hides(got)
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		k.Errorf("after %d bytes of %d nothing comes any more", len(got), len(owed))
	case len(got) > len(owed) || !bytes.Equal(got, owed[:len(got)]):
		k.Errorf("%v", differs(got, owed))
	case reset || k.early:
	case err == nil && len(got) != len(owed):
		k.Errorf("a stream ends in good order after %d bytes of %d", len(got), len(owed))
	case k.fair && err != nil:
		k.Errorf("after %d bytes of %d: %v", len(got), len(owed), err)
	}
}

// patient waits an hour for the next bytes, however many there are in all.
type patient struct{ conn }

func (p patient) Read(b []byte) (int, error) {
	p.SetReadDeadline(time.Now().Add(time.Hour))
	return p.conn.Read(b)
}

// conn is a client's connection, with TLS or without.
type conn interface {
	net.Conn
	CloseWrite() error
}

// heedful is a connection on which a FIN is an error. crypto/tls takes one between two records for
// the end of the stream; with this below it, the end is that of a close_notify.
type heedful struct{ *port.SimConn }

func (c heedful) Read(p []byte) (int, error) {
	n, err := c.SimConn.Read(p)
	if err == io.EOF {
		err = errNoNotify
	}
	return n, err
}

var errNoNotify = errors.New("a FIN without a close_notify")

// Bytes are so many, by chance.
func Bytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

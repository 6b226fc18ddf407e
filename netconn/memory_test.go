package netconn_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/tests/rig"
)

// A Conn that nobody reads takes little from a peer that sends much, and a Conn whose peer
// does not read lets little wait. When they are read, nothing is missing.
func TestBackPressureBounded(t *testing.T) {
	rig.EachTogether(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		c, peer := pair(t, r.Engine, proactor.Limits{HighWater: 64 << 10, ReceiveBuffer: 64 << 10})
		sent := must.Pattern(2, 16<<20)
		var both sync.WaitGroup
		both.Go(func() { peer.Write(sent); peer.CloseWrite() })
		both.Go(func() { c.Write(sent); c.CloseWrite() })
		settle(t, func() int64 { return c.Stats().BytesIn })
		settle(t, func() int64 { return c.Stats().BytesOut })
		if n := c.Stats().Pending; n > 128<<10 {
			t.Errorf("%d bytes wait to be sent", n)
		}
		if in, kept := c.Stats().BytesIn, r.Engine.Stats().Kept; in > 8<<20 || kept > 8<<20 {
			t.Errorf("%d bytes were received, the engine keeps %d", in, kept)
		}
		must.ReadEnd(t, c, sent)
		must.ReadEnd(t, peer, sent)
		both.Wait()
	})
}

// settle waits until a number has not changed for a while. If it does later, the test has seen
// less than it could have.
func settle(t *testing.T, number func() int64) {
	t.Helper()
	last, since := number(), time.Now()
	must.Eventually(t, "it settles", func() bool {
		if n := number(); n != last {
			last, since = n, time.Now()
		}
		return last > 0 && time.Since(since) > 4*must.Short
	})
}

// echo sends back what comes. io.Copy would splice, by a pipe that package net keeps for later.
func echo(c net.Conn) {
	p := make([]byte, 64<<10)
	for {
		n, err := c.Read(p)
		if err != nil {
			return
		}
		if _, err := c.Write(p[:n]); err != nil {
			return
		}
	}
}

// Reads and Writes with deadlines allocate nothing, as long as the connection is read. (A pause
// of reads does: the canceled recv has an error.)
func TestAllocations(t *testing.T) {
	if testenv.Race {
		t.Skip("the race detector allocates")
	}
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("whether a goroutine is a loop takes a stack trace here")
	}
	rig.Each(t, func(t *testing.T, backend string) {
		c, peer := pair(t, rig.New(t, backend).Engine, proactor.Limits{HighWater: 16 << 10, MaxPending: 20 << 10})
		go echo(peer)
		p := make([]byte, 48<<10)
		round := func() {
			c.SetDeadline(time.Now().Add(must.Patience))
			if _, err := c.Write(p); err != nil {
				t.Error(err)
			}
			if _, err := io.ReadFull(c, p); err != nil {
				t.Error(err)
			}
		}
		for range 20 {
			round()
		}
		if n := testing.AllocsPerRun(50, round); n >= 1 && runtime.GOOS == "linux" {
			t.Errorf("%v allocations a round", n)
		}
	})
}

// A request of net/http, each of which interrupts a Read by a deadline, costs no more allocations
// than on package net; two are left to chance: whether the Read has begun, on either. Both addresses
// made anew are four.
func TestAllocationsOfARequest(t *testing.T) {
	if testenv.Race {
		t.Skip("the race detector allocates")
	}
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("whether a goroutine is a loop takes a stack trace here")
	}
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "page") })
	plain := httptest.NewServer(page)
	defer plain.Close()
	want := allocationsOfARequest(t, plain.Listener.Addr())
	rig.Each(t, func(t *testing.T, backend string) {
		s := serve(t, rig.New(t, backend).Engine, page)
		defer s.end(t)
		if n := allocationsOfARequest(t, s.at); n > want+2 && runtime.GOOS == "linux" {
			t.Errorf("%.2f allocations a request, with package net %.2f", n, want)
		}
	})
}

// allocationsOfARequest is what the process allocates for one of many on a connection.
func allocationsOfARequest(t *testing.T, at net.Addr) float64 {
	t.Helper()
	peer := must.Dial(t, at)
	request, answer := []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), make([]byte, 4<<10)
	round := func() {
		if _, err := peer.Write(request); err != nil {
			t.Error(err)
		}
		for n := 0; !bytes.HasSuffix(answer[:n], []byte("page")); {
			k, err := peer.Read(answer[n:])
			if err != nil {
				t.Fatalf("%v after %q", err, answer[:n])
			}
			n += k
		}
	}
	for range 20 {
		round()
	}
	return testing.AllocsPerRun(500, round)
}

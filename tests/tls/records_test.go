package tls_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/tests/rig"
)

// counted is a connection that counts the records that it receives.
type counted struct {
	net.Conn
	rest    int    // of the record that is under way
	head    []byte // of the next one
	records atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	for b := p[:n]; len(b) > 0; {
		if c.rest > 0 {
			k := min(c.rest, len(b))
			c.rest, b = c.rest-k, b[k:]
			continue
		}
		c.head = append(c.head, b[0])
		if b = b[1:]; len(c.head) == 5 {
			c.rest = int(c.head[3])<<8 | int(c.head[4])
			c.head = c.head[:0]
			c.records.Add(1)
		}
	}
	return n, err
}

// A Write of 64 bytes is one record. What a callback writes, in however many Writes, goes out in
// few, and so do the answers to messages that came together.
func TestFewRecords(t *testing.T) {
	eachVersion(t, func(r *rig.Rig, version uint16, serves, dials *tls.Config) {
		serves.DynamicRecordSizingDisabled = true
		s := r.Serve(proactor.Handler{
			Split: func(b []byte, _ bool) (int, []byte, error) {
				if len(b) < 10 {
					return 0, nil, nil
				}
				return 10, b[:10], nil
			},
			Message: func(c *proactor.Conn, msg []byte) {
				for i := range 10 {
					c.Write(bytes.Repeat(msg[i:i+1], 10))
				}
			},
		}, withTLS(serves))
		below := &counted{Conn: rig.Client(r.T, s)}
		c := tls.Client(below, dials)
		msg := must.Pattern(1, 10)
		ask := func(n int) int64 {
			must.Send(r.T, c, bytes.Repeat(msg, n))
			before := below.records.Load()
			got := make([]byte, 100*n)
			if _, err := io.ReadFull(c, got); err != nil {
				r.Fatal(err)
			}
			return below.records.Load() - before
		}
		ask(1) // and the session tickets
		if n := ask(1); n != 1 {
			r.Errorf("%d records for the 10 Writes of a callback", n)
		}
		if n := ask(1000); n > 10 { // 100,000 bytes, should they come in two pieces or so
			r.Errorf("%d records for the answers to 1,000 messages in one", n)
		}
		conn := r.Accepted()
		before := below.records.Load()
		conn.Write(bytes.Repeat(msg, 6)) // outside of a callback
		must.Read(r.T, c, bytes.Repeat(msg, 6))
		if n := below.records.Load() - before; n != 1 {
			r.Errorf("%d records for a Write", n)
		}
		c.Close()
		r.Ends(proactor.ErrPeerClosed)
	})
}

// In steady state no message costs an allocation, but those of crypto/tls: one for each of its
// reads, on package net and here.
func TestNoAllocationPerMessage(t *testing.T) {
	if testenv.Race {
		t.Skip("the race detector allocates")
	}
	measure := func(t *testing.T, c net.Conn, size int) float64 {
		msg, got := must.Pattern(1, size), make([]byte, size)
		n, runs := testenv.Scaled(300), 5
		if !testenv.Long() {
			runs = 2
		}
		rig.Talk(t, c, msg, got, 200)
		return testing.AllocsPerRun(runs, func() { rig.Talk(t, c, msg, got, n) }) / float64(n)
	}
	serves, dials := rig.TLS()
	l, err := tls.Listen("tcp4", "127.0.0.1:0", serves)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{c}, make([]byte, 16<<10))
				c.Close()
			}()
		}
	}()
	for _, version := range rig.TLSVersions {
		dials.MaxVersion = version
		for _, size := range []int{64, 1000, 16_000} {
			c := tls.Client(must.Dial(t, l.Addr()), dials)
			most := measure(t, c, size) + .05
			if size > 1000 {
				most++ // a record that comes in two pieces is read twice
			}
			c.Close()
			rig.Each(t, func(t *testing.T, backend string) {
				if backend == "std" && runtime.GOOS == "windows" {
					t.Skip("there std has a goroutine for each send")
				}
				r := rig.New(t, backend)
				s := &proactor.Server{Network: "tcp4", Addr: "127.0.0.1:0", Engine: r.Engine, TLS: serves, Handler: proactor.Handler{Data: rig.Echo}}
				if err := s.Listen(); err != nil {
					t.Fatal(err)
				}
				c := client(r, s, dials)
				if got := measure(t, c, size); got > most {
					t.Errorf("%s, %d bytes: %.3f allocations a message, %.3f on package net", tls.VersionName(version), size, got, most)
				}
				c.Close()
			})
		}
	}
}

// Several goroutines write at once: each Write comes whole, all in the order of its writer.
func TestWriters(t *testing.T) {
	eachVersion(t, func(r *rig.Rig, version uint16, serves, dials *tls.Config) {
		s := r.Serve(proactor.Handler{Data: rig.Echo}, withTLS(serves))
		c := client(r, s, dials)
		conn := r.Accepted()
		const writers, each, size = 4, 50, 1000
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				for i := range each {
					if _, err := conn.WriteContext(must.Context(r.T), bytes.Repeat([]byte{byte(w), byte(i)}, size/2)); err != nil {
						r.Error(err)
					}
				}
			})
		}
		var next [writers]byte
		got := make([]byte, size)
		for range writers * each {
			if _, err := io.ReadFull(c, got); err != nil {
				r.Fatal(err)
			}
			w := got[0]
			if !bytes.Equal(got, bytes.Repeat([]byte{w, next[w]}, size/2)) {
				r.Fatalf("of writer %d came %d, want %d", w, got[1], next[w])
			}
			next[w]++
		}
		all.Wait()
		c.Close()
		r.Ends(proactor.ErrPeerClosed)
	})
}

// Broadcasts reach connections that speak TLS and those that do not, and what comes to one of them
// is relayed to the other, with the end of the stream.
func TestBroadcastAndRelay(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, rig.OneLoop)
		serves, dials := rig.TLS()
		var reg proactor.Registry[uint64]
		opened := proactor.Handler{Opened: func(c *proactor.Conn) { reg.Add(c.ID(), c) }}
		secure, plain := r.Serve(opened, withTLS(serves)), r.Serve(opened)
		a := client(r, secure, dials)
		connA := r.Accepted()
		b := rig.Client(t, plain)
		connB := r.Accepted()
		line := must.Pattern(1, 5000)
		if took, _ := reg.Broadcast(line); took != 2 {
			t.Errorf("%d took it", took)
		}
		must.Read(t, a, line)
		must.Read(t, b, line)
		if err := proactor.Join(connA, connB); err != nil {
			t.Fatal(err)
		}
		want := must.Pattern(2, testenv.Scaled(1<<20))
		go func() {
			a.Write(want)
			a.CloseWrite()
		}()
		must.ReadEnd(t, b, want)
		go func() {
			b.Write(want)
			b.CloseWrite()
		}()
		must.ReadEnd(t, a, want)
		a.Close()
		for range 2 {
			must.Take(t, "Closed", r.Closed)
		}
	})
}

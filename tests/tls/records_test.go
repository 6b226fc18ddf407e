package tls_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
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
		n := testenv.Scaled(300)
		rig.Talk(t, c, msg, got, 200)
		return testing.AllocsPerRun(5, func() { rig.Talk(t, c, msg, got, n) }) / float64(n)
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

// sealer makes records of a client of TLS 1.3 with AES-128-GCM that has sent none yet.
type sealer struct {
	aead cipher.AEAD
	iv   []byte
	seq  uint64
}

func newSealer(t *testing.T, log string) *sealer {
	t.Helper()
	var secret []byte
	for line := range strings.Lines(log) {
		if f := strings.Fields(line); f[0] == "CLIENT_TRAFFIC_SECRET_0" {
			secret, _ = hex.DecodeString(f[2])
		}
	}
	expand := func(label string, n int) []byte {
		full := "tls13 " + label
		info := append([]byte{0, byte(n), byte(len(full))}, full...)
		out, err := hkdf.Expand(sha256.New, secret, string(append(info, 0)), n)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	block, err := aes.NewCipher(expand("key", 16))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return &sealer{aead: aead, iv: expand("iv", 12)}
}

func (s *sealer) seal(kind byte, body []byte) []byte {
	nonce := bytes.Clone(s.iv)
	var seq [8]byte
	binary.BigEndian.PutUint64(seq[:], s.seq)
	for i, b := range seq {
		nonce[4+i] ^= b
	}
	s.seq++
	n := len(body) + 1 + s.aead.Overhead()
	head := []byte{23, 3, 3, byte(n >> 8), byte(n)}
	return s.aead.Seal(head, nonce, append(bytes.Clone(body), kind), head)
}

// Records that bring nothing are borne a few times; a flood of them ends the connection, and so
// does what crypto/tls does not want to see after the handshake, and a record that was changed.
// The handler gets what came before.
func TestFloods(t *testing.T) {
	const data, handshake, alert0 = 23, 22, 21
	for name, tt := range map[string]struct {
		kind  byte
		body  []byte
		times int
		ends  bool
		flip  bool
	}{
		"empty records":        {kind: data, times: 10},
		"a flood of them":      {kind: data, times: 100, ends: true},
		"a certificate":        {kind: handshake, body: []byte{11, 0, 0, 0}, times: 1, ends: true},
		"another ClientHello":  {kind: handshake, body: []byte{1, 0, 0, 0}, times: 1, ends: true},
		"KeyUpdate, malformed": {kind: handshake, body: []byte{24, 0, 0, 1, 9}, times: 1, ends: true},
		"key updates in one":   {kind: handshake, body: bytes.Repeat([]byte{24, 0, 0, 1, 1}, 100), times: 1, ends: true},
		"an unknown kind":      {kind: 99, body: []byte("x"), times: 1, ends: true},
		"a warning":            {kind: alert0, body: []byte{1, 90}, times: 1},
		"an alert":             {kind: alert0, body: []byte{2, 80}, times: 1, ends: true},
		"a byte changed":       {kind: data, body: []byte("x"), times: 1, ends: true, flip: true},
	} {
		rig.Each(t, func(t *testing.T, backend string) {
			r := rig.New(t, backend)
			serves, dials := rig.TLS()
			var keys must.Log
			dials.KeyLogWriter, dials.MinVersion = &keys, tls.VersionTLS13
			ended := make(chan error, 1)
			got := make(chan string, 10)
			s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int { got <- string(p); return rig.Echo(c, p) }, Ended: func(c *proactor.Conn, why error) { ended <- why; c.Close() }}, withTLS(serves))
			plain := rig.Client(t, s)
			c := tls.Client(plain, dials)
			if err := c.Handshake(); err != nil {
				t.Fatal(err)
			}
			if c.ConnectionState().CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
				t.Skip("another cipher is preferred here")
			}
			k := newSealer(t, keys.String())
			wire := k.seal(data, []byte("before"))
			for range tt.times {
				wire = append(wire, k.seal(tt.kind, tt.body)...)
			}
			if tt.flip {
				wire[len(wire)-1] ^= 1
			}
			must.Send(t, plain, wire)
			if p := must.Take(t, "Data", got); p != "before" {
				t.Errorf("%s: Data is shown %q", name, p)
			}
			if !tt.ends {
				must.Read(t, c, []byte("before"))
				must.Send(t, plain, k.seal(data, []byte("after")))
				must.Read(t, c, []byte("after"))
				plain.Close()
				r.Ends(proactor.ErrTruncated)
				return
			}
			if why := must.Take(t, "Ended", ended); why == proactor.ErrPeerClosed || why == proactor.ErrTruncated {
				t.Errorf("%s: ended with %v", name, why)
			}
			var alert *net.OpError
			if _, err := c.Read(make([]byte, 10)); tt.kind != alert0 && !errors.As(err, &alert) {
				t.Errorf("%s: the client sees %v", name, err)
			}
			plain.Close()
			must.Take(t, "Closed", r.Closed)
		})
	}
}

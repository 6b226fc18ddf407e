package proxy

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
)

// captured is a connection that has all that is written to it.
type captured struct {
	net.Conn
	bytes.Buffer
}

var errCaptured = errors.New("captured")

func (c *captured) Write(b []byte) (int, error) { c.Buffer.Write(b); return 0, errCaptured }
func (c *captured) Read([]byte) (int, error)    { return 0, errCaptured }

// clientHello is one that crypto/tls writes.
func clientHello(name string, config *tls.Config) []byte {
	c := &captured{}
	config.ServerName, config.InsecureSkipVerify = name, true
	tls.Client(c, config).Handshake()
	return c.Bytes()
}

// cut puts the message of a record into records of so many bytes.
func cut(record []byte, most int) (out []byte) {
	for body := record[5:]; len(body) > 0; {
		n := min(most, len(body))
		out = append(append(out, 22, 3, 1, byte(n>>8), byte(n)), body[:n]...)
		body = body[n:]
	}
	return out
}

// serverName reads all of a stream at once.
func serverName(b []byte) (string, bool) { return new(hello).serverName(b) }

// The name is found whatever else is asked for, in any number of records, and every beginning of them is
// waited for.
func TestServerName(t *testing.T) {
	long := strings.Repeat("x", 60) + ".example.org"
	for _, name := range []string{"example.org", long, ""} {
		for _, config := range []*tls.Config{{}, {MaxVersion: tls.VersionTLS12}, {NextProtos: []string{"h2", "http/1.1"}}} {
			sent := clientHello(name, config)
			for _, stream := range [][]byte{sent, cut(sent, 100), cut(sent, 1)} {
				var pieces hello
				for n := range stream {
					if _, whole := serverName(stream[:n]); whole {
						t.Fatalf("%q: %d bytes of %d are whole", name, n, len(stream))
					}
					if _, whole := pieces.serverName(stream[:n]); whole {
						t.Fatalf("%q: %d bytes of %d are whole, when they come one by one", name, n, len(stream))
					}
				}
				for how, h := range map[string]*hello{"at once": {}, "one by one": &pieces} {
					if got, whole := h.serverName(append(stream, "more"...)); got != name || !whole {
						t.Errorf("%s: %q, %v; want %q", how, got, whole, name)
					}
				}
			}
		}
	}
}

// Records that were gone through are not looked at again, however small the pieces in which a stream comes.
func TestHelloIsReadOnce(t *testing.T) {
	stream := cut(append([]byte{22, 3, 1, 0, 0, kindHello, 0, 0xff, 0}, make([]byte, 60<<10)...), 1)
	var h hello
	for n := range stream {
		if most := 2 * (recordHead + 1); n > most {
			stream[n-most-1] = 0 // what is before is no record any more
		}
		if _, whole := h.serverName(stream[:n]); whole {
			t.Fatalf("after %d bytes there is no ClientHello any more", n)
		}
	}
}

// What is no ClientHello is found to be none at once.
func TestNoHello(t *testing.T) {
	for _, b := range []string{"G", "\x16\x10", "\x16\x03\x01\x00\x00", "\x16\x03\x01\xff\xff", "\x16\x03\x01\x00\x01\x02", "\x16\x03\x01\x00\x04\x01\xff\xff\xff", "\x16\x03\x01\x00\x04\x01\x00\x00\x00"} {
		if name, whole := serverName([]byte(b)); name != "" || !whole {
			t.Errorf("%q: %q, %v", b, name, whole)
		}
	}
}

// FuzzServerName: where crypto/tls reads a name, it is the same; and nothing is found before it is there.
func FuzzServerName(f *testing.F) {
	f.Add(clientHello("example.org", &tls.Config{}))
	f.Add(cut(clientHello("example.org", &tls.Config{MaxVersion: tls.VersionTLS12}), 50))
	strange := clientHello("example.org", &tls.Config{MaxVersion: tls.VersionTLS12})
	strange[1] = 0 // nobody looks at the version of a record
	f.Add(strange)
	f.Fuzz(func(t *testing.T, b []byte) {
		name, whole := serverName(b)
		if name != "" {
			for n := range b[:min(len(b), 2000)] {
				if early, done := serverName(b[:n]); done && early != name {
					t.Fatalf("after %d bytes %q, after %d %q", n, early, len(b), name)
				}
			}
		}
		var h hello
		for _, n := range []int{len(b) / 3, len(b) / 2, len(b) - len(b)/9, len(b)} {
			in, done := h.serverName(b[:n])
			if at, so := serverName(b[:n]); in != at || done != so {
				t.Fatalf("%d bytes in pieces: %q, %v; at once: %q, %v", n, in, done, at, so)
			}
			if done {
				break
			}
		}
		in := &played{in: b}
		var want *string
		tls.Server(in, &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			want = &h.ServerName
			return nil, errCaptured
		}}).Handshake()
		if want != nil && (!whole || name != *want) {
			t.Fatalf("%q, %v; crypto/tls: %q", name, whole, *want)
		}
	})
}

// played is a connection on which a stream comes.
type played struct {
	net.Conn
	in []byte
}

func (p *played) Read(b []byte) (int, error) {
	if len(p.in) == 0 {
		return 0, errCaptured
	}
	n := copy(b, p.in)
	p.in = p.in[n:]
	return n, nil
}

func (p *played) Write(b []byte) (int, error) { return len(b), nil }
func (p *played) Close() error                { return nil }

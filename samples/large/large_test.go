package large

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/samples/echotest"
	"github.com/proactor-go/proactor/samples/echotest/pooltest"
)

// start starts a server. At the end of the test nothing of it may be left.
func start(t *testing.T, backend string, o Options) *Server {
	t.Helper()
	o.Addr, o.Engine, o.Log = "127.0.0.1:0", echotest.Engine(t, backend), echotest.Quiet()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	pooltest.Listen(t, s, s.Pool)
	return s
}

// dial connects, and is greeted.
func dial(t *testing.T, s *Server) *echotest.Client {
	t.Helper()
	c := echotest.NewClient(t, s.ListenAddr().String())
	a := c.LocalAddr().(*net.TCPAddr)
	c.Hear(fmt.Sprintf("Welcome to large packet echo server %s:%d - 0\r\n", a.IP, a.Port))
	return c
}

// packet is a message of so many bytes in all, its length included.
func packet(seed, size int) []byte {
	b := make([]byte, size)
	rnd := rand.NewPCG(uint64(seed), uint64(size))
	for i := Header; i < size; i += 8 {
		var eight [8]byte
		binary.LittleEndian.PutUint64(eight[:], rnd.Uint64())
		copy(b[i:], eight[:])
	}
	binary.LittleEndian.PutUint16(b, uint16(size))
	return b
}

// answers is all that a client is owed for what it sends, up to its FIN.
func answers(sent []byte, most int) []byte {
	n := 0
	for {
		rest := sent[n:]
		if len(rest) < Header {
			return sent[:n]
		}
		switch size := int(binary.LittleEndian.Uint16(rest)); {
		case size < Header:
			return append(bytes.Clone(sent[:n]), "Invalid message size! Go away!\r\n"...)
		case size > most:
			return append(bytes.Clone(sent[:n]), "Too much data! Go away!\r\n"...)
		case size > len(rest):
			return sent[:n]
		default:
			n += size
		}
	}
}

// talk sends all, some bytes at a time, then a FIN, and checks that what is
// owed comes back, then the end of the stream.
func talk(c *echotest.Client, sent []byte, pieces, most int) error {
	go echotest.SendInPieces(c.Conn, sent, pieces)
	got, err := io.ReadAll(c.In)
	if want := answers(sent, most); err != nil || !bytes.Equal(got, want) {
		return fmt.Errorf("got %d bytes, %v, want %d", len(got), err, len(want))
	}
	return nil
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{{MaxPacket: -1}, {MaxPacket: 2}, {MaxPacket: 65536}, {Workers: -1}, {Queue: -1}} {
		if s, err := New(o); s != nil || err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}

// Every size from 2 to 65535 is echoed whole: each up to 2,100 bytes, then, for
// all of them are 2 GiB, one in 61.
func TestEverySize(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		s := start(t, backend, Options{})
		step := func(size int) int {
			switch {
			case runtime.GOOS == "windows":
				return size + 1 + size/8
			case size < 2100:
				return size + 1
			}
			return size + 61
		}
		var sizes []int
		for size := Header; size <= Most; size = step(size) {
			sizes = append(sizes, size)
		}
		sizes = append(sizes, Most-1, Most)
		var all sync.WaitGroup
		for half := range 2 {
			c := dial(t, s)
			all.Go(func() {
				for i := half; i < len(sizes); i += 2 {
					p := packet(i, sizes[i])
					got := make([]byte, len(p))
					if _, err := c.Write(p); err != nil {
						t.Errorf("%d bytes: %v", len(p), err)
						return
					}
					if _, err := io.ReadFull(c.In, got); err != nil || !bytes.Equal(got, p) {
						t.Errorf("%d bytes came back changed, %v", len(p), err)
						return
					}
				}
			})
		}
		all.Wait()
	})
}

// Whatever is sent, in whatever pieces, what comes back is what is owed, and
// then the end of the stream.
func TestProtocol(t *testing.T) {
	var burst []byte
	for i := range 100 {
		burst = append(burst, packet(i, Header+i*i)...)
	}
	three := bytes.Join([][]byte{packet(1, 2), packet(2, 100), packet(3, 1000)}, nil)
	with := func(more ...byte) []byte { return append(bytes.Clone(three), more...) }
	for _, tt := range []struct {
		name string
		sent []byte
		most int
	}{
		{"nothing", nil, 0},
		{"100 at once", burst, 0},
		{"length 0", with(0, 0, 'x'), 0},
		{"length 1", with(1, 0), 0},
		{"at the maximum", append(packet(1, 1000), 2, 0), 1000},
		{"over the maximum", with(0xe9, 3, 'x', 'y'), 1000},
		{"the least maximum", []byte{2, 0, 3, 0, 'x', 4, 0, 'x', 'y'}, 3},
		{"much over the maximum", append(with(0xff, 0xff), make([]byte, 70_000)...), 1000},
		{"cut in a length", with(5), 0},
		{"cut after a length", with(5, 0), 0},
		{"cut in a message", with(5, 0, 'x', 'y'), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			porttest.Each(t, func(t *testing.T, backend string) {
				s := start(t, backend, Options{MaxPacket: tt.most, Workers: 4})
				most := tt.most
				if most == 0 {
					most = Most
				}
				for _, pieces := range []int{1, 777, 1 << 30} {
					if pieces == 1 && len(tt.sent) > 10_000 {
						continue
					}
					if err := talk(dial(t, s), tt.sent, pieces, most); err != nil {
						t.Errorf("%d bytes at a time: %v", pieces, err)
					}
				}
			})
		})
	}
}

// A client that takes nothing until its own sends are stuck gets every echo
// all the same, and holds up no worker meanwhile.
func TestSlowReader(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		s := start(t, backend, Options{Workers: 1})
		var sent []byte
		n := 400
		if runtime.GOOS == "windows" {
			n = 60
		}
		for i := range n {
			sent = append(sent, packet(i, Most-i)...)
		}
		slow := dial(t, s)
		go echotest.SendInPieces(slow.Conn, sent, len(sent))
		other := dial(t, s)
		for i := range 50 {
			p := packet(i, 5000)
			got := make([]byte, len(p))
			if _, err := other.Write(p); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(other.In, got); err != nil || !bytes.Equal(got, p) {
				t.Fatalf("the other one: %v", err)
			}
		}
		got, err := io.ReadAll(slow.In)
		if err != nil || !bytes.Equal(got, sent) {
			t.Fatalf("got %d bytes of %d, %v", len(got), len(sent), err)
		}
	})
}

// Clients that go away at every byte of a conversation, orderly or not, or send
// rubbish, harm no other.
func TestBadClients(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		s := start(t, backend, Options{Workers: 3, Queue: 5, MaxPacket: 300})
		good := dial(t, s)
		check := func() {
			t.Helper()
			p := packet(1, 200)
			good.Write(p)
			got := make([]byte, len(p))
			if _, err := io.ReadFull(good.In, got); err != nil || !bytes.Equal(got, p) {
				t.Fatalf("the good client: %v", err)
			}
		}
		talked := bytes.Join([][]byte{packet(1, 2), packet(2, 9), packet(3, 20), {1, 0, 7}}, nil)
		step := 1
		if runtime.GOOS == "windows" {
			step = 3
		}
		for end := 0; end <= len(talked); end += step {
			if err := talk(dial(t, s), talked[:end], 1<<30, 300); err != nil {
				t.Errorf("after %d bytes: %v", end, err)
			}
			c := dial(t, s)
			c.Write(talked[:end])
			c.SetLinger(0)
			c.Close()
			check()
		}
		rnd := rand.New(rand.NewPCG(1, 2))
		for range 20 {
			b := make([]byte, rnd.IntN(5000))
			for i := range b {
				b[i] = byte(rnd.IntN(256) * rnd.IntN(2)) // half of them 0: small lengths
			}
			if err := talk(dial(t, s), b, 1<<30, 300); err != nil {
				t.Errorf("for % x: %v", b[:min(len(b), 50)], err)
			}
			check()
		}
		good.CloseWrite()
		good.HearEnd()
	})
}

// Shutdown echoes what was received. What had not been received is not.
func TestShutdown(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		s := start(t, backend, Options{Workers: 1})
		c := dial(t, s)
		p := packet(1, 50_000)
		c.Write(bytes.Repeat(p, 3))
		for range 3 {
			got := make([]byte, len(p))
			if _, err := io.ReadFull(c.In, got); err != nil || !bytes.Equal(got, p) {
				t.Fatal(err)
			}
		}
		ended := echotest.Shutdown(s, echotest.Patience)
		c.HearEnd()
		c.Close()
		if err := echotest.Ended(t, ended); err != nil {
			t.Error(err)
		}
	})
}

// Shutdown when its time is up, and Close, end the server although a client
// neither reads nor closes.
func TestEndWithSlowClient(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(s *Server) (ended <-chan error)
		want error
	}{
		{"Shutdown", func(s *Server) <-chan error { return echotest.Shutdown(s, 50*time.Millisecond) }, context.DeadlineExceeded},
		{"Close", func(s *Server) <-chan error {
			ended := make(chan error, 1)
			go func() { ended <- s.Close() }()
			return ended
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			porttest.Each(t, func(t *testing.T, backend string) {
				s := start(t, backend, Options{})
				c := dial(t, s)
				go c.Write(bytes.Repeat(packet(1, Most), 100)) // until it is stuck; less than a closed connection drops
				echotest.Until(t, "a message was served", func() bool { return s.Pool.Stats().Served > 0 })
				if err := echotest.Ended(t, tt.end(s)); !errors.Is(err, tt.want) {
					t.Errorf("it ended with %v", err)
				}
			})
		})
	}
}

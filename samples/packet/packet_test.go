package packet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/samples/echotest"
)

func start(t *testing.T, backend string, o Options) (srv *proactor.Server, addr string) {
	t.Helper()
	o.Addr, o.Engine, o.Log = "127.0.0.1:0", echotest.Engine(t, backend), echotest.Quiet()
	srv, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return srv, echotest.Listen(t, srv)
}

// framing is what the model and the clients of a test know of the server.
type framing struct {
	header   int
	order    binary.ByteOrder
	bodyOnly bool
	most     int // bytes of a packet on the wire
}

var byDefault = framing{header: 1, order: binary.LittleEndian, most: 1 << 20}

func (f framing) options() Options {
	return Options{Header: f.header, Order: f.order, BodyOnly: f.bodyOnly, MaxPacket: f.most}
}

func (f framing) String() string {
	return fmt.Sprintf("%d bytes, %v, body only %v, most %d", f.header, f.order, f.bodyOnly, f.most)
}

// put is a packet's length as it is sent, whatever follows.
func (f framing) put(length uint64) []byte {
	var b [8]byte
	if f.order == binary.BigEndian {
		f.order.PutUint64(b[:], length)
		return b[8-f.header:]
	}
	f.order.PutUint64(b[:], length)
	return b[:f.header]
}

// packet has n bytes in all, at least those of the header.
func (f framing) packet(n int) []byte {
	length := n
	if f.bodyOnly {
		length -= f.header
	}
	b := f.put(uint64(length))
	for len(b) < n {
		b = append(b, byte(n+len(b)))
	}
	return b
}

// owed is the server again, written without package frame.
func (f framing) owed(sent []byte, _ bool) (out []byte) {
	for len(sent) >= f.header {
		var length uint64
		for i := range f.header {
			if f.order == binary.BigEndian {
				length = length<<8 | uint64(sent[i])
			} else {
				length |= uint64(sent[i]) << (8 * i)
			}
		}
		least, most := uint64(f.header), uint64(f.most)
		if f.bodyOnly {
			least, most = 0, most-uint64(f.header)
		}
		switch {
		case length < least:
			return fmt.Appendf(out, "Bad packet: its length is %d, but the header alone has %d! Go away!\r\n", length, f.header)
		case length > most:
			return fmt.Appendf(out, "Bad packet: its length is %d, over the maximum of %d! Go away!\r\n", length, most)
		}
		size := int(length)
		if f.bodyOnly {
			size += f.header
		}
		if len(sent) < size {
			break
		}
		out, sent = append(out, sent[:size]...), sent[size:]
	}
	return out
}

// framings are all that the options can say, small and large.
func framings() (all []framing) {
	for _, header := range []int{1, 2, 4, 8} {
		for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			for _, bodyOnly := range []bool{false, true} {
				all = append(all, framing{header, order, bodyOnly, 100})
			}
		}
	}
	return all
}

func TestConversation(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		_, addr := start(t, backend, Options{})
		f := byDefault
		for name, sent := range map[string][]byte{
			"echo":          concat(f.packet(5), f.packet(1), f.packet(9), f.packet(4)[:3]),
			"length of 0":   concat(f.packet(5), f.packet(2), f.put(0), f.packet(3)),
			"largest of 1":  concat(f.packet(3), []byte{255}, make([]byte, 20)),
			"header behind": concat(f.packet(2), f.packet(1), f.packet(1)),
		} {
			t.Run(name, func(t *testing.T) { echotest.Conversation(t, addr, sent, f.owed) })
		}
	})
}

func concat(pieces ...[]byte) (all []byte) {
	for _, p := range pieces {
		all = append(all, p...)
	}
	return all
}

// Every framing: sizes from the least to the most, then a length that is
// refused, at each of the bounds.
func TestFramings(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		for _, f := range framings() {
			t.Run(f.String(), func(t *testing.T) {
				_, addr := start(t, backend, f.options())
				good := concat(f.packet(f.header), f.packet(f.header+1), f.packet(99), f.packet(100))
				echotest.Answers(t, addr, good, f.owed)
				echotest.Answers(t, addr, good[:len(good)-1], f.owed)
				top := uint64(math.MaxUint64) >> (64 - 8*f.header)
				for _, length := range []uint64{0, uint64(f.header - 1), 100 - uint64(f.header) + 1, 101, top} {
					echotest.Answers(t, addr, concat(good, f.put(length), []byte("more")), f.owed)
				}
			})
		}
	})
}

// What a refused client is told, letter by letter, before it closes; the
// packets behind it are not echoed.
func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		framing
		length uint64
		want   string
	}{
		{byDefault, 0, "Bad packet: its length is 0, but the header alone has 1! Go away!\r\n"},
		{framing{header: 2, order: binary.BigEndian, most: 1000}, 1001, "Bad packet: its length is 1001, over the maximum of 1000! Go away!\r\n"},
		{framing{header: 8, order: binary.LittleEndian, bodyOnly: true, most: 1000}, math.MaxUint64,
			"Bad packet: its length is 18446744073709551615, over the maximum of 992! Go away!\r\n"},
	} {
		porttest.Each(t, func(t *testing.T, backend string) {
			_, addr := start(t, backend, tt.options())
			c := echotest.Dial(t, addr)
			c.Write(concat(tt.packet(9), tt.put(tt.length), tt.packet(9)))
			if got, err := io.ReadAll(c); err != nil || string(got) != string(tt.packet(9))+tt.want {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestBurst(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		f := framing{header: 2, order: binary.LittleEndian, most: 1 << 16}
		_, addr := start(t, backend, f.options())
		var sent []byte
		for i := range 1000 {
			sent = append(sent, f.packet(2+i)...)
		}
		echotest.Answers(t, addr, sent, f.owed)
	})
}

// Packets far above the marks of back-pressure.
func TestLarge(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		f := framing{header: 4, order: binary.LittleEndian, most: large}
		_, addr := start(t, backend, f.options())
		sent := concat(f.packet(large), f.packet(255<<10), f.packet(1000), f.packet(large-1), f.put(large+1))
		echotest.Answers(t, addr, sent, f.owed)
	})
}

const large = 3 << 20

// A client that does not read until some of its echoes wait, less than the high
// mark, and then sends the largest packet: there is room for its echo, too.
func TestLargeBehindOthers(t *testing.T) {
	const small = 100 << 10
	porttest.Each(t, func(t *testing.T, backend string) {
		f := framing{header: 4, order: binary.LittleEndian, most: large}
		srv, addr := start(t, backend, f.options())
		c := echotest.Dial(t, addr)
		var sent []byte
		received := func(n int) {
			t.Helper()
			echotest.Until(t, "it was received", func() bool { return srv.Engine.Stats().BytesIn >= int64(n) })
		}
		for srv.Engine.Stats().Pending <= small { // more than one: the system takes no more
			if len(sent) > 64<<20 {
				t.Skip("the system takes any number of bytes that nobody reads")
			}
			c.Write(f.packet(small))
			sent = append(sent, f.packet(small)...)
			received(len(sent))
		}
		sent = append(sent, f.packet(large)...)
		go func() {
			c.Write(f.packet(large))
			c.CloseWrite()
		}()
		received(len(sent))
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, f.owed(sent, true)) {
			t.Fatalf("%d bytes of %d, %v", len(got), len(sent), err)
		}
	})
}

// Bytes without sense, and packets among them.
func TestGarbage(t *testing.T) {
	n := 200
	if runtime.GOOS == "windows" {
		n = 30
	}
	porttest.Each(t, func(t *testing.T, backend string) {
		r := rand.New(rand.NewPCG(3, 4))
		all := framings()
		f := all[5]
		_, one := start(t, backend, Options{})
		_, addr := start(t, backend, f.options())
		for range n {
			sent := make([]byte, 0, 1000)
			for range r.IntN(6) {
				sent = append(sent, f.packet(f.header+r.IntN(100))...)
			}
			for range r.IntN(40) {
				sent = append(sent, byte(r.Uint32()))
			}
			echotest.Answers(t, addr, sent, f.owed)
			echotest.Answers(t, one, sent, byDefault.owed)
		}
	})
}

func TestBanner(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		_, addr := start(t, backend, Options{Banner: true})
		echotest.Answers(t, addr, []byte{3, 'h', 'i', 0}, func([]byte, bool) []byte {
			return []byte("Welcome to packet echo server\r\n\x03hiBad packet: its length is 0, but the header alone has 1! Go away!\r\n")
		})
	})
}

func TestShutdown(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		srv, addr := start(t, backend, Options{})
		sent := concat(byDefault.packet(7), byDefault.packet(200))
		echotest.Ends(t, srv, addr, sent, byDefault.owed(sent, false))
	})
}

func TestInvalid(t *testing.T) {
	for _, tt := range []struct {
		o    Options
		want string // in the error; empty: none
	}{
		{Options{}, ""},
		{Options{Header: 8, MaxPacket: 9}, ""},
		{Options{MaxPacket: MostPacket}, ""},
		{Options{Header: 3}, "header of 3 bytes"},
		{Options{Header: -1}, "header of -1 bytes"},
		{Options{Header: 4, MaxPacket: 4}, "maximum of 4 bytes"},
		{Options{MaxPacket: -5}, "maximum of -5 bytes"},
		{Options{MaxPacket: MostPacket + 1}, "maximum of"},
	} {
		srv, err := New(tt.o)
		switch {
		case tt.want == "" && (err != nil || srv == nil):
			t.Errorf("%+v: %v", tt.o, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%+v: %v, want %q", tt.o, err, tt.want)
		}
	}
}

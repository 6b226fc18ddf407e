package write_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/tests/rig"
)

// The tests whose names begin with TestMet are named after what users of such
// servers met; each tells what must happen instead. Some of them are in the files
// of their subjects.

// bare is a completion port without the engine, with a listener.
type bare struct {
	*testing.T
	p        *port.Port
	listener port.Handle
	accept   port.Op
	at       net.Addr
}

// newBare opens the port on the goroutine of the test, which drives it.
func newBare(t *testing.T, backend string) *bare {
	t.Helper()
	p, err := port.Open(port.Config{Backend: backend})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	b := &bare{T: t, p: p}
	l, err := p.Listen("tcp4", "127.0.0.1:0", port.SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if b.listener, err = p.Associate(l, 0); err != nil {
		t.Fatal(err)
	}
	if b.at, err = p.LocalAddr(b.listener); err != nil {
		t.Fatal(err)
	}
	b.must(p.Accept(&b.accept, b.listener))
	return b
}

func (b *bare) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// pair makes a connection: its handle, and the peer's end.
func (b *bare) pair(key uint64) (port.Handle, *net.TCPConn) {
	b.Helper()
	peer := must.Dial(b, b.at).(*net.TCPConn)
	c := b.next()
	if c.Op != &b.accept || c.Kind != port.KindAccept || c.Err != nil {
		b.Fatalf("got %v, %v where an accept should be", c.Kind, c.Err)
	}
	h, err := b.p.Associate(c.Socket, key)
	b.must(err)
	return h, peer
}

// next dequeues one completion.
func (b *bare) next() port.Completion {
	b.Helper()
	var c [1]port.Completion
	n, err := b.p.Dequeue(c[:], must.Patience)
	if n != 1 || err != nil {
		b.Fatalf("dequeued %d completions, %v", n, err)
	}
	return c[0]
}

// nothing looks a while for completions that must not come.
func (b *bare) nothing() {
	b.Helper()
	for range 3 {
		var c [1]port.Completion
		if n, err := b.p.Dequeue(c[:], 5*time.Millisecond); n != 0 || err != nil {
			b.Fatalf("%v of key %d with %d bytes (%v) where nothing should be", c[0].Kind, c[0].Key, c[0].N, err)
		}
	}
}

// They met: one OVERLAPPED shared by a recv and a send, and the send's byte count
// read as a recv's. Required: an operation record each; a completion names its
// operation and kind.
func TestMetOneOverlappedShared(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		b := newBare(t, backend)
		h, peer := b.pair(7)
		want := must.Pattern(1, testenv.Scaled(8<<20))
		var recv, send port.Op
		in := make([]byte, 1000)
		for round := range 3 {
			b.must(b.p.Recv(&recv, h, in))
			if err := b.p.Send(&recv, h, want); !errors.Is(err, port.ErrBusy) {
				t.Fatalf("a send with the record of the recv: %v", err)
			}
			b.must(b.p.Send(&send, h, want))
			// Both are outstanding, and end in either order.
			read := make(chan error, 1)
			go func() {
				if _, err := peer.Write(want[:round+5]); err != nil {
					read <- err
					return
				}
				got := make([]byte, len(want))
				_, err := io.ReadFull(peer, got)
				if err == nil && !bytes.Equal(got, want) {
					err = errors.New("other bytes")
				}
				read <- err
			}()
			seen := map[*port.Op]port.Completion{}
			for range 2 {
				c := b.next()
				if c.Err != nil || c.Key != 7 {
					t.Fatalf("%v of key %d: %v", c.Kind, c.Key, c.Err)
				}
				seen[c.Op] = c
			}
			if c := seen[&recv]; c.Kind != port.KindRecv || c.N != round+5 || !bytes.Equal(in[:c.N], want[:c.N]) {
				t.Errorf("the recv ended as %v of %d bytes", c.Kind, c.N)
			}
			if c := seen[&send]; c.Kind != port.KindSend || c.N != len(want) {
				t.Errorf("the send ended as %v of %d bytes", c.Kind, c.N)
			}
			if err := must.Take(t, "the peer", read); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// They met: "how do I know whether I can read or write?" Required: the completion
// says which operation finished, with its byte count; nothing is guessed or tried.
func TestMetCanIReadOrWrite(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		b := newBare(t, backend)
		first, one := b.pair(1)
		second, two := b.pair(2)
		var recv1, recv2, send1 port.Op
		in1, in2 := make([]byte, 100), make([]byte, 100)
		b.must(b.p.Recv(&recv1, first, in1))
		b.must(b.p.Recv(&recv2, second, in2))
		b.nothing()
		is := func(op *port.Op, kind port.Kind, key uint64, n int, end error) {
			t.Helper()
			if c := b.next(); c.Op != op || c.Kind != kind || c.Key != key || c.N != n || c.Err != end || c.More {
				t.Fatalf("%v of key %d with %d bytes, %v; want %v of key %d with %d, %v", c.Kind, c.Key, c.N, c.Err, kind, key, n, end)
			}
			b.nothing()
		}
		must.Send(t, two, []byte("hello"))
		is(&recv2, port.KindRecv, 2, 5, nil)
		if string(in2[:5]) != "hello" || recv2.InFlight() || !recv1.InFlight() {
			t.Errorf("received %q; in flight: %v and %v", in2[:5], recv1.InFlight(), recv2.InFlight())
		}
		b.must(b.p.Send(&send1, first, []byte("you")))
		is(&send1, port.KindSend, 1, 3, nil)
		must.Read(t, one, []byte("you"))
		b.must(b.p.Post(9, nil))
		is(nil, port.KindPost, 9, 0, nil)
		b.must(one.CloseWrite())
		is(&recv1, port.KindRecv, 1, 0, io.EOF)
	})
}

// They met: completions still arrive after closesocket, and when to free?
// Required: every started operation completes exactly once; Closed is delivered
// once, after the last of them; buffers are returned then, never before.
func TestMetCompletionsAfterClose(t *testing.T) {
	t.Run("Port", completionsAfterClose)
	t.Run("Engine", closedAfterCompletions)
}

func completionsAfterClose(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		b := newBare(t, backend)
		jam := make([]byte, 64<<20)
		for round := range 4 {
			h, peer := b.pair(uint64(100 + round))
			var recv, out, end port.Op
			b.must(b.p.RecvStream(&recv, h))
			b.must(b.p.Send(&out, h, jam))
			must.Send(t, peer, []byte("under way while it closes"))
			b.must(b.p.CloseSocket(&end, h, round%2 == 0))
			ended := map[*port.Op]int{}
			for ended[&end] == 0 {
				c := b.next()
				if c.Key != uint64(100+round) {
					t.Fatalf("%v of key %d", c.Kind, c.Key)
				}
				b.p.Release(&c)
				if !c.More {
					ended[c.Op]++
				}
			}
			if ended[&recv] != 1 || ended[&out] != 1 || recv.InFlight() || out.InFlight() || end.InFlight() {
				t.Errorf("final completions before the close's: recv %d, send %d", ended[&recv], ended[&out])
			}
			if err := b.p.Send(&out, h, jam); !errors.Is(err, port.ErrClosed) {
				t.Errorf("Send on a closed socket: %v", err)
			}
			b.nothing()
		}
	})
}

func closedAfterCompletions(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, func(c *proactor.Config) { c.Loops = 1 })
		s := r.Serve(proactor.Handler{
			Data: rig.Echo,
			Closed: func(c *proactor.Conn, _ error) {
				if st := r.Engine.Stats(); st.Leased != 0 || st.Pending != 0 {
					t.Errorf("at Closed %d buffers are in use, %d bytes wait", st.Leased, st.Pending)
				}
			},
		}, rig.Limits(proactor.Limits{Overflow: proactor.RejectWrites}))
		rig.Client(t, s)
		other := r.Accepted()
		for range 4 {
			peer := rig.Client(t, s)
			c := r.Accepted()
			if _, err := c.Write(make([]byte, 16<<20)); err != nil {
				t.Fatal(err)
			}
			must.Send(t, peer, must.Pattern(1, 10_000))
			must.Eventually(t, "a send under way", func() bool { return c.Stats().BytesIn > 0 })
			// Three tasks of one round: no completion comes between them.
			aborted := make(chan struct{})
			rig.OnLoop(t, other, func() {
				var before int64
				other.Post(func() { before = r.Engine.Stats().Leased })
				c.Abort()
				other.Post(func() {
					defer close(aborted)
					// The system still sends from them.
					if n := r.Engine.Stats().Leased; n != before || n == 0 {
						t.Errorf("%d of %d buffers are in use before the last completion", n, before)
					}
				})
			})
			must.Take(t, "the round of the abort", aborted)
			if got := r.Ends(proactor.ErrLocalClosed); got != c {
				t.Error("the end of another connection")
			}
		}
	})
}

// They met: partial sends ("TODO handle partial sends"). Required: the rest is
// sent, in order, before anything later.
func TestMetPartialSends(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{}, rig.Limits(proactor.Limits{HighWater: 64 << 20}))
		peer := rig.Client(t, s)
		if err := peer.SetReadBuffer(64 << 10); err != nil {
			t.Fatal(err)
		}
		c := r.Accepted()
		var want []byte
		write := func(n int) {
			t.Helper()
			p := must.Pattern(uint64(len(want)), n)
			want = append(want, p...)
			if _, err := c.Write(p); err != nil {
				t.Fatal(err)
			}
		}
		// More than the system takes from a peer that does not read.
		for range 3 {
			write(3_000_017)
		}
		must.Read(t, peer, want[:1])
		if n := c.Stats().Pending; n == 0 {
			t.Fatal("nothing was sent in part")
		}
		// What comes later stays behind the rest, and the rest is taken in small
		// pieces.
		got := 1
		for i := range 30 {
			write(1 + i*97)
			n := 4093 + i
			must.Read(t, peer, want[got:got+n])
			got += n
		}
		c.CloseWrite()
		must.ReadEnd(t, peer, want[got:])
		peer.Close()
		r.Ends(proactor.ErrPeerClosed)
	})
}

// They met: Write larger than an I/O buffer fails. Required: any size; chunked
// inside, atomically against other writers.
func TestMetWriteLargerThanBuffer(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, func(c *proactor.Config) { c.BufferSize = 4 << 10 })
		s := r.Serve(proactor.Handler{}, rig.Limits(proactor.Limits{MaxPending: 64 << 20}))
		peer := rig.Client(t, s)
		c := r.Accepted()
		// About each size that a buffer or a send may have, and far over.
		sizes := []int{1, 1 << 10, 1<<10 + 1, 4<<10 + 1, 16 << 10, 16<<10 + 1, 64<<10 + 1, 256<<10 + 1, 999_999, 3 << 20}
		const writers = 3
		small := []byte("[small]")
		ways := []func([]byte) (int, error){
			c.Write,
			func(p []byte) (int, error) { return c.Writev(p[:len(p)/2], p[len(p)/2:]) },
			c.WriteShared,
			func(p []byte) (int, error) { return c.WriteContext(must.Context(t), p) },
		}
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				for i, n := range sizes {
					p := bytes.Repeat([]byte{'A' + byte(w)}, n)
					if k, err := ways[(i+w)%len(ways)](p); k != n || err != nil {
						t.Errorf("%d of %d bytes were taken: %v", k, n, err)
						return
					}
				}
			})
		}
		// Another one writes small things all the while.
		wrote := make(chan int, 1)
		var large atomic.Bool
		go func() {
			n := 0
			for ; n < 100_000 && !large.Load(); n++ {
				if _, err := c.Write(small); err != nil {
					t.Error(err)
				}
			}
			all.Wait()
			wrote <- n
			c.CloseWrite()
		}()
		go func() { all.Wait(); large.Store(true) }()
		in := bufio.NewReader(peer)
		next, smalls := [writers]int{}, 0
		for {
			first, err := in.ReadByte()
			if err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if first == small[0] {
				must.Read(t, in, small[1:])
				smalls++
				continue
			}
			w := int(first) - 'A'
			if w < 0 || w >= writers || next[w] == len(sizes) {
				t.Fatalf("%q where a write should begin, after %v", first, next)
			}
			must.Read(t, in, bytes.Repeat([]byte{first}, sizes[next[w]]-1))
			next[w]++
		}
		if n := must.Take(t, "the small writes", wrote); next != [writers]int{len(sizes), len(sizes), len(sizes)} || smalls != n {
			t.Errorf("%v large and %d of %d small writes came", next, smalls, n)
		}
	})
}

package tls_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/tests/rig"
)

// secured is the connection that Detach gave, which must have TLS.
func secured(r *rig.Rig, told chan rig.Handed) (c *tls.Conn, received []byte) {
	r.Helper()
	got := rig.TakeOver(r.T, told)
	c, ok := got.Conn.(*tls.Conn)
	if !ok {
		r.Fatalf("it is a %T", got.Conn)
	}
	return c, got.Received
}

// echoes has a goroutine answer on a connection that has left the loops, and close it in the order
// of TLS.
func echoes(c *tls.Conn, received []byte) error {
	defer c.Close()
	if _, err := io.Copy(c, io.MultiReader(bytes.NewReader(received), c)); err != nil {
		return err
	}
	return c.CloseWrite()
}

// A connection that has left is a *tls.Conn that goes on where the loop was: what was written
// before goes out first, plain bytes that were not consumed come with it, deadlines work, and
// either side closes with a close_notify.
func TestDetach(t *testing.T) {
	eachVersion(t, func(r *rig.Rig, version uint16, serves, dials *tls.Config) {
		if !r.Detaches() {
			return
		}
		big := must.Pattern(1, 1<<20) // more than the system takes
		done, told := rig.Takes(r.T)
		s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
			if !bytes.HasPrefix(p, []byte("leave")) {
				return rig.Echo(c, p)
			}
			c.Write([]byte("bye"))
			c.Write(big)
			if err := c.Detach(done); err != nil {
				t.Error(err)
			}
			return len("leave")
		}}, withTLS(serves), rig.Limits(proactor.Limits{SendBuffer: 64 << 10, MaxPending: 4 << 20}))
		client := client(r, s, dials)
		must.Ask(r.T, client, "on a loop")
		must.Send(r.T, client, []byte("leave, and the rest"))
		must.Read(r.T, client, []byte("bye"))
		must.Read(r.T, client, big)
		c, received := secured(r, told)
		if string(received) != ", and the rest" {
			r.Errorf("what was not consumed is %q", received)
		}
		left := r.Accepted()
		r.Ends(proactor.ErrDetached)
		if st := c.ConnectionState(); st.Version != version || left.TLS().Version != version || st.CipherSuite != client.ConnectionState().CipherSuite {
			r.Errorf("its state is %+v", st)
		}
		if c.LocalAddr().String() != client.RemoteAddr().String() || c.RemoteAddr().String() != client.LocalAddr().String() {
			r.Errorf("it is from %v to %v", c.LocalAddr(), c.RemoteAddr())
		}
		c.SetReadDeadline(time.Now())
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			r.Errorf("Read with a deadline: %v", err)
		}
		c.SetReadDeadline(time.Now().Add(must.Patience))
		ended := make(chan error, 1)
		go func() { ended <- echoes(c, received) }()
		must.Read(r.T, client, []byte(", and the rest"))
		must.Ask(r.T, client, "on a goroutine")
		must.Ask(r.T, client, string(big[:100_000]))
		if err := client.CloseWrite(); err != nil {
			r.Error(err)
		}
		must.ReadEnd(r.T, client, nil)
		if err := must.Take(r.T, "the goroutine", ended); err != nil {
			r.Error(err)
		}
		if st := r.Engine.Stats(); st.Pending != 0 || st.Kept != 0 || st.Leased != 0 {
			r.Errorf("something is left: %+v", st)
		}
	})
}

// stuck is a connection that sends only so many bytes of a Write, once, and gives the others.
type stuck struct {
	net.Conn
	most int // 0: all
	rest []byte
}

func (c *stuck) Write(p []byte) (int, error) {
	n := len(p)
	if c.most > 0 {
		c.rest, p, c.most = bytes.Clone(p[c.most:]), p[:c.most], 0
	}
	_, err := c.Conn.Write(p)
	return n, err
}

// A record of which the loop has received the beginning is read to its end on the goroutine.
func TestDetachHalfRecord(t *testing.T) {
	eachVersion(t, func(r *rig.Rig, version uint16, serves, dials *tls.Config) {
		if !r.Detaches() {
			return
		}
		s := r.Serve(proactor.Handler{Data: rig.Echo}, withTLS(serves))
		for _, most := range []int{1, 5, 20} {
			raw := &stuck{Conn: rig.Client(r.T, s)}
			client := tls.Client(raw, dials)
			must.Ask(r.T, client, "hello")
			c := r.Accepted()
			had := c.Stats().BytesIn
			raw.most = most
			must.Send(r.T, client, []byte("cut in two"))
			must.Eventually(r.T, "the beginning", func() bool { return c.Stats().BytesIn == had+int64(most) })
			done, told := rig.Takes(r.T)
			if err := c.Detach(done); err != nil {
				r.Fatal(err)
			}
			nc, received := secured(r, told)
			r.Ends(proactor.ErrDetached)
			if len(received) > 0 {
				r.Errorf("%q was received", received)
			}
			must.Send(r.T, raw, raw.rest)
			must.Read(r.T, nc, []byte("cut in two"))
			must.Send(r.T, nc, []byte("answered"))
			must.Read(r.T, client, []byte("answered"))
		}
	})
}

// The peer's close_notify, which the loop has read, is there for the next owner, who can still send.
func TestDetachAfterCloseNotify(t *testing.T) {
	eachVersion(t, func(r *rig.Rig, version uint16, serves, dials *tls.Config) {
		if !r.Detaches() {
			return
		}
		done, told := rig.Takes(r.T)
		s := r.Serve(proactor.Handler{Data: rig.Echo, Ended: func(c *proactor.Conn, why error) {
			if err := c.Detach(done); err != nil {
				r.Error(err)
			}
		}}, withTLS(serves))
		one := client(r, s, dials)
		must.Ask(r.T, one, "hello")
		r.Accepted()
		if err := one.CloseWrite(); err != nil {
			r.Error(err)
		}
		c, _ := secured(r, told)
		if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			r.Errorf("after a close_notify: %d, %v", n, err)
		}
		must.Send(r.T, c, []byte("goodbye"))
		if err := c.CloseWrite(); err != nil {
			r.Error(err)
		}
		must.ReadEnd(r.T, one, []byte("goodbye"))
		r.Ends(proactor.ErrDetached)
	})
}

// Connections that leave in the middle of a stream, at any byte of it, lose none.
func TestDetachMidStream(t *testing.T) {
	eachVersion(t, func(r *rig.Rig, version uint16, serves, dials *tls.Config) {
		if !r.Detaches() {
			return
		}
		size := testenv.Scaled(1 << 20)
		ended := make(chan error, 4)
		s := r.Serve(proactor.Handler{
			Opened: func(c *proactor.Conn) { c.SetValue(rand.IntN(size)) },
			Data: func(c *proactor.Conn, p []byte) int {
				left := c.Value().(int)
				if left >= len(p) {
					c.SetValue(left - len(p))
					return rig.Echo(c, p)
				}
				c.Write(p[:left])
				err := c.Detach(func(nc net.Conn, received []byte, err error) {
					if err != nil {
						r.Error(err)
						return
					}
					nc.SetDeadline(time.Now().Add(must.Patience))
					go func() { ended <- echoes(nc.(*tls.Conn), received) }()
				})
				if err != nil {
					r.Error(err)
				}
				return left
			},
		}, withTLS(serves), rig.Limits(proactor.Limits{MaxPending: 4 << 20}))
		var group sync.WaitGroup // of the clients
		for i := range 4 {
			c := client(r, s, dials)
			want := must.Pattern(uint64(i), size)
			group.Go(func() {
				for n := 0; n < size; {
					k := min(1+rand.IntN(20_000), size-n)
					if _, err := c.Write(want[n : n+k]); err != nil {
						r.Error(err)
						return
					}
					n += k
				}
				c.CloseWrite()
			})
			group.Go(func() {
				got, err := io.ReadAll(c)
				if err != nil || !bytes.Equal(got, want) {
					r.Errorf("%d of %d bytes came back, the same up to %d; %v", len(got), size, must.Differs(got, want), err)
				}
			})
		}
		must.Within(r.T, "the streams", func() error { group.Wait(); return nil })
		for range 4 {
			if err := must.Take(r.T, "a goroutine", ended); err != nil {
				r.Error(err)
			}
			r.Ends(proactor.ErrDetached)
		}
	})
}

// A connection that was dialed leaves as one that was accepted.
func TestDetachDialed(t *testing.T) {
	eachVersion(t, func(r *rig.Rig, _ uint16, serves, dials *tls.Config) {
		if !r.Detaches() {
			return
		}
		addr := must.Serve(r.T, must.Patience, func(nc *net.TCPConn) { echoes(tls.Server(nc, serves), nil) })
		answers := make(chan string, 1)
		d := &proactor.Dialer{Engine: r.Engine, TLS: dials, Handler: r.Watch(proactor.Handler{
			Opened: func(c *proactor.Conn) { c.Write([]byte("on a loop")) },
			Data: func(c *proactor.Conn, p []byte) int {
				if len(p) == len("on a loop") {
					answers <- string(p)
					return len(p)
				}
				return 0
			},
		})}
		c, err := d.Dial(must.Context(r.T), "tcp", addr)
		if err != nil {
			r.Fatal(err)
		}
		if got := must.Take(r.T, "the echo", answers); got != "on a loop" {
			r.Errorf("%q", got)
		}
		done, told := rig.Takes(r.T)
		if err := c.Detach(done); err != nil {
			r.Fatal(err)
		}
		nc, _ := secured(r, told)
		must.Ask(r.T, nc, "on a goroutine")
		if err := nc.CloseWrite(); err != nil {
			r.Error(err)
		}
		must.ReadEnd(r.T, nc, nil)
		r.Accepted()
		r.Ends(proactor.ErrDetached)
	})
}

// What crypto/tls answers by itself goes out also where the loop comes to it after the call that
// ends what it sends: here a KeyUpdate, after which it sends with other keys.
func TestKeyUpdateAtTheEnd(t *testing.T) {
	for name, end := range map[string]func(r *rig.Rig, c *proactor.Conn) (goesOn func(client *tls.Conn)){
		"Detach": func(r *rig.Rig, c *proactor.Conn) func(*tls.Conn) {
			done, told := rig.Takes(r.T)
			if err := c.Detach(done); err != nil {
				r.Error(err)
			}
			return func(client *tls.Conn) {
				nc, _ := secured(r, told)
				must.Send(r.T, nc, []byte("with the new keys"))
				must.Read(r.T, client, []byte("with the new keys"))
				r.Ends(proactor.ErrDetached)
			}
		},
		"CloseWrite": func(r *rig.Rig, c *proactor.Conn) func(*tls.Conn) {
			if err := c.CloseWrite(); err != nil {
				r.Error(err)
			}
			return func(client *tls.Conn) {
				must.ReadEnd(r.T, client, nil)
				client.NetConn().Close()
				r.Ends(proactor.ErrTruncated)
			}
		},
		"Close": func(r *rig.Rig, c *proactor.Conn) func(*tls.Conn) {
			c.Close()
			return func(client *tls.Conn) {
				must.ReadEnd(r.T, client, nil)
				client.NetConn().Close()
				r.Ends(proactor.ErrLocalClosed)
			}
		},
	} {
		rig.Each(t, func(t *testing.T, backend string) {
			r := rig.New(t, backend, rig.OneLoop)
			if name == "Detach" && !r.Detaches() {
				return
			}
			serves, dials := rig.TLS()
			s := r.Serve(proactor.Handler{}, withTLS(serves))
			raw := rig.Client(t, s)
			client, k := handshakes(t, raw, dials)
			c := r.Accepted()
			busy, asked := make(chan struct{}), make(chan struct{})
			c.Loop().Post(func() { close(busy); <-asked })
			must.Take(t, "the loop is busy", busy)
			must.Send(t, raw, k.update())
			goesOn := end(r, c)
			close(asked)
			goesOn(client)
		})
	}
}

// While TLS that begins in the middle of a connection is not ready, the connection stays, and goes
// on; later it leaves, with TLS. One that is about to leave begins none.
func TestDetachAndStartTLS(t *testing.T) {
	eachVersion(t, func(r *rig.Rig, version uint16, serves, dials *tls.Config) {
		if !r.Detaches() {
			return
		}
		done, told := rig.Takes(r.T)
		s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
			switch string(p) {
			case "begin":
				c.Write([]byte("go ahead"))
				if err := c.StartTLS(serves); err != nil {
					r.Error(err)
				}
				if err := c.Detach(done); !errors.Is(err, errors.ErrUnsupported) {
					r.Errorf("Detach in the handshake: %v", err)
				}
			case "leave":
				if err := c.Detach(done); err != nil {
					r.Error(err)
				}
				if err := c.StartTLS(serves); err == nil {
					r.Error("StartTLS after Detach")
				}
			default:
				return rig.Echo(c, p)
			}
			return len(p)
		}})
		raw := rig.Client(r.T, s)
		must.Ask(r.T, raw, "in the clear")
		must.Send(r.T, raw, []byte("begin"))
		must.Read(r.T, raw, []byte("go ahead"))
		client := tls.Client(raw, dials)
		must.Ask(r.T, client, "on a loop")
		must.Send(r.T, client, []byte("leave"))
		c, received := secured(r, told)
		go echoes(c, received)
		must.Ask(r.T, client, "on a goroutine")
		if err := client.CloseWrite(); err != nil {
			r.Error(err)
		}
		must.ReadEnd(r.T, client, nil)
		r.Ends(proactor.ErrDetached)

		raw = rig.Client(r.T, s)
		must.Send(r.T, raw, []byte("leave"))
		plain := rig.TakeOver(r.T, told).Conn
		if _, ok := plain.(*net.TCPConn); !ok {
			r.Errorf("it is a %T", plain)
		}
		must.Send(r.T, plain, []byte("in the clear"))
		must.Read(r.T, raw, []byte("in the clear"))
		r.Ends(proactor.ErrDetached)
	})
}

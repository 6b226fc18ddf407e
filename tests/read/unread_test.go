package read_test

import (
	"bufio"
	"errors"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/tests/rig"
)

// told is a handler that sends its lines, and the end of the stream, to a channel.
func told(to chan<- string) proactor.Handler {
	return proactor.Handler{
		Split:   bufio.ScanLines,
		Message: func(_ *proactor.Conn, msg []byte) { to <- string(msg) },
		Ended:   func(c *proactor.Conn, why error) { to <- "Ended: " + why.Error(); c.Close() },
	}
}

// What is put back goes before what was kept, and before what arrives, in the framing of
// the handler that gets it. The FIN comes after it, also if it was told before.
func TestUnread(t *testing.T) {
	for name, finFirst := range map[string]bool{"FINLater": false, "FINTold": true} {
		t.Run(name, func(t *testing.T) {
			rig.Each(t, func(t *testing.T, backend string) {
				r := rig.New(t, backend)
				next, first, ended := make(chan string, 10), make(chan *proactor.Conn, 1), make(chan error, 1)
				second := r.Watch(told(next))
				s := r.Serve(proactor.Handler{
					// It takes the first two bytes and leaves what follows.
					Data: func(c *proactor.Conn, b []byte) int {
						if len(b) < 5 && !finFirst {
							return 0
						}
						first <- c
						if finFirst {
							return len(b)
						}
						return 2
					},
					Ended: func(_ *proactor.Conn, why error) { ended <- why },
				})
				peer := rig.Client(t, s)
				must.Send(t, peer, []byte("ab\ncd"))
				c := must.Take(t, "Data", first)
				put := "ab"
				if finFirst {
					if err := peer.CloseWrite(); err != nil {
						t.Fatal(err)
					}
					if why := must.Take(t, "Ended", ended); why != proactor.ErrPeerClosed {
						t.Fatal(why)
					}
					put = "ab\ncd"
				}
				errs := make(chan error, 2)
				c.Post(func() { errs <- c.SetHandler(&second); errs <- c.Unread([]byte(put)) })
				for range 2 {
					if err := must.Take(t, "the change", errs); err != nil {
						t.Fatal(err)
					}
				}
				if !finFirst {
					must.Send(t, peer, []byte("ef\n"))
					if err := peer.CloseWrite(); err != nil {
						t.Fatal(err)
					}
				}
				want := []string{"ab", "cdef", "Ended: " + proactor.ErrPeerClosed.Error()}
				if finFirst {
					want[1] = "cd"
				}
				for _, w := range want {
					if got := must.Take(t, w, next); got != w {
						t.Errorf("told %q, want %q", got, w)
					}
				}
				must.ReadEnd(t, peer, nil)
				r.Ends(proactor.ErrLocalClosed)
			})
		})
	}
}

// During a pause what is put back waits, and its memory counts.
func TestUnreadDuringAPause(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		const most = 1 << 10
		r := rig.New(t, backend, func(cfg *proactor.Config) { cfg.MaxInbound = most })
		next := make(chan string, 10)
		s := r.Serve(told(next))
		peer := rig.Client(t, s)
		c := r.Accepted()
		errs := make(chan error, 3)
		c.Post(func() {
			c.PauseRead()
			errs <- c.Unread(make([]byte, 2*most))
			errs <- c.Unread([]byte("two\n"))
			errs <- c.Unread([]byte("one\n"))
		})
		for _, want := range []error{proactor.ErrInbound, nil, nil} {
			if err := must.Take(t, "Unread", errs); !errors.Is(err, want) {
				t.Fatalf("%v, want %v", err, want)
			}
		}
		must.Send(t, peer, []byte("three\n"))
		paused := make(chan int, 1)
		c.Post(func() { paused <- len(next) })
		if n := must.Take(t, "Post", paused); n != 0 {
			t.Errorf("%d messages during the pause", n)
		}
		c.ResumeRead()
		for _, want := range []string{"one", "two", "three"} {
			if got := must.Take(t, want, next); got != want {
				t.Errorf("told %q, want %q", got, want)
			}
		}
		peer.Close()
		r.Ends(proactor.ErrLocalClosed)
	})
}

// Unread is refused outside of callbacks, in Data, and when the stream was cut.
func TestUnreadRefused(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		errs := make(chan error, 3)
		s := r.Serve(proactor.Handler{
			Data: func(c *proactor.Conn, b []byte) int {
				errs <- c.Unread([]byte("x"))
				return len(b)
			},
			Closed: func(c *proactor.Conn, _ error) { errs <- c.Unread([]byte("x")) },
		})
		peer := rig.Client(t, s)
		c := r.Accepted()
		rig.Returned(t, c)
		if err := c.Unread([]byte("x")); err != proactor.ErrNoCallback {
			t.Errorf("outside: %v", err)
		}
		must.Send(t, peer, []byte("y"))
		if err := must.Take(t, "Data", errs); err != proactor.ErrNoCallback {
			t.Errorf("in Data: %v", err)
		}
		peer.Close()
		if err := must.Take(t, "Closed", errs); err != proactor.ErrClosed {
			t.Errorf("in Closed: %v", err)
		}
	})
}

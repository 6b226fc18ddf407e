package sim_test

import (
	"bufio"
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/tests/rig"
)

// Handlers that do a little, call Again and return take turns: nobody is served twice
// while another has something left. All that was received is shown, before Ended.
func TestAgain(t *testing.T) {
	const size = 2000
	for name, handler := range map[string]func(took func(*proactor.Conn, byte, int)) proactor.Handler{
		"Data": func(took func(*proactor.Conn, byte, int)) proactor.Handler {
			return proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
				took(c, p[0], len(p)-1)
				c.Again()
				return 1
			}}
		},
		"Message": func(took func(*proactor.Conn, byte, int)) proactor.Handler {
			left := 0
			return proactor.Handler{
				Split: func(p []byte, eof bool) (int, []byte, error) {
					left = len(p) - 1
					return bufio.ScanBytes(p, eof)
				},
				Message: func(c *proactor.Conn, p []byte) { took(c, p[0], left); c.Again() },
			}
		},
		"PauseAndResume": func(took func(*proactor.Conn, byte, int)) proactor.Handler {
			return proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
				took(c, p[0], len(p)-1)
				c.PauseRead()
				c.ResumeRead()
				return 1
			}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := proactortest.Config{Seeds: testenv.Scaled(20), Network: proactortest.Fair()}
			cfg.Engine.Loops, cfg.Engine.BufferSize = 1, 4<<10
			cfg.Run(t, func(e *proactortest.Env) {
				got, left := map[*proactor.Conn][]byte{}, map[*proactor.Conn]int{}
				var last *proactor.Conn
				h := handler(func(c *proactor.Conn, b byte, rest int) {
					for other, n := range left {
						if last == c && other != c && n > 0 {
							e.Errorf("%d is served twice, while %d has %d bytes left", c.ID(), other.ID(), n)
						}
					}
					got[c] = append(got[c], b)
					left[c], last = rest, c
				})
				ended := 0
				h.Ended = func(c *proactor.Conn, why error) {
					ended++
					if why != proactor.ErrPeerClosed || !bytes.Equal(got[c], must.Pattern(7, size)) {
						e.Errorf("Ended with %v after %d bytes of %d", why, len(got[c]), size)
					}
					c.Write([]byte("done"))
					c.Close()
				}
				s := e.Serve(&proactor.Server{Handler: h})
				var clients []*proactortest.Client
				for range 3 {
					c := e.Dial(s)
					c.Send(string(must.Pattern(7, size)))
					c.CloseWrite()
					clients = append(clients, c)
				}
				for _, c := range clients {
					c.Expect("done")
					c.ExpectEnd()
				}
				if ended != len(clients) {
					e.Errorf("%d of %d have ended", ended, len(clients))
				}
			})
		})
	}
}

// A peer that sends more than a handler takes in its turns is not read meanwhile.
func TestAgainIsBounded(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		const size, piece = 16 << 20, 8 << 10
		most, got := 0, 0
		all := make(chan struct{})
		s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
			most = max(most, len(p))
			n := min(len(p), piece)
			if got += n; got == size {
				c.Close()
				close(all)
			}
			c.Again()
			return n
		}}, rig.Limits(proactor.Limits{MaxMessage: 64 << 10}))
		peer := rig.Client(t, s)
		must.Send(t, peer, make([]byte, size))
		must.Take(t, "all of it", all)
		peer.Close() // which the server's close awaits
		r.Ends(proactor.ErrLocalClosed)
		if most > 4<<20 {
			t.Errorf("%d bytes were kept", most)
		}
	})
}

// Again and ResumeRead from elsewhere show what was kept, once there is something.
func TestAgainFromOutside(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		shown := make(chan string, 100)
		s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int { shown <- string(p); return 0 }})
		peer := rig.Client(t, s)
		c := r.Accepted()
		c.Again() // nothing is there
		rig.OnLoop(t, c, func() {})
		must.Send(t, peer, []byte("a"))
		calls := []string{must.Take(t, "a", shown)}
		c.Again()
		calls = append(calls, must.Take(t, "a again", shown))
		rig.OnLoop(t, c, func() { c.PauseRead(); c.ResumeRead() })
		calls = append(calls, must.Take(t, "a after a pause", shown))
		if !slices.Equal(calls, strings.Fields("a a a")) {
			t.Errorf("%q", calls)
		}
		c.Abort()
		c.Again()
		r.Ends(proactor.ErrLocalClosed)
		c.Again()
	})
}

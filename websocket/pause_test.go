package websocket_test

import (
	"io"
	"net/http"
	"slices"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/netconn"
	"github.com/proactor-go/proactor/tests/rig"
	"github.com/proactor-go/proactor/websocket"
)

// After PauseRead no message comes before ResumeRead, on a connection that Upgrade has taken over from netconn, too:
// neither when Opened has called it, nor when what was to be sent first is drained.
func TestPauseIsTheUsers(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		var told []string // on the loop
		var now []string  // when it is looked at
		full, drained, last := make(chan *websocket.Conn, 1), make(chan struct{}, 1), make(chan struct{})
		o := &websocket.Options{
			Opened: func(c *websocket.Conn, _ *http.Request) {
				c.Transport().PauseRead()
				c.Transport().Post(func() {
					now = slices.Clone(told)
					c.Transport().ResumeRead()
				})
			},
			Message: func(c *websocket.Conn, _ websocket.Type, p []byte) {
				if told = append(told, string(p)); len(told) > 1 {
					close(last)
					return
				}
				for c.Transport().Writable() {
					c.Write(websocket.Binary, make([]byte, 4<<10))
				}
				c.Transport().PauseRead()
				full <- c
			},
			Drained: func(c *websocket.Conn) {
				c.Transport().Post(func() {
					now = append(now, told...)
					c.Transport().ResumeRead()
					drained <- struct{}{}
				})
			},
		}
		s := &proactor.Server{Network: "tcp4", Addr: "127.0.0.1:0", Engine: r.Engine}
		l, err := netconn.Listen(s)
		if err != nil {
			t.Fatal(err)
		}
		site := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := websocket.Upgrade(w, r, o); err != nil {
				t.Error(err)
			}
		})}
		served := make(chan error, 1)
		go func() { served <- site.Serve(l) }()
		defer func() {
			must.Within(t, "Server.Close", s.Close)
			site.Close()
			<-served
		}()
		peer := must.Dial(t, l.Addr())
		must.Send(t, peer, []byte(request+"\r\n"+in(whole, 0, text, "one")+in(whole, 0, text, "two")))
		must.Take(t, "the first message", full)
		go io.Copy(io.Discard, peer)
		must.Take(t, "Drained", drained)
		must.Take(t, "the last message", last)
		if !slices.Equal(now, []string{"one"}) {
			t.Errorf("told %q before ResumeRead", now)
		}
		peer.Close()
	})
}

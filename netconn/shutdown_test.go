package netconn_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/netconn"
	"github.com/proactor-go/proactor/tests/rig"
)

// One Shutdown answers the request that has begun, while a connection that has left net/http goes on, then ends that.
func TestListenerShutdown(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		echo := proactor.Handler{Data: rig.Echo}
		begun, answer := make(chan struct{}, 1), make(chan struct{})
		mux := http.NewServeMux()
		mux.HandleFunc("/leave", func(w http.ResponseWriter, r *http.Request) {
			nc, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			c, _ := netconn.Of(nc)
			if _, err := c.Attach(&echo, []byte("left")); err != nil {
				t.Error(err)
			}
		})
		mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
			begun <- struct{}{}
			<-answer
			io.WriteString(w, "at last")
		})
		l := listen(t, &proactor.Server{Engine: rig.New(t, backend).Engine})
		web := &http.Server{Handler: mux}
		served := make(chan error, 1)
		go func() { served <- web.Serve(l) }()
		left, slow := must.Dial(t, l.Addr()), must.Dial(t, l.Addr())
		must.Send(t, left, []byte("GET /leave HTTP/1.1\r\nHost: x\r\n\r\n"))
		must.Read(t, left, []byte("left"))
		must.Send(t, slow, []byte("GET /slow HTTP/1.0\r\n\r\n"))
		must.Take(t, "the request", begun)

		ending, ended := make(chan struct{}), make(chan error, 1)
		web.RegisterOnShutdown(func() { close(ending) })
		go func() { ended <- l.Shutdown(must.Context(t), web.Shutdown) }()
		must.Take(t, "Shutdown begins", ending)
		must.Ask(t, left, "goes on")
		close(answer)
		got, err := io.ReadAll(slow)
		if err != nil || len(got) < 7 || string(got[len(got)-7:]) != "at last" {
			t.Errorf("%q, %v", got, err)
		}
		must.ReadEnd(t, left, nil)
		left.Close()
		slow.Close()
		if err := must.Take(t, "Shutdown", ended); err != nil {
			t.Error(err)
		}
		if err := must.Take(t, "Serve", served); err != http.ErrServerClosed {
			t.Error(err)
		}
	})
}

// The service has half of the time, and what it leaves is ended by the server all the same.
func TestListenerShutdownShares(t *testing.T) {
	l := listen(t, &proactor.Server{Engine: rig.New(t, "").Engine})
	ctx := must.Context(t)
	peer := must.Dial(t, l.Addr())
	c := accept(t, l)
	err := l.Shutdown(ctx, func(half context.Context) error {
		all, _ := ctx.Deadline()
		if end, ok := half.Deadline(); !ok || !end.Before(all) {
			t.Errorf("it ends at %v, all at %v", end, all)
		}
		c.Close()
		peer.Close()
		return errors.New("this is not told")
	})
	if err != nil {
		t.Error(err)
	}
	if err := l.Shutdown(context.Background(), func(all context.Context) error {
		if _, ok := all.Deadline(); ok {
			t.Error("nobody has set a deadline")
		}
		return nil
	}); err != nil && err != proactor.ErrServerClosed {
		t.Error(err)
	}
}

package lifecycle_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/tests/rig"
	"github.com/proactor-go/proactor/work"
)

// requests are what clients have asked when the server is shut down: all of the first part, and
// the answer to it was read if the second is nil. The second is sent when the server has
// begun to end. The answer to a path "/wait" is made after that, too.
var requests = map[string][2][]byte{
	"idle":      {[]byte("GET /idle HTTP/1.1\r\nHost: x\r\n\r\n"), nil},
	"body":      {[]byte("POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nhalf"), []byte("half")},
	"answering": {[]byte("POST /wait HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"), {}},
}

// draining is a server of package net/http, or one of ours, that is about to be shut down.
type draining struct {
	addr     net.Addr
	began    chan struct{} // a request has begun to come
	stopping chan struct{} // closed when Shutdown has begun
	shutdown func(context.Context) error
}

func newDraining() *draining {
	return &draining{began: make(chan struct{}, 100), stopping: make(chan struct{})}
}

// answer is the body of an answer. It waits as the path says.
func (d *draining) answer(path string, body []byte) []byte {
	d.began <- struct{}{}
	if path == "/wait" {
		<-d.stopping
	}
	return fmt.Appendf(nil, "%s %s", path, bytes.ToUpper(body))
}

// seen is what a client sees of a server that is shut down in the middle of its request.
func (d *draining) seen(t *testing.T, request [2][]byte) string {
	t.Helper()
	c := must.Dial(t, d.addr)
	defer c.Close()
	read := bufio.NewReader(c)
	answer := func() string {
		r, err := http.ReadResponse(read, nil)
		if err != nil {
			return fmt.Sprintf("no answer: %v", err)
		}
		body, err := io.ReadAll(r.Body)
		return fmt.Sprintf("%d %q %v", r.StatusCode, body, err)
	}
	must.Send(t, c, request[0])
	must.Take(t, "the request", d.began)
	said := ""
	if request[1] == nil {
		said = answer()
	}
	down := make(chan error, 1)
	go func() { down <- d.shutdown(must.Context(t)) }()
	must.Take(t, "Shutdown's beginning", d.stopping)
	if request[1] != nil {
		must.Send(t, c, request[1])
		said = answer()
	}
	_, err := read.ReadByte()
	c.Close()
	return fmt.Sprintf("%s, then %v; Shutdown: %v", said, err, must.Take(t, "Shutdown", down))
}

// byNetHTTP is a server of package net/http.
func byNetHTTP(t *testing.T) *draining {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := newDraining()
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > 4 {
			d.began <- struct{}{} // the rest is awaited below
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("a body: %v", err)
		}
		w.Write(d.answer(r.URL.Path, body))
	})}
	srv.RegisterOnShutdown(func() { close(d.stopping) })
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	d.addr = l.Addr()
	d.shutdown = func(ctx context.Context) error {
		err := srv.Shutdown(ctx)
		<-served
		return err
	}
	return d
}

// byOurs is a server of ours, that answers in Message or by workers.
func byOurs(t *testing.T, backend string, workers bool) *draining {
	r, d := rig.New(t, backend), newDraining()
	serve := func(c *proactor.Conn, msg []byte) {
		req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(msg)))
		if err != nil {
			t.Errorf("a request: %v", err)
			return
		}
		body, _ := io.ReadAll(req.Body)
		answer := d.answer(req.URL.Path, body)
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(answer), answer)
	}
	var once sync.Once
	h := proactor.Handler{Split: d.split, Stopping: func(*proactor.Conn) { once.Do(func() { close(d.stopping) }) }}
	if workers {
		pool, err := work.New(work.Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := pool.Shutdown(must.Context(t)); err != nil {
				t.Errorf("the pool: %v", err)
			}
		})
		h = pool.Handler(work.Handler{Handler: h, Serve: func(_ context.Context, r work.Request) error {
			serve(r.Conn, r.Msg)
			return nil
		}})
	} else {
		h.Message = serve
	}
	s := r.Serve(h)
	d.addr, d.shutdown = s.ListenAddr(), s.Shutdown
	return d
}

// split cuts a request off, its body included.
func (d *draining) split(p []byte, _ bool) (int, []byte, error) {
	head, _, ok := bytes.Cut(p, []byte("\r\n\r\n"))
	if !ok {
		return 0, nil, nil
	}
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(p)))
	if err != nil {
		return 0, nil, err
	}
	n := len(head) + 4 + int(req.ContentLength)
	if len(p) < n {
		d.began <- struct{}{}
		return 0, nil, nil
	}
	return n, p[:n], nil
}

// A client whose server is shut down sees what one of net/http sees: the request in the
// middle of which it is gets its answer, and the connection ends in good order after that,
// or at once where there is none. The rest of its headers net/http does not wait for; we do.
func TestShutdownIsThatOfNetHTTP(t *testing.T) {
	want := map[string]string{}
	for name, request := range requests {
		want[name] = byNetHTTP(t).seen(t, request)
	}
	rig.Each(t, func(t *testing.T, backend string) {
		for name, request := range requests {
			for _, workers := range []bool{false, true} {
				if name == "answering" && !workers {
					continue // a callback does not wait
				}
				t.Run(fmt.Sprintf("%s,workers=%v", name, workers), func(t *testing.T) {
					if got := byOurs(t, backend, workers).seen(t, request); got != want[name] {
						t.Errorf("a client sees %s\nwith net/http %s", got, want[name])
					}
				})
			}
		}
	})
	for name, answer := range map[string]string{"idle": `200 "/idle "`, "body": `200 "/body HALFHALF"`, "answering": `200 "/wait BODY"`} {
		if say := answer + " <nil>, then EOF; Shutdown: <nil>"; want[name] != say {
			t.Errorf("with net/http a client sees %s, want %s", want[name], say)
		}
	}
}

package netconn_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/netconn"
	"github.com/proactor-go/proactor/tests/rig"
)

// site is net/http on a listener of netconn.
type site struct {
	*http.Server
	at     net.Addr
	served chan error
}

func serve(t *testing.T, e *proactor.Engine, h http.Handler) *site {
	t.Helper()
	return serveOn(t, &proactor.Server{Engine: e}, h)
}

func serveOn(t *testing.T, srv *proactor.Server, h http.Handler) *site {
	t.Helper()
	l := listen(t, srv)
	s := &site{&http.Server{Handler: h, ErrorLog: log.New(t.Output(), "net/http: ", 0)}, l.Addr(), make(chan error, 1)}
	go func() { s.served <- s.Serve(l) }()
	return s
}

func (s *site) url() *url.URL { return &url.URL{Scheme: "http", Host: s.at.String()} }

// end shuts the server down.
func (s *site) end(t *testing.T) {
	t.Helper()
	if err := s.Shutdown(must.Context(t)); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := must.Take(t, "Serve", s.served); err != http.ErrServerClosed {
		t.Errorf("Serve: %v", err)
	}
}

// client is net/http over a dialer of netconn. Whatever it waits for ends in time.
func client(t *testing.T, e *proactor.Engine) *http.Client {
	d := netconn.Dialer{Engine: e}
	transport := &http.Transport{DialContext: d.DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: must.Lifetime}
}

// echoBody answers a request with its body.
func echoBody(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Write(b)
}

// Requests that follow each other on one connection, one that came in the same packet included.
func TestHTTPKeepAlive(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		s := serve(t, rig.New(t, backend).Engine, http.HandlerFunc(echoBody))
		peer := must.Dial(t, s.at)
		from := bufio.NewReader(peer)
		const request = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
		for _, n := range []int{1, 1, 3} {
			must.Send(t, peer, []byte(strings.Repeat(request, n)))
			for range n {
				answered(t, from, "hello")
			}
		}
		s.end(t)
		if _, err := from.ReadByte(); err != io.EOF {
			t.Errorf("after Shutdown, an idle connection: %v", err)
		}
		peer.Close()
	})
}

// answered reads a response.
func answered(t *testing.T, from *bufio.Reader, want string) {
	t.Helper()
	r, err := http.ReadResponse(from, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if got, err := io.ReadAll(r.Body); err != nil || string(got) != want || r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %q, %v; want %q", r.Status, got, err, want)
	}
}

// 30 MB up and down, by a ReverseProxy, and net/http on all four ends.
func TestHTTPLarge(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		e := rig.New(t, backend).Engine
		origin := serve(t, e, http.HandlerFunc(echoBody))
		proxy := httputil.NewSingleHostReverseProxy(origin.url())
		proxy.Transport = client(t, e).Transport
		front := serve(t, e, proxy)
		client := client(t, e)
		sent := must.Pattern(5, testenv.Scaled(30<<20))
		for _, body := range [][]byte{sent, sent[:100], nil} {
			r, err := client.Post(front.url().String(), "application/octet-stream", bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r.Body)
			r.Body.Close()
			if err != nil || !bytes.Equal(got, body) {
				t.Fatalf("%s: %d of %d bytes came back: %v", r.Status, len(got), len(body), err)
			}
		}
		front.end(t)
		proxy.Transport.(*http.Transport).CloseIdleConnections()
		origin.end(t)
	})
}

// With Server.TLS and Dialer.TLS net/http has a *tls.Conn on both ends: it speaks the protocol that
// was agreed on, and has Request.TLS.
func TestHTTPOverTLS(t *testing.T) {
	body := must.Pattern(7, testenv.Scaled(1<<20))
	rig.Each(t, func(t *testing.T, backend string) {
		e := rig.New(t, backend).Engine
		serves, dials := rig.TLS()
		serves.NextProtos = []string{"h2", "http/1.1"}
		s := serveOn(t, &proactor.Server{Engine: e, TLS: serves}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.TLS == nil || !r.TLS.HandshakeComplete || r.TLS.ServerName != "server" {
				t.Errorf("Request.TLS is %+v", r.TLS)
			}
			echoBody(w, r)
		}))
		at := s.url()
		at.Scheme = "https"
		for major, proto := range map[int]string{1: "http/1.1", 2: "h2"} {
			dials := dials.Clone()
			dials.NextProtos = []string{proto}
			d := netconn.Dialer{Engine: e, TLS: dials}
			client := &http.Client{Transport: &http.Transport{DialTLSContext: d.DialContext, ForceAttemptHTTP2: major == 2}, Timeout: must.Lifetime}
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					r, err := client.Post(at.String(), "application/octet-stream", bytes.NewReader(body))
					if err != nil {
						t.Error(err)
						return
					}
					got, err := io.ReadAll(r.Body)
					r.Body.Close()
					if err != nil || !bytes.Equal(got, body) || r.ProtoMajor != major {
						t.Errorf("%s %s: %d of %d bytes came back: %v", r.Proto, r.Status, len(got), len(body), err)
					}
				})
			}
			all.Wait()
			client.CloseIdleConnections()
		}
		s.end(t)
	})
}

// tls.Conn over a Conn, as ServeTLS makes it, speaks HTTP/2: many requests at once on one connection.
func TestHTTP2(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		e := rig.New(t, backend).Engine
		serves, dials := rig.TLS()
		l := listen(t, &proactor.Server{Engine: e})
		s := &site{&http.Server{Handler: http.HandlerFunc(echoBody), TLSConfig: serves}, l.Addr(), make(chan error, 1)}
		go func() { s.served <- s.ServeTLS(l, "", "") }()
		client := client(t, e)
		client.Transport.(*http.Transport).TLSClientConfig = dials
		client.Transport.(*http.Transport).ForceAttemptHTTP2 = true
		body := must.Pattern(7, testenv.Scaled(1<<20))
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				r, err := client.Post("https://"+s.at.String(), "application/octet-stream", bytes.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(r.Body)
				r.Body.Close()
				if err != nil || !bytes.Equal(got, body) || r.ProtoMajor != 2 {
					t.Errorf("%s %s: %d of %d bytes came back: %v", r.Proto, r.Status, len(got), len(body), err)
				}
			})
		}
		all.Wait()
		client.CloseIdleConnections()
		s.end(t)
	})
}

// Events come one by one through a ReverseProxy, while both servers shut down, which wait for the
// request.
func TestHTTPShutdown(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		e := rig.New(t, backend).Engine
		next := make(chan struct{})
		origin := serve(t, e, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for i := range 3 {
				fmt.Fprintf(w, "data: %d\n\n", i)
				w.(http.Flusher).Flush()
				select {
				case <-next:
				case <-r.Context().Done():
				}
			}
		}))
		proxy := httputil.NewSingleHostReverseProxy(origin.url())
		proxy.Transport = client(t, e).Transport
		front := serve(t, e, proxy)
		r, err := client(t, e).Get(front.url().String())
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		must.Read(t, r.Body, []byte("data: 0\n\n"))
		begun, ended := make(chan struct{}, 2), make(chan error, 2)
		for _, s := range []*site{front, origin} {
			s.RegisterOnShutdown(func() { begun <- struct{}{} })
			go func() { ended <- s.Shutdown(must.Context(t)) }()
			must.Take(t, "Shutdown begins", begun)
		}
		for i := 1; i < 3; i++ {
			next <- struct{}{}
			must.Read(t, r.Body, fmt.Appendf(nil, "data: %d\n\n", i))
		}
		if len(ended) != 0 {
			t.Error("Shutdown has not waited for a request")
		}
		next <- struct{}{}
		must.ReadEnd(t, r.Body, nil)
		for range 2 {
			if err := must.Take(t, "Shutdown", ended); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
		}
		for _, s := range []*site{front, origin} {
			if err := must.Take(t, "Serve", s.served); err != http.ErrServerClosed {
				t.Errorf("Serve: %v", err)
			}
		}
	})
}

// A connection that net/http has given up goes on as a handler's, and Shutdown does not end it.
func TestHTTPHijackThenAttach(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		echo := proactor.Handler{Data: rig.Echo}
		attach := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			nc, rw, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			c, ok := netconn.Of(nc)
			if !ok {
				t.Errorf("a %T has no Conn", nc)
				return
			}
			ahead, _ := rw.Reader.Peek(rw.Reader.Buffered())
			if _, err := c.Attach(&echo, ahead); err != nil {
				t.Error(err)
			}
		})
		serves, dials := rig.TLS()
		for _, config := range []*tls.Config{nil, serves} {
			s := serveOn(t, &proactor.Server{Engine: rig.New(t, backend).Engine, TLS: config}, attach)
			peer := must.Dial(t, s.at)
			if config != nil {
				peer = tls.Client(peer, dials)
			}
			must.Send(t, peer, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\nahead"))
			must.Read(t, peer, []byte("ahead"))
			must.Ask(t, peer, "and more")
			s.end(t)
			must.Ask(t, peer, "after Shutdown")
			peer.Close()
		}
	})
}

// A client that goes away ends the context of its request, and a body that it has not sent whole.
func TestHTTPClientGone(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		ended := make(chan error, 1)
		s := serve(t, rig.New(t, backend).Engine, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			<-r.Context().Done()
			ended <- err
		}))
		for body, want := range map[string]error{"": nil, "Content-Length: 9\r\n\r\nhello": io.ErrUnexpectedEOF} {
			peer := must.Dial(t, s.at)
			must.Send(t, peer, []byte("POST / HTTP/1.1\r\nHost: x\r\n"+body))
			if body == "" {
				must.Send(t, peer, []byte("\r\n"))
			}
			peer.Close()
			if err := must.Take(t, "the request's end", ended); err != want {
				t.Errorf("%q: the body ends with %v, want %v", body, err, want)
			}
		}
		s.end(t)
	})
}

//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/admin"
	"github.com/proactor-go/proactor/frame"
	"github.com/proactor-go/proactor/metrics"
	sample "github.com/proactor-go/proactor/samples/broadcast"
	"github.com/proactor-go/proactor/samples/hello"
	"github.com/proactor-go/proactor/samples/packet"
	"github.com/proactor-go/proactor/samples/proxy"
	"github.com/proactor-go/proactor/work"
)

// This project serves with the default limits, and where there is a sample of
// what is asked for, that sample is measured.

func onEngine(cfg proactor.Config, serve func(*proactor.Engine, task) error, t task) error {
	e, err := proactor.NewEngine(cfg)
	if err != nil {
		return err
	}
	return serve(e, t)
}

func echoServer(e *proactor.Engine, t task) *proactor.Server {
	return &proactor.Server{Addr: t.Addr, Engine: e, Handler: proactor.Handler{
		Data: func(c *proactor.Conn, p []byte) int { c.WriteLent(p); return len(p) },
	}}
}

func proactorEcho(e *proactor.Engine, t task) error { return echoServer(e, t).ListenAndServe() }

// scrapeEvery is how often a server with metrics is asked for them: Prometheus asks every 15 s or so.
const scrapeEvery = 100 * time.Millisecond

// proactorMetered is proactorEcho with metrics of the engine and the server, which are gathered and written as text.
func proactorMetered(backend string) func(task) error {
	return func(t task) error {
		return onEngine(proactor.Config{Backend: backend, Loops: t.Loops}, func(e *proactor.Engine, t task) error {
			s := echoServer(e, t)
			r := prometheus.NewRegistry()
			r.MustRegister(metrics.Engine(e), metrics.Server("echo", s))
			page := promhttp.HandlerFor(r, promhttp.HandlerOpts{})
			go func() {
				for range time.Tick(scrapeEvery) {
					page.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/metrics", nil))
				}
			}()
			return s.ListenAndServe()
		}, t)
	}
}

// proactorWatched is proactorEcho whose page for operators somebody has open.
func proactorWatched(backend string) func(task) error {
	return func(t task) error {
		return onEngine(proactor.Config{Backend: backend, Loops: t.Loops}, func(e *proactor.Engine, t task) error {
			s := echoServer(e, t)
			page, err := admin.Listen("127.0.0.1:0", e, admin.Options{Servers: map[string]*proactor.Server{"echo": s}})
			if err != nil {
				return err
			}
			go view(page.URL())
			return s.ListenAndServe()
		}, t)
	}
}

// view asks for what the page asks for: the status each second and, as if somebody turned the pages of the
// table each second, a part of the list of connections.
func view(page string) error {
	events, err := http.Get(page + "events")
	if err != nil {
		return err
	}
	defer events.Body.Close()
	lines := bufio.NewScanner(events.Body)
	for from := 0; lines.Scan(); {
		if !strings.HasPrefix(lines.Text(), "data: ") {
			continue
		}
		list, err := http.Get(fmt.Sprintf("%sconns?search=&sort=-bytes_in&from=%d&limit=50", page, from))
		if err != nil {
			return err
		}
		io.Copy(io.Discard, list.Body)
		list.Body.Close()
		from += 50
	}
	return lines.Err()
}

// proactorReusePort accepts on each loop.
func proactorReusePort(backend string) func(task) error {
	return func(t task) error {
		return onEngine(proactor.Config{Backend: backend, Loops: t.Loops}, func(e *proactor.Engine, t task) error {
			s := echoServer(e, t)
			s.ReusePort = true
			return s.ListenAndServe()
		}, t)
	}
}

// proactorWritten answers as most handlers do, whose answers are no part of what came.
func proactorWritten(e *proactor.Engine, t task) error {
	s := &proactor.Server{Addr: t.Addr, Engine: e, Handler: proactor.Handler{
		Data: func(c *proactor.Conn, p []byte) int { c.Write(p); return len(p) },
	}}
	return s.ListenAndServe()
}

// proactorWorked has workers send the messages back, header and all.
func proactorWorked(e *proactor.Engine, t task) error {
	pool, err := work.New(work.Config{})
	if err != nil {
		return err
	}
	s := &proactor.Server{Addr: t.Addr, Engine: e, Handler: pool.Handler(work.Handler{
		Handler: proactor.Handler{Split: frame.Length{Bytes: headerSize, Whole: true, Max: maxMessage}.Split},
		Serve: func(_ context.Context, r work.Request) error {
			_, err := r.Conn.Write(r.Msg)
			return err
		},
	})}
	return s.ListenAndServe()
}

// proactorSpin never blocks as long as there is something to do now and then.
func proactorSpin(t task) error {
	return onEngine(proactor.Config{Backend: "uring", Loops: t.Loops, Spin: 10 * time.Millisecond}, proactorEcho, t)
}

func proactorFramed(e *proactor.Engine, t task) error {
	s, err := packet.New(packet.Options{Addr: t.Addr, Engine: e, Header: headerSize, Order: binary.BigEndian, BodyOnly: true})
	if err != nil {
		return err
	}
	return s.ListenAndServe()
}

func proactorBroadcast(e *proactor.Engine, t task) error {
	s := sample.New(sample.Options{Addr: t.Addr, Engine: e})
	if err := s.Listen(); err != nil {
		return err
	}
	return s.Wait()
}

func proactorWeb(e *proactor.Engine, t task) error {
	return hello.New(hello.Options{Addr: t.Addr, Engine: e}).ListenAndServe()
}

func proactorRelay(e *proactor.Engine, t task) error {
	s, err := proxy.New(proxy.Options{Addr: t.Addr, To: t.To, Engine: e})
	if err != nil {
		return err
	}
	return s.ListenAndServe()
}

func proactorRelayTLS(e *proactor.Engine, t task) error {
	s, err := proxy.New(proxy.Options{Addr: t.Addr, To: t.To, Engine: e})
	if err != nil {
		return err
	}
	if s.TLS, err = serverTLS(); err != nil {
		return err
	}
	return s.ListenAndServe()
}

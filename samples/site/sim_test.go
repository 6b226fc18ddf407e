package site

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/samples/echotest"
)

// net/http and the WebSockets behind it, on simulated networks: pages and echoes on connections that
// stay, and a clock for an hour. A request that does not end keeps nobody from hearing of the shutdown.
func TestSimulated(t *testing.T) {
	proactortest.Config{Seeds: testenv.Scaled(10)}.Run(t, func(e *proactortest.Env) {
		s, err := New(Options{Addr: "127.0.0.1:0", Engine: e.Engine, Log: echotest.Quiet()})
		if err != nil {
			e.Fatal(err)
		}
		s.tick, s.web.ReadTimeout, s.web.IdleTimeout = time.Minute, time.Hour, time.Hour
		s.echo.PingInterval = 0 // which nobody here would answer
		if err := s.Listen(); err != nil {
			e.Fatal(err)
		}
		pages, clock := e.Dial(s.Server), e.Dial(s.Server)
		in := bufio.NewReader(pages)
		for range 5 {
			pages.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			r, err := http.ReadResponse(in, nil)
			if err != nil {
				e.Fatal(err)
			}
			if body, err := io.ReadAll(r.Body); err != nil || r.StatusCode != http.StatusOK || int64(len(body)) != r.ContentLength {
				e.Errorf("%s, %d bytes, %v", r.Status, len(body), err)
			}
		}
		pages.Send("GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" +
			"\x81\x82\x00\x00\x00\x00hi") // behind the request
		if r, err := http.ReadResponse(in, nil); err != nil || r.StatusCode != http.StatusSwitchingProtocols {
			e.Fatalf("%v, %v", r, err)
		}
		pages.Send("\x82\x85\x01\x01\x01\x01idmmn")
		echoes := make([]byte, 4+7)
		if _, err := io.ReadFull(in, echoes); err != nil || string(echoes) != "\x81\x02hi\x82\x05hello" {
			e.Errorf("%q, %v", echoes, err)
		}

		begun := time.Now()
		clock.Send("GET /clock HTTP/1.1\r\nHost: x\r\n\r\n")
		clock.SetReadDeadline(begun.Add(24 * time.Hour))
		r, err := http.ReadResponse(bufio.NewReader(clock), nil)
		if err != nil {
			e.Fatal(err)
		}
		heard := bufio.NewReader(r.Body)
		hearTime(e.T, heard, 60)
		if d := time.Since(begun); d < 59*time.Minute || d > 62*time.Minute {
			e.Errorf("60 events within %v", d)
		}
		stuck := e.Dial(s.Server)
		stuck.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
		e.Sleep(time.Minute)
		ended := make(chan error, 1)
		e.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 40*time.Minute)
			defer cancel()
			ended <- s.Shutdown(ctx)
		})
		pages.SetReadDeadline(time.Now().Add(24 * time.Hour))
		if rest, err := io.ReadAll(heard); err != nil || len(rest) > 100 {
			e.Errorf("%q, %v", rest, err)
		}
		if bye, err := io.ReadAll(in); err != nil || string(bye) != "\x88\x02\x03\xe9" {
			e.Errorf("%q, %v", bye, err)
		}
		pages.Close()
		clock.Close()
		stuck.Close()
		if err := <-ended; err != nil {
			e.Error(err)
		}
		e.Sleep(time.Minute) // so that nothing of netconn.Listener.Close is left
	})
}

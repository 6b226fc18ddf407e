package websocket_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"log/slog"
	"net/http"
	"strings"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/websocket"
)

// Uploads of any length are hashed as they come. What the server has in memory of one is a hash.
func ExampleOptions_part() {
	type upload struct {
		sum   hash.Hash
		bytes int64
	}
	const most = 1 << 40 // bytes of an upload
	uploads := &websocket.Options{
		Opened: func(c *websocket.Conn, _ *http.Request) { c.SetValue(&upload{sum: sha256.New()}) },
		Part: func(c *websocket.Conn, _ websocket.Type, p []byte, last bool) {
			u := c.Value().(*upload)
			if u.bytes += int64(len(p)); u.bytes > most {
				c.Close(websocket.StatusTooBig, "")
				return
			}
			if u.sum.Write(p); last {
				c.Write(websocket.Text, fmt.Appendf(nil, "%d bytes, sha256 %x…", u.bytes, u.sum.Sum(nil)[:4]))
				*u = upload{sum: sha256.New()}
			}
		},
	}
	engine, err := proactor.NewEngine(proactor.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer engine.Close()
	srv := &proactor.Server{
		Engine: engine, Network: "tcp4", Addr: "127.0.0.1:0", Handler: websocket.Handler(uploads),
		Limits: proactor.Limits{MaxMessage: 4 << 10}, // which does not bound what comes in parts
	}
	if err := srv.Listen(); err != nil {
		fmt.Println(err)
		return
	}

	done := make(chan struct{})
	client, err := websocket.Dial(context.Background(), &proactor.Dialer{Engine: engine}, "ws://"+srv.ListenAddr().String(), nil, &websocket.Options{
		Message: func(c *websocket.Conn, _ websocket.Type, p []byte) {
			fmt.Printf("%s\n", p)
			c.Close(websocket.StatusNormal, "")
		},
		Closed: func(*websocket.Conn, error) { close(done) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	client.Write(websocket.Binary, []byte(strings.Repeat("0123456789", 50_000)))
	<-done
	// Output: 500000 bytes, sha256 2a2adcff…
}

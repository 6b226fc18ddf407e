// Command websocket sends back the messages that it gets or, with -all, sends them to all who are connected.
//
//	go run ./examples/websocket                # in one terminal
//
// In a browser's console: w = new WebSocket("ws://127.0.0.1:8080"); w.onmessage = e => console.log(e.data)
// and then w.send("hello"). A page from elsewhere is another origin, so the server has to be told.
package main

import (
	"context"
	"flag"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/websocket"
)

func main() {
	addr := flag.String("listen", "127.0.0.1:8080", "address to listen on")
	toAll := flag.Bool("all", false, "send messages to all")
	flag.Parse()
	echo := &websocket.Options{
		Message:      func(c *websocket.Conn, t websocket.Type, p []byte) { c.WriteLent(t, p) },
		CheckOrigin:  func(*http.Request) bool { return true }, // an echo has nothing to hide
		PingInterval: 30 * time.Second,
	}
	if *toAll {
		var all proactor.Registry[*websocket.Conn]
		echo.Opened = func(c *websocket.Conn, _ *http.Request) { all.Add(c, c.Transport()) }
		echo.Closed = func(c *websocket.Conn, _ error) { all.Remove(c, c.Transport()) }
		echo.Message = func(_ *websocket.Conn, t websocket.Type, p []byte) {
			if m, err := websocket.Prepare(t, p); err == nil {
				websocket.Broadcast(&all, m)
			}
		}
	}
	srv := &proactor.Server{Addr: *addr, Handler: websocket.Handler(echo)}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := srv.Listen(); err != nil {
		log.Fatal(err)
	}
	log.Print("listening on ", srv.ListenAddr())
	<-ctx.Done()
	goodbye, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := srv.Shutdown(goodbye); err != nil { // each client is sent "going away"
		log.Print(err)
	}
}

// Command echo sends back what it gets. It is the server of the README, with an end in
// good order.
//
//	go run ./examples/echo                                            # in one terminal
//	go run ./cmd/proactor load echo --conns 1000 --count 100          # in another
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/proactor-go/proactor"
)

func main() {
	addr := flag.String("listen", "127.0.0.1:5001", "address to listen on")
	flag.Parse()
	srv := &proactor.Server{Addr: *addr, Handler: proactor.Handler{
		Data: func(c *proactor.Conn, p []byte) int { c.Write(p); return len(p) },
	}}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := srv.Listen(); err != nil {
		log.Fatal(err)
	}
	log.Print("listening on ", srv.ListenAddr())
	<-ctx.Done()
	srv.Close()
}

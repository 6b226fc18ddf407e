// Command simulate counts the words of each connection. Its test runs it on a hundred
// simulated networks: slow ones, with small windows, where streams arrive in pieces.
//
//	go run ./examples/simulate
//	go test ./examples/simulate
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/proactor-go/proactor"
)

// handler consumes whole words only. The beginning of a word that has not ended is shown again,
// with more, so a word that arrives in two pieces is counted once.
func handler() proactor.Handler {
	return proactor.Handler{
		Opened: func(c *proactor.Conn) { c.SetValue(new(int)) },
		Data: func(c *proactor.Conn, p []byte) int {
			n := bytes.LastIndexByte(p, ' ') + 1
			*c.Value().(*int) += len(bytes.Fields(p[:n]))
			return n
		},
		Ended: func(c *proactor.Conn, _ error) {
			fmt.Fprintf(c, "%d words\n", *c.Value().(*int))
			c.Close()
		},
	}
}

func main() {
	addr := flag.String("listen", "127.0.0.1:5008", "address to listen on")
	flag.Parse()
	srv := &proactor.Server{Addr: *addr, Handler: handler()}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := srv.Listen(); err != nil {
		log.Fatal(err)
	}
	log.Print("listening on ", srv.ListenAddr())
	<-ctx.Done()
	srv.Close()
}

// Command workers serves requests that block, each on a goroutine of a pool. The loops, and
// so the other connections, do not wait for them.
//
//	go run ./examples/workers
//	nc 127.0.0.1 5005
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/frame"
	"github.com/proactor-go/proactor/work"
)

func main() {
	addr := flag.String("listen", "127.0.0.1:5005", "address to listen on")
	flag.Parse()
	pool, err := work.New(work.Config{Max: 100})
	if err != nil {
		log.Fatal(err)
	}
	srv := &proactor.Server{Addr: *addr, Handler: pool.Handler(work.Handler{
		Handler: proactor.Handler{Split: frame.Delimiter{Delim: "\n", Max: 1000}.Split},
		// Serve may block. The requests of one connection are served one at a time, in
		// their order; those of different connections at the same time.
		Serve: func(ctx context.Context, r work.Request) error {
			select {
			case <-time.After(50 * time.Millisecond): // a database, say
			case <-ctx.Done(): // the client has gone
				return ctx.Err()
			}
			_, err := fmt.Fprintf(r.Conn, "answer %d: %s\n", r.N, r.Msg)
			return err
		},
	})}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := srv.Listen(); err != nil {
		log.Fatal(err)
	}
	log.Print("listening on ", srv.ListenAddr())
	<-ctx.Done()
	srv.Close()                         // the server first,
	pool.Shutdown(context.Background()) // then the pool
}

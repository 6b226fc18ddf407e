// Command web is net/http on the loops: http.Server gets a listener of netconn, and nothing else
// changes.
//
//	go run ./examples/web                     # in one terminal
//	curl http://127.0.0.1:8080/               # in another
package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/netconn"
)

func main() {
	addr := flag.String("listen", "127.0.0.1:8080", "address to listen on")
	flag.Parse()
	l, err := netconn.Listen(&proactor.Server{Addr: *addr, MaxConns: 10_000})
	if err != nil {
		log.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "hello from the loops\n")
	})}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Fatal(err)
		}
	}()
	log.Print("listening on ", l.Addr())
	<-ctx.Done()
	drain, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := l.Shutdown(drain, srv.Shutdown); err != nil { // requests first, then what has left HTTP
		log.Print(err)
	}
}

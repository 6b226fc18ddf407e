// Command port (go run ./examples/port) is an echo on the completion port itself, without the
// framework: start an operation, dequeue its completion, start the next one.
package main

import (
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/proactor-go/proactor/port"
)

// conn is a connection, and the one operation that it has under way: they take turns.
type conn struct {
	op  port.Op
	buf [4096]byte
}

func main() {
	addr := flag.String("listen", "127.0.0.1:5009", "address to listen on")
	flag.Parse()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	p := must(port.Open(port.Config{}))
	go func() { <-signals; p.Post(0, nil) }()
	l := must(p.Associate(must(p.Listen("tcp", *addr, port.SocketOptions{})), 0))
	must(0, p.Accept(new(port.Op), l)) // armed once, for all connections
	log.Print("listening on ", must(p.LocalAddr(l)))
	conns, last := map[uint64]*conn{}, uint64(0)
	for batch := make([]port.Completion, 64); ; {
		for _, e := range batch[:must(p.Dequeue(batch, -1))] {
			switch c := conns[e.Key]; {
			case e.Kind == port.KindPost: // a signal
				must(0, p.Close())
				return
			case e.Kind == port.KindAccept:
				last, c = last+1, new(conn)
				conns[last] = c
				must(0, p.Recv(&c.op, must(p.Associate(must(e.Socket, e.Err), last)), c.buf[:]))
			case e.Kind == port.KindClose: // the last completion of a socket
				delete(conns, e.Key)
			case e.Err != nil: // io.EOF: the peer has closed its side
				must(0, p.CloseSocket(&c.op, c.op.Handle(), false))
			case e.Kind == port.KindRecv:
				must(0, p.Send(&c.op, c.op.Handle(), c.buf[:e.N]))
			case e.Kind == port.KindSend: // all of it is sent
				must(0, p.Recv(&c.op, c.op.Handle(), c.buf[:]))
			}
		}
	}
}
func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

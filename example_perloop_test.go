package proactor_test

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"slices"

	"github.com/proactor-go/proactor"
)

// backends is a pool of connections to a backend, that of one loop. One goroutine makes
// all callbacks of the clients and of the backend's connections there, so none of this
// needs a lock.
type backends struct {
	idle []*proactor.Conn
}

// front asks a backend for each line of its clients, one line of a client at a time.
type front struct {
	backend string // its address
	dialer  proactor.Dialer
	pools   proactor.PerLoop[backends]
}

func newFront(backend string) *front {
	f := &front{backend: backend}
	f.dialer.Handler = proactor.Handler{Split: bufio.ScanLines, Message: f.answered, Closed: f.lost}
	return f
}

// asked passes a client's line to the backend, by a connection that is idle, or else a
// new one.
func (f *front) asked(client *proactor.Conn, line []byte) {
	client.PauseRead() // until it has the answer
	line = append(slices.Clone(line), '\n')
	pool := f.pools.Get(client.Loop())
	if n := len(pool.idle); n > 0 {
		b := pool.idle[n-1]
		pool.idle = pool.idle[:n-1]
		b.SetValue(client)
		b.Write(line)
		return
	}
	f.dialer.DialOn(context.Background(), client.Loop(), "tcp", f.backend, func(b *proactor.Conn, err error) {
		if err != nil {
			client.Abort()
			return
		}
		b.SetValue(client)
		b.Write(line)
	})
}

// answered passes the backend's answer on, and has its connection wait for the next line.
func (f *front) answered(b *proactor.Conn, answer []byte) {
	client, ok := b.Value().(*proactor.Conn)
	if !ok {
		b.Abort() // an answer that nobody has asked for
		return
	}
	client.Writev(answer, []byte("\n"))
	client.ResumeRead()
	b.SetValue(nil)
	pool := f.pools.Get(b.Loop())
	pool.idle = append(pool.idle, b)
}

// lost takes a connection that has closed out of the pool. A client that waits for its
// answer gets none.
func (f *front) lost(b *proactor.Conn, _ error) {
	if client, ok := b.Value().(*proactor.Conn); ok {
		client.Abort()
	}
	pool := f.pools.Get(b.Loop())
	if i := slices.Index(pool.idle, b); i >= 0 {
		pool.idle = slices.Delete(pool.idle, i, i+1)
	}
}

// A pool of connections to a backend for each loop. Clients and the connections that
// serve them are on one loop, so the pool needs no lock.
func ExamplePerLoop() {
	engine, err := proactor.NewEngine(proactor.Config{Loops: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	backend := &proactor.Server{Addr: "127.0.0.1:0", Engine: engine, Handler: proactor.Handler{
		Split:   bufio.ScanLines,
		Message: func(c *proactor.Conn, line []byte) { fmt.Fprintf(c, "%d bytes\n", len(line)) },
	}}
	if err := backend.Listen(); err != nil {
		log.Fatal(err)
	}
	f := newFront(backend.ListenAddr().String())
	srv := &proactor.Server{Addr: "127.0.0.1:0", Engine: engine, Handler: proactor.Handler{Split: bufio.ScanLines, Message: f.asked}}
	if err := srv.Listen(); err != nil {
		log.Fatal(err)
	}
	for _, lines := range []string{"one\nthree\n", "twenty-three\n"} {
		fmt.Print(exchange(srv.ListenAddr(), lines))
	}
	fmt.Println("connections to the backend:", backend.Conns())
	// Output:
	// 3 bytes
	// 5 bytes
	// 12 bytes
	// connections to the backend: 1
}

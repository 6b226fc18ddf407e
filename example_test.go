package proactor_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/frame"
)

// exchange stands for somebody else's program: it sends, closes its sending
// side, and gives all that comes back.
func exchange(to net.Addr, text string) string {
	c, err := net.Dial(to.Network(), to.String())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, text)
	c.(*net.TCPConn).CloseWrite()
	answer, err := io.ReadAll(c)
	if err != nil {
		log.Fatal(err)
	}
	return string(answer)
}

func Example() {
	srv := &proactor.Server{Addr: "127.0.0.1:0", Handler: proactor.Handler{
		Data: func(c *proactor.Conn, p []byte) int { c.Write(p); return len(p) },
	}}
	if err := srv.Listen(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(exchange(srv.ListenAddr(), "hello"))
	fmt.Println(srv.Shutdown(context.Background()))
	// Output:
	// hello
	// <nil>
}

// A whole life: every callback, who ended the connection, and an orderly end
// of the server within a second.
func ExampleServer() {
	closed := make(chan error, 1)
	srv := &proactor.Server{
		Addr: "127.0.0.1:0",
		Handler: proactor.Handler{
			Opened: func(c *proactor.Conn) { c.Write([]byte("welcome, ")) },
			Data:   func(c *proactor.Conn, p []byte) int { c.Write(p); return len(p) },
			Closed: func(_ *proactor.Conn, cause error) { closed <- cause },
		},
		Limits: proactor.Limits{IdleTimeout: time.Minute},
	}
	if err := srv.Listen(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(exchange(srv.ListenAddr(), "stranger"))
	fmt.Println(errors.Is(<-closed, proactor.ErrPeerClosed))

	drain, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	fmt.Println(srv.Shutdown(drain))
	// Output:
	// welcome, stranger
	// true
	// <nil>
}

// What becomes of a Write for which there is no room is the policy's. With
// RejectWrites it fails, and nothing of it is sent.
func ExampleConn_Write() {
	refused := make(chan error, 1)
	srv := &proactor.Server{
		Addr: "127.0.0.1:0",
		Handler: proactor.Handler{Opened: func(c *proactor.Conn) {
			var err error
			for err == nil { // within a callback nothing is sent meanwhile
				_, err = c.Write(make([]byte, 64<<10))
			}
			refused <- err
			c.Close()
		}},
		Limits: proactor.Limits{MaxPending: 1 << 20, Overflow: proactor.RejectWrites},
	}
	if err := srv.Listen(); err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	n := len(exchange(srv.ListenAddr(), ""))
	fmt.Println(errors.Is(<-refused, proactor.ErrBacklog), n <= 1<<20+64<<10)
	// Output: true true
}

// The stream is cut into lines, however they arrive.
func ExampleHandler_split() {
	srv := &proactor.Server{Addr: "127.0.0.1:0", Handler: proactor.Handler{
		NewSplit: func() bufio.SplitFunc { return frame.Line(1000).Splitter() },
		Message:  func(c *proactor.Conn, line []byte) { fmt.Fprintf(c, "<%s>", line) },
		Ended: func(c *proactor.Conn, why error) {
			var long *frame.TooLongError
			if errors.As(why, &long) {
				c.Write([]byte("too long"))
			}
			c.Close()
		},
	}}
	if err := srv.Listen(); err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	fmt.Println(exchange(srv.ListenAddr(), "one\r\ntwo\r\n"))
	fmt.Println(exchange(srv.ListenAddr(), "one\r\n"+string(make([]byte, 2000))))
	// Output:
	// <one><two>
	// <one>too long
}

// A message is parsed once: what the first function makes of it is what the second gets.
func ExampleMessages() {
	type point struct{ x, y byte }
	parse := func(_ *proactor.Conn, data []byte, eof bool) (advance int, p point, err error) {
		switch {
		case len(data) >= 2:
			return 2, point{data[0] - '0', data[1] - '0'}, nil
		case eof:
			return 0, p, io.ErrUnexpectedEOF
		}
		return 0, p, nil
	}
	srv := &proactor.Server{Addr: "127.0.0.1:0", Handler: proactor.Messages(parse, func(c *proactor.Conn, p point) {
		fmt.Fprintf(c, "<%d %d>", p.x, p.y)
	})}
	if err := srv.Listen(); err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	fmt.Println(exchange(srv.ListenAddr(), "123456"))
	// Output: <1 2><3 4><5 6>
}

// Outbound connections have the same callbacks, on the same engine.
func ExampleDialer_Dial() {
	engine, err := proactor.NewEngine(proactor.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	srv := &proactor.Server{Addr: "127.0.0.1:0", Engine: engine, Handler: proactor.Handler{
		Data: func(c *proactor.Conn, p []byte) int { c.Write(p); return len(p) },
	}}
	if err := srv.Listen(); err != nil {
		log.Fatal(err)
	}
	answer := make(chan string, 1)
	d := &proactor.Dialer{Engine: engine, Timeout: 10 * time.Second, Handler: proactor.Handler{
		Data: func(c *proactor.Conn, p []byte) int {
			if len(p) < 5 {
				return 0 // shown again with more
			}
			answer <- string(p)
			c.Close()
			return len(p)
		},
	}}
	c, err := d.Dial(context.Background(), "tcp", srv.ListenAddr().String())
	if err != nil {
		log.Fatal(err)
	}
	c.Write([]byte("hello"))
	fmt.Println(<-answer)
	// Output: hello
}

// A redialer dials until the server is there, and again whenever it was lost.
func ExampleRedialer() {
	engine, err := proactor.NewEngine(proactor.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	srv := &proactor.Server{Addr: "127.0.0.1:0", Engine: engine}
	if err := srv.Listen(); err != nil {
		log.Fatal(err)
	}
	up := make(chan uint64)
	k := &proactor.Redialer{
		Dialer: &proactor.Dialer{Engine: engine, Handler: proactor.Handler{
			Opened: func(c *proactor.Conn) { go func() { up <- c.ID() }() },
		}},
		Network: "tcp", Address: srv.ListenAddr().String(), MinWait: time.Millisecond,
	}
	if err := k.Start(); err != nil {
		log.Fatal(err)
	}
	defer k.Stop()
	first := <-up
	k.Conn().Abort() // as if the network had cut it
	fmt.Println(<-up != first)
	// Output: true
}

// One payload for many receivers, which are kept by a key.
func ExampleRegistry_Broadcast() {
	var users proactor.Registry[uint64]
	joined := make(chan struct{})
	srv := &proactor.Server{
		Addr: "127.0.0.1:0",
		Handler: proactor.Handler{
			Opened: func(c *proactor.Conn) { users.Add(c.ID(), c); joined <- struct{}{} },
			Closed: func(c *proactor.Conn, _ error) { users.Remove(c.ID(), c) },
		},
		Limits: proactor.Limits{Overflow: proactor.CloseSlow},
	}
	if err := srv.Listen(); err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	var receivers []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", srv.ListenAddr().String())
		if err != nil {
			log.Fatal(err)
		}
		defer c.Close()
		<-joined
		receivers = append(receivers, c)
	}
	fmt.Println(users.Broadcast([]byte("news\n")))
	for _, c := range receivers {
		line, _ := bufio.NewReader(c).ReadString('\n')
		fmt.Print(line)
	}
	// Output:
	// 3 false
	// news
	// news
	// news
}

// Each receiver is told in a way of its own, and the one that it is about is not.
func ExampleRegistry_BroadcastFunc() {
	var users proactor.Registry[string]
	joined := make(chan struct{})
	srv := &proactor.Server{Addr: "127.0.0.1:0", Handler: proactor.Handler{
		Split: bufio.ScanLines,
		Message: func(c *proactor.Conn, name []byte) {
			users.Add(string(name), c)
			joined <- struct{}{}
		},
	}}
	if err := srv.Listen(); err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	var receivers []net.Conn
	for _, name := range []string{"operator", "bob", "ann"} {
		c, err := net.Dial("tcp", srv.ListenAddr().String())
		if err != nil {
			log.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintln(c, name)
		<-joined
		receivers = append(receivers, c)
	}
	public, secret := []byte("ann has come\n"), []byte("ann has come from room 7\n")
	fmt.Println(users.BroadcastFunc(func(name string, _ *proactor.Conn) []byte {
		switch name {
		case "ann":
			return nil
		case "operator":
			return secret
		}
		return public
	}))
	for _, c := range receivers[:2] {
		line, _ := bufio.NewReader(c).ReadString('\n')
		fmt.Print(line)
	}
	// Output:
	// 2 false
	// ann has come from room 7
	// ann has come
}

package work_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/frame"
	"github.com/proactor-go/proactor/work"
)

func Example() {
	pool, err := work.New(work.Config{Max: 8})
	if err != nil {
		fmt.Println(err)
		return
	}
	srv := &proactor.Server{Addr: "127.0.0.1:0", Handler: pool.Handler(work.Handler{
		Handler: proactor.Handler{NewSplit: frame.Line(1000).Splitter},
		Serve: func(ctx context.Context, r work.Request) error { // it may block
			_, err := fmt.Fprintf(r.Conn, "%d: %s\r\n", r.N, strings.ToUpper(string(r.Msg)))
			return err
		},
	})}
	if err := srv.Listen(); err != nil {
		fmt.Println(err)
		return
	}

	c, err := net.Dial("tcp", srv.ListenAddr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Fprint(c, "one\r\ntwo\r\nthree\r\n")
	c.(*net.TCPConn).CloseWrite()
	for in := bufio.NewScanner(c); in.Scan(); {
		fmt.Println(in.Text())
	}
	c.Close()

	srv.Shutdown(context.Background())
	pool.Shutdown(context.Background())
	fmt.Println(pool.Stats().Served, "served")
	// Output:
	// 1: ONE
	// 2: TWO
	// 3: THREE
	// 3 served
}

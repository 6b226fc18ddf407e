package proactor_test

import (
	"context"
	"fmt"
	"log"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/proactor-go/proactor"
)

// Connections are counted by what the program knows of them, and those that have been silent for an hour are
// closed.
func ExampleEngine_EachConn() {
	engine, err := proactor.NewEngine(proactor.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	said := make(chan bool)
	srv := &proactor.Server{Addr: "127.0.0.1:0", Engine: engine, Handler: proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
		c.SetValue(string(p)) // the tenant
		said <- true
		return len(p)
	}}}
	if err := srv.Listen(); err != nil {
		log.Fatal(err)
	}
	for _, tenant := range []string{"red", "blue", "red"} {
		c, err := net.Dial("tcp", srv.ListenAddr().String())
		if err != nil {
			log.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, tenant)
		<-said
	}

	count := map[string]int{}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err = engine.EachConn(ctx, func(c *proactor.Conn, info *proactor.ConnInfo) bool {
		if c == nil {
			return true // it is being dialed
		}
		if info.Idle > time.Hour {
			c.Close()
		}
		tenant, _ := c.Value().(string)
		count[tenant]++
		return true
	})
	for _, tenant := range slices.Sorted(maps.Keys(count)) {
		fmt.Println(tenant, count[tenant])
	}
	fmt.Println(err)
	// Output:
	// blue 1
	// red 2
	// <nil>
}

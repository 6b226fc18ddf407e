//go:build linux

package main

import (
	"io"
	"net"
	"net/http"
	"strconv"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/netconn"
	"github.com/proactor-go/proactor/samples/hello"
	"github.com/proactor-go/proactor/websocket"
)

// What is written for package net, on the loops by package netconn, and on package net itself.

// proactorNetconn is this project on one of its backends, by netconn.
func proactorNetconn(backend string) server {
	on := func(serve func(net.Listener) error) func(task) error {
		return func(t task) error {
			return onEngine(proactor.Config{Backend: backend, Loops: t.Loops}, func(e *proactor.Engine, t task) error {
				l, err := netconn.Listen(&proactor.Server{Addr: t.Addr, Engine: e})
				if err != nil {
					return err
				}
				return serve(l)
			}, t)
		}
	}
	upgrade := upgrading(&websocket.Options{Message: echoes})
	return server{name: backend + "-netconn", serves: map[protocol]func(task) error{
		conns: on(echoEach), pages: on(servePages),
		upgrades: on(func(l net.Listener) error { return http.Serve(l, upgrade) }),
	}}
}

// onNet has package net listen.
func onNet(serve func(net.Listener) error) func(task) error {
	return func(t task) error {
		l, err := net.Listen("tcp", t.Addr)
		if err != nil {
			return err
		}
		return serve(l)
	}
}

// echoEach has a goroutine and a buffer for each connection.
func echoEach(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go echoConn(c, 4<<10)
	}
}

// servePages answers every request with the same bytes, those of webAnswer: no Date is in them.
func servePages(l net.Listener) error {
	length := strconv.Itoa(len(hello.Page))
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Date"] = nil
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Length", length)
		io.WriteString(w, hello.Page)
	}))
}

const webRequest = "GET / HTTP/1.1\r\nHost: server.example.com\r\n\r\n"

var webAnswer = "HTTP/1.1 200 OK\r\nContent-Length: " + strconv.Itoa(len(hello.Page)) + "\r\nContent-Type: text/html\r\n\r\n" + hello.Page

// webStreams are requests, and the answers that must come.
func webStreams(w workload, read int) (ask, answer stream) {
	asked, answered := len(webRequest), len(webAnswer)
	return repeated([]byte(webRequest), asked, asked, asked*w.Flight), repeated([]byte(webAnswer), answered, answered, read)
}

func measureConns(b bout) (row, error) { return measureWindows(b, conns) }

func measurePages(b bout) (row, error) { return measureWindows(b, pages) }

func measureIdlePages(b bout) (row, error) { return measureMemory(b, pages) }

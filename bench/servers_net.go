//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"

	"github.com/valyala/fasthttp"

	"github.com/proactor-go/proactor/samples/hello"
	"github.com/proactor-go/proactor/samples/selectecho"
)

// Package net as the books have it: a goroutine for each connection.

// acceptEach gives every connection to serve, in order.
func acceptEach(addr string, serve func(*net.TCPConn)) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		serve(c.(*net.TCPConn))
	}
}

// netEcho has a buffer for each connection.
func netEcho(buffer int) func(task) error {
	return func(t task) error {
		return acceptEach(t.Addr, func(c *net.TCPConn) {
			go echoConn(c, buffer)
		})
	}
}

func echoConn(c net.Conn, buffer int) {
	defer c.Close()
	buf := make([]byte, buffer)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}

// spliceEcho is a trick: io.Copy from one TCP connection to another, here the same
// one, does not read the bytes. The kernel moves them through a pipe (splice). A
// server that has to look at what it gets cannot do that.
func spliceEcho(t task) error {
	return acceptEach(t.Addr, func(c *net.TCPConn) {
		go func() {
			defer c.Close()
			io.Copy(c, c)
		}()
	})
}

// netRelay is a proxy with a goroutine for each direction.
func netRelay(pass func(to, from *net.TCPConn) error) func(task) error {
	return func(t task) error {
		return acceptEach(t.Addr, func(client *net.TCPConn) {
			go func() {
				defer client.Close()
				c, err := net.Dial("tcp", t.To)
				if err != nil {
					return
				}
				defer c.Close()
				server := c.(*net.TCPConn)
				var both sync.WaitGroup
				for _, way := range [][2]*net.TCPConn{{server, client}, {client, server}} {
					both.Go(func() {
						if pass(way[0], way[1]) == nil {
							way[0].CloseWrite()
							return
						}
						way[0].Close()
						way[1].Close()
					})
				}
				both.Wait()
			}()
		})
	}
}

// copySpliced is the plain io.Copy, which splices.
func copySpliced(to, from *net.TCPConn) error {
	_, err := io.Copy(to, from)
	return err
}

// copyBuffered hides from io.CopyBuffer what would let it splice.
func copyBuffered(to, from *net.TCPConn) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, 64<<10))
	return err
}

// maxMessage bounds a framed message, as in samples/packet.
const maxMessage = 1 << 20

var errTooLong = errors.New("message too long")

// netFramed reads and writes through buffers, and writes when no whole message is
// left to be read.
func netFramed(buffer int) func(task) error {
	return func(t task) error {
		return acceptEach(t.Addr, func(c *net.TCPConn) {
			go func() {
				defer c.Close()
				r, w := bufio.NewReaderSize(c, buffer), bufio.NewWriterSize(c, buffer)
				var message []byte
				for {
					var err error
					if message, err = readMessage(r, message); err != nil {
						return
					}
					w.Write(message) // its error stays until Flush
					if !hasMessage(r) && w.Flush() != nil {
						return
					}
				}
			}()
		})
	}
}

// readMessage reads a message with its length before it. It takes room's memory,
// if that suffices.
func readMessage(r *bufio.Reader, room []byte) ([]byte, error) {
	header, err := r.Peek(headerSize)
	if err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(header)
	if length > maxMessage {
		return nil, errTooLong
	}
	if n := headerSize + int(length); n > cap(room) {
		room = make([]byte, n)
	} else {
		room = room[:n]
	}
	_, err = io.ReadFull(r, room)
	return room, err
}

// hasMessage says whether a whole message has been read ahead.
func hasMessage(r *bufio.Reader) bool {
	if r.Buffered() < headerSize {
		return false
	}
	header, _ := r.Peek(headerSize)
	return int64(r.Buffered()) >= headerSize+int64(binary.BigEndian.Uint32(header))
}

// circle has a channel and a goroutine that writes for each connection.
type circle struct {
	mu    sync.Mutex
	conns map[*net.TCPConn]chan []byte
}

// netBroadcast closes connections that are too slow, as the sample does.
func netBroadcast(t task) error {
	h := &circle{conns: map[*net.TCPConn]chan []byte{}}
	return acceptEach(t.Addr, func(c *net.TCPConn) {
		lines := make(chan []byte, 256)
		h.mu.Lock()
		h.conns[c] = lines
		h.mu.Unlock()
		go func() {
			for line := range lines {
				if _, err := c.Write(line); err != nil {
					c.Close()
				}
			}
		}()
		go func() {
			defer h.remove(c)
			for in := bufio.NewReader(c); ; {
				line, err := in.ReadBytes('\n')
				if err != nil {
					return
				}
				h.send(line)
			}
		}()
	})
}

func (h *circle) send(line []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c, lines := range h.conns {
		select {
		case lines <- line:
		default:
			c.Close() // then its reader removes it
		}
	}
}

func (h *circle) remove(c *net.TCPConn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.conns[c])
	delete(h.conns, c)
	c.Close()
}

// selectEcho is the sample that polls for readiness.
func selectEcho(t task) error {
	return selectecho.Run(context.Background(), selectecho.Options{Addr: t.Addr})
}

// netHTTP and fastHTTP answer with the page and the fields of samples/hello.

func netHTTP(t task) error {
	length := strconv.Itoa(len(hello.Page))
	return http.ListenAndServe(t.Addr, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Length", length)
		io.WriteString(w, hello.Page)
	}))
}

func fastHTTP(t task) error {
	s := &fasthttp.Server{NoDefaultServerHeader: true, Handler: func(c *fasthttp.RequestCtx) {
		c.SetContentType("text/html")
		c.SetBodyString(hello.Page)
	}}
	return s.ListenAndServe(t.Addr)
}

// Package conns reads the list of connections from the page of package admin, and prints it.
package conns

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/proactor-go/proactor/admin"
	"github.com/proactor-go/proactor/cmd/proactor/internal/plain"
)

// What is taken of a server that need not be one of ours.
const (
	maxConn   = 64 << 10 // bytes of one connection in the list
	maxHeader = 64 << 10 // bytes of the answer's header
	showMost  = 60       // bytes that an error shows of what came instead
	showError = 120      // and of what was wrong with it
)

// ErrNoPage says that a server is there, but is no page of package admin.
var ErrNoPage = errors.New("no operator's page; give the address of a server's --admin")

// Read reads the list from the page at an address, "host:port", and calls each with
// every connection, until that fails. It keeps one at a time, and follows no redirection;
// ctx bounds all of it. Errors of each are returned as they are.
//
// It is not package net/http's client, which logs what a server says without having
// been asked.
func Read(ctx context.Context, addr string, each func(admin.Conn) error) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("no server has its --admin there: %w", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	request, err := http.NewRequest("GET", "http://"+addr+"/conns", nil)
	if err != nil {
		return err
	}
	request.Close = true
	limited := &io.LimitedReader{R: conn, N: maxHeader}
	err = request.Write(conn)
	var r *http.Response
	if err == nil {
		r, err = http.ReadResponse(bufio.NewReader(limited), request)
	}
	switch {
	case err != nil:
		err = fmt.Errorf("%s: %w", plain.Text(cut(err.Error())), ErrNoPage)
	case r.StatusCode != http.StatusOK:
		return fmt.Errorf("%s answers %q: %w", addr, cut(r.Status), ErrNoPage)
	default:
		err = decode(r.Body, limited, each)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", addr, orLate(ctx, err))
	}
	return nil
}

// orLate is an error, or the one that says that time was up, which had caused it.
func orLate(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("no answer in time: %w", ErrNoPage)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return err
}

// decode reads the list from a body, whose bytes come through limited: what one
// connection takes is bounded anew for each.
func decode(body io.Reader, limited *io.LimitedReader, each func(admin.Conn) error) error {
	var begin bytes.Buffer
	limited.N = maxConn
	d := json.NewDecoder(io.TeeReader(body, &firstBytes{&begin}))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return fmt.Errorf("it answers %q: %w", begin.Bytes(), ErrNoPage)
	}
	for limited.N = maxConn; d.More(); limited.N = maxConn {
		var c admin.Conn
		if err := d.Decode(&c); err != nil {
			return fmt.Errorf("%w: %w", errBroken, err)
		}
		if err := each(c); err != nil {
			return err
		}
	}
	limited.N = maxConn
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	return nil
}

var errBroken = errors.New("the list of connections breaks off, or is none")

// firstBytes keeps the first of what is written to it.
type firstBytes struct{ b *bytes.Buffer }

func (f *firstBytes) Write(p []byte) (int, error) {
	f.b.Write(p[:min(len(p), showMost-f.b.Len())])
	return len(p), nil
}

func cut(s string) string {
	if len(s) > showError {
		return s[:showError] + "…"
	}
	return s
}

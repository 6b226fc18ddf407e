// Package standin stands in for package net in tests that others have written for that: scripts of
// .ci (nethttp, standin) copy those, put its calls in the place of package net's, and run them.
// All is on one engine, which lives as long as the process.
package standin

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/netconn"
)

var engine, failed = proactor.NewEngine(proactor.Config{Loops: 2, Log: slog.New(slog.DiscardHandler)})

// Listen is net.Listen, also in a bubble of testing/synctest, where no engine from outside listens.
func Listen(network, address string) (net.Listener, error) {
	if failed != nil {
		return nil, failed
	}
	l, err := netconn.Listen(&proactor.Server{Network: network, Addr: address, Engine: engine})
	switch {
	case errors.Is(err, proactor.ErrBubble):
		return net.Listen(network, address)
	case err != nil:
		return nil, err
	}
	return l, nil
}

// Dial is net.Dial.
func Dial(network, address string) (net.Conn, error) {
	return DialContext(context.Background(), network, address)
}

// DialTimeout is net.DialTimeout.
func DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return DialContext(ctx, network, address)
}

// DialContext is that of a net.Dialer.
func DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if failed != nil {
		return nil, failed
	}
	d := netconn.Dialer{Engine: engine}
	return d.DialContext(ctx, network, address)
}

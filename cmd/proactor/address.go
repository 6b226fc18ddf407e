package main

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// place is an address of the command line, as package net takes it. The parser calls
// UnmarshalText of listenPlace and serverPlace.
type place struct{ network, addr string }

// listenPlace is where to listen: "host:port"; ":port" or "port", at every address of
// this machine; or "unix:PATH".
type listenPlace struct{ place }

// UnmarshalText is called by the parser.
func (p *listenPlace) UnmarshalText(text []byte) (err error) {
	p.place, err = parsePlace(string(text))
	return err
}

// serverPlace is where a server is: the same, and an URL as `serve --admin` logs it.
// Where a server listens at every address, it is reached at that of this machine.
type serverPlace struct{ place }

// UnmarshalText is called by the parser.
func (p *serverPlace) UnmarshalText(text []byte) (err error) {
	t := strings.TrimSuffix(strings.TrimPrefix(string(text), "http://"), "/")
	if p.place, err = parsePlace(t); err != nil || p.network != "tcp" {
		return err
	}
	host, number, _ := net.SplitHostPort(p.addr)
	switch ip, err := netip.ParseAddr(host); {
	case host == "", err == nil && ip == netip.IPv4Unspecified():
		p.addr = net.JoinHostPort("127.0.0.1", number)
	case err == nil && ip == netip.IPv6Unspecified():
		// What listens at it takes IPv4 too, and a machine may have no IPv6.
		p.addr = net.JoinHostPort("127.0.0.1", number)
	}
	return nil
}

// parsePlace takes an address apart. Names are looked up later, where they are used.
func parsePlace(text string) (place, error) {
	if path, ok := strings.CutPrefix(text, "unix:"); ok && path != "" {
		return place{"unix", path}, nil
	}
	if _, err := strconv.ParseUint(text, 10, 16); err == nil {
		return place{"tcp", ":" + text}, nil
	}
	_, number, err := net.SplitHostPort(text)
	if err == nil {
		_, err = net.LookupPort("tcp", number) // the name of a service, too
	}
	if err != nil || number == "" {
		return place{}, fmt.Errorf("%q is no address: HOST:PORT, :PORT, PORT and unix:PATH are", text)
	}
	return place{"tcp", text}, nil
}

// written is an address as the flags take it.
func written(a net.Addr) string {
	if a.Network() == "unix" {
		return "unix:" + a.String()
	}
	return a.String()
}

// onlyTCP is for those who cannot use another network.
func (p place) onlyTCP(flag string) error {
	if p.network == "unix" {
		return fmt.Errorf("%s must be HOST:PORT, :PORT or PORT", flag)
	}
	return nil
}

// Package tls_test checks connections that speak TLS, on every backend: against crypto/tls on
// package net, against each other, and against openssl.
package tls_test

import (
	"crypto/tls"
	"sync"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/selfsigned"
	"github.com/proactor-go/proactor/tests/rig"
)

// eachVersion runs f on every backend, with a new rig and both versions.
func eachVersion(t *testing.T, f func(r *rig.Rig, version uint16, serves, dials *tls.Config)) {
	rig.Each(t, func(t *testing.T, backend string) {
		for _, version := range rig.TLSVersions {
			serves, dials := rig.TLS()
			dials.MaxVersion, serves.MaxVersion = version, version
			f(rig.New(t, backend), version, serves, dials)
		}
	})
}

// withTLS is a change of a server.
func withTLS(config *tls.Config) func(*proactor.Server) {
	return func(s *proactor.Server) { s.TLS = config }
}

// client connects with crypto/tls on package net.
func client(r *rig.Rig, s *proactor.Server, config *tls.Config) *tls.Conn {
	r.Helper()
	c := rig.TLSClient(r.T, s, config)
	if err := c.HandshakeContext(must.Context(r.T)); err != nil {
		r.Fatal(err)
	}
	return c
}

// otherPair is a certificate that nobody trusts.
var otherPair = sync.OnceValues(func() (tls.Certificate, error) {
	pair, _, err := selfsigned.Pair("server")
	return pair, err
})

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/proactor-go/proactor/certs"
	"github.com/proactor-go/proactor/internal/selfsigned"
)

// tlsFlags have a server speak TLS.
type tlsFlags struct {
	TLSCert       string `name:"tls-cert" group:"TLS" help:"Speak TLS, with the certificate in this file (PEM). It is loaded again when it changes, and on SIGHUP. No TLS by default." placeholder:"FILE"`
	TLSKey        string `name:"tls-key" group:"TLS" help:"File with its key; none by default." placeholder:"FILE"`
	TLSSelfSigned bool   `name:"tls-self-signed" group:"TLS" help:"Speak TLS, for a try: with a certificate that nobody trusts."`
}

func (f tlsFlags) check() error {
	switch {
	case (f.TLSCert == "") != (f.TLSKey == ""):
		return errors.New("--tls-cert and --tls-key must be given together")
	case f.TLSCert != "" && f.TLSSelfSigned:
		return errors.New("--tls-cert and --tls-self-signed exclude each other")
	}
	return nil
}

// config is nil where no TLS is asked for. The files are watched until ctx is done.
func (f tlsFlags) config(ctx context.Context, env *environment) (*tls.Config, error) {
	switch {
	case f.TLSSelfSigned:
		pair, _, err := selfsigned.Pair("localhost", "127.0.0.1", "::1")
		return &tls.Config{Certificates: []tls.Certificate{pair}}, err
	case f.TLSCert == "":
		return nil, nil
	}
	pair, err := certs.Load(f.TLSCert, f.TLSKey, env.log)
	if err != nil {
		return nil, err
	}
	go pair.Watch(ctx, 0)
	return &tls.Config{GetCertificate: pair.GetCertificate}, nil
}

// tlsClientFlags have a client speak TLS.
type tlsClientFlags struct {
	TLS         bool   `name:"tls" help:"Speak TLS. The server's certificate must be for the name, or IP address, in --to."`
	TLSCA       string `name:"tls-ca" help:"File with the certificates to trust (PEM); by default the system's." placeholder:"FILE"`
	TLSInsecure bool   `name:"tls-insecure" help:"Take any certificate, as that of 'serve --tls-self-signed'."`
}

func (f tlsClientFlags) check() error {
	switch {
	case !f.TLS && (f.TLSCA != "" || f.TLSInsecure):
		return errors.New("--tls-ca and --tls-insecure are for --tls")
	case f.TLSCA != "" && f.TLSInsecure:
		return errors.New("--tls-ca and --tls-insecure exclude each other")
	}
	return nil
}

// config is nil where no TLS is asked for.
func (f tlsClientFlags) config(to place) (*tls.Config, error) {
	if !f.TLS {
		return nil, nil
	}
	c := &tls.Config{InsecureSkipVerify: f.TLSInsecure}
	if to.network == "tcp" {
		c.ServerName, _, _ = net.SplitHostPort(to.addr) // it is an address
	}
	if f.TLSCA != "" {
		b, err := os.ReadFile(f.TLSCA)
		if err != nil {
			return nil, fmt.Errorf("--tls-ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("--tls-ca: no certificate in %s", f.TLSCA)
		}
	}
	return c, nil
}

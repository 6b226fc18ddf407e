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
	TLSClientCA   string `name:"tls-client-ca" group:"TLS" help:"Serve only clients with a certificate of those in this file (PEM); any client by default." placeholder:"FILE"`
}

func (f tlsFlags) check() error {
	switch {
	case (f.TLSCert == "") != (f.TLSKey == ""):
		return errors.New("--tls-cert and --tls-key must be given together")
	case f.TLSCert != "" && f.TLSSelfSigned:
		return errors.New("--tls-cert and --tls-self-signed exclude each other")
	case f.TLSClientCA != "" && f.TLSCert == "" && !f.TLSSelfSigned:
		return errors.New("--tls-client-ca needs --tls-cert or --tls-self-signed")
	}
	return nil
}

// config is nil where no TLS is asked for. The files of the certificate are watched until ctx is done.
func (f tlsFlags) config(ctx context.Context, env *environment) (*tls.Config, error) {
	c := new(tls.Config)
	if f.TLSClientCA != "" {
		trusted, err := trust("--tls-client-ca", f.TLSClientCA)
		if err != nil {
			return nil, err
		}
		c.ClientCAs, c.ClientAuth = trusted, tls.RequireAndVerifyClientCert
	}
	switch {
	case f.TLSSelfSigned:
		pair, _, err := selfsigned.Pair("localhost", "127.0.0.1", "::1")
		c.Certificates = []tls.Certificate{pair}
		return c, err
	case f.TLSCert == "":
		return nil, nil
	}
	pair, err := certs.Load(f.TLSCert, f.TLSKey, env.log)
	if err != nil {
		return nil, err
	}
	go pair.Watch(ctx, 0)
	c.GetCertificate = pair.GetCertificate
	return c, nil
}

// trust reads the certificates in a file, which a flag names.
func trust(flag, file string) (*x509.CertPool, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s: no certificate in %s", flag, file)
	}
	return pool, nil
}

// tlsClientFlags have a client speak TLS.
type tlsClientFlags struct {
	TLS         bool   `name:"tls" help:"Speak TLS. The server's certificate must be for the name, or IP address, in --to."`
	TLSCA       string `name:"tls-ca" help:"File with the certificates to trust (PEM); by default the system's." placeholder:"FILE"`
	TLSInsecure bool   `name:"tls-insecure" help:"Take any certificate, as that of 'serve --tls-self-signed'."`
	TLSCert     string `name:"tls-cert" help:"File with a certificate (PEM) to show to a server that asks for one; none by default." placeholder:"FILE"`
	TLSKey      string `name:"tls-key" help:"File with its key; none by default." placeholder:"FILE"`
}

func (f tlsClientFlags) check() error {
	switch {
	case !f.TLS && (f.TLSCA != "" || f.TLSInsecure || f.TLSCert != "" || f.TLSKey != ""):
		return errors.New("--tls-ca, --tls-insecure, --tls-cert and --tls-key are for --tls")
	case (f.TLSCert == "") != (f.TLSKey == ""):
		return errors.New("--tls-cert and --tls-key must be given together")
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
	var err error
	if f.TLSCA != "" {
		if c.RootCAs, err = trust("--tls-ca", f.TLSCA); err != nil {
			return nil, err
		}
	}
	if f.TLSCert != "" {
		pair, err := tls.LoadX509KeyPair(f.TLSCert, f.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("--tls-cert: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

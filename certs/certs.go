// Package certs keeps a certificate that lies in files, and loads it again when they change, so
// that it can be renewed while a server runs:
//
//	pair, err := certs.Load("cert.pem", "key.pem", nil)
//	if err != nil {
//		return err
//	}
//	go pair.Watch(ctx, 0)
//	srv.TLS = &tls.Config{GetCertificate: pair.GetCertificate}
//
// Connections that are there go on with the certificate that they have.
package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Pair is a certificate and its key, each from a file in PEM. Any goroutine may call its methods.
type Pair struct {
	certFile, keyFile string
	log               *slog.Logger
	current           atomic.Pointer[tls.Certificate]

	mu      sync.Mutex
	seen    [2]os.FileInfo // of the files before they were last read; nil: it was not there
	trouble string         // that was logged; empty: the files are as current is
}

// Load reads the files: the certificate, followed by those between it and a root, and the key. The
// error says which of the files is wrong, and how. log gets what becomes of later changes; nil: it
// is slog.Default().
func Load(certFile, keyFile string, log *slog.Logger) (*Pair, error) {
	if log == nil {
		log = slog.Default()
	}
	p := &Pair{certFile: certFile, keyFile: keyFile, log: log}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.read(); err != nil {
		return nil, err
	}
	return p, nil
}

// GetCertificate is for the field of that name of a tls.Config. It does not wait, and does not fail.
func (p *Pair) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return p.current.Load(), nil
}

// GetClientCertificate is for the field of that name of the tls.Config of a side that dials. It does not wait, and does not fail.
func (p *Pair) GetClientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return p.current.Load(), nil
}

// Reload reads the files, changed or not. The two are taken together or not at all: if one is
// broken, or does not fit the other, the pair stays as it was, and the error says so. It is
// logged unless it is the same as the one before.
func (p *Pair) Reload() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reload()
}

// Watch blocks until ctx is done. It reloads the pair when one of the files has changed, at which it
// looks after each interval (0: 10 s), and on SIGHUP, where the system has that signal. While
// Watch runs, SIGHUP does not end the program. While a file is broken Watch tries again after each
// interval, and logs what is wrong once.
func (p *Pair) Watch(ctx context.Context, interval time.Duration) {
	if interval <= 0 {
		interval = 10 * time.Second
	}
	hangUp := make(chan os.Signal, 1)
	signal.Notify(hangUp, syscall.SIGHUP)
	defer signal.Stop(hangUp)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-hangUp:
			p.Reload()
		case <-tick.C:
			p.look()
		case <-ctx.Done():
			return
		}
	}
}

// look reloads what has changed, or could not be read before.
func (p *Pair) look() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.trouble != "" || p.changed() {
		p.reload()
	}
}

// reload reads and logs. mu is held.
func (p *Pair) reload() error {
	c, err := p.read()
	switch {
	case err == nil:
		p.trouble = ""
		p.log.Info("certificate loaded", "file", p.certFile, "subject", c.Leaf.Subject, "until", c.Leaf.NotAfter)
	case err.Error() != p.trouble:
		p.trouble = err.Error()
		p.log.Error("the certificate cannot be loaded; the one before stays in use", "error", err, "until", p.current.Load().Leaf.NotAfter)
	}
	return err
}

// read takes the pair from the files, after a look at them, so that a change during it is
// seen. mu is held.
func (p *Pair) read() (*tls.Certificate, error) {
	p.seen = p.infos()
	c, err := tls.LoadX509KeyPair(p.certFile, p.keyFile)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", p.certFile, p.keyFile, err)
	}
	if c.Leaf == nil { // GODEBUG=x509keypairleaf=0
		if c.Leaf, err = x509.ParseCertificate(c.Certificate[0]); err != nil {
			return nil, fmt.Errorf("certificate %s: %w", p.certFile, err)
		}
	}
	p.current.Store(&c)
	return &c, nil
}

func (p *Pair) infos() (of [2]os.FileInfo) {
	for i, name := range [2]string{p.certFile, p.keyFile} {
		if info, err := os.Stat(name); err == nil && os.SameFile(info, info) { // on Windows this looks which file it is
			of[i] = info
		}
	}
	return of
}

// changed reports whether a file is another than before, or has another time or size: a link may
// lead to another file of the same time and size. mu is held.
func (p *Pair) changed() bool {
	for i, now := range p.infos() {
		before := p.seen[i]
		switch {
		case now == nil && before == nil:
		case now == nil || before == nil:
			return true
		case !os.SameFile(now, before) || now.Size() != before.Size() || !now.ModTime().Equal(before.ModTime()):
			return true
		}
	}
	return false
}

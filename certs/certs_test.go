package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/selfsigned"
)

// files are a pair of files under test.
type files struct {
	*testing.T
	cert, key string
	age       int // of the last change
}

func newFiles(t *testing.T) *files {
	dir := t.TempDir()
	return &files{T: t, cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
}

// put writes a file. Every change has a time of its own.
func (f *files) put(name string, b []byte) {
	f.Helper()
	f.age++
	changed := time.Unix(1e9+int64(f.age), 0)
	if err := os.WriteFile(name, b, 0o600); err != nil {
		f.Fatal(err)
	}
	if err := os.Chtimes(name, changed, changed); err != nil {
		f.Fatal(err)
	}
}

// renew makes a pair, in PEM.
func renew(t *testing.T) (cert, key []byte) {
	t.Helper()
	pair, _, err := selfsigned.Pair("server")
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// load puts a pair into the files, and loads it.
func (f *files) load() *Pair {
	f.Helper()
	cert, key := renew(f.T)
	f.put(f.cert, cert)
	f.put(f.key, key)
	p, err := Load(f.cert, f.key, slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	return p
}

// shows reports whether the pair is the certificate in PEM.
func shows(p *Pair, cert []byte) bool {
	c, err := p.GetCertificate(new(tls.ClientHelloInfo))
	block, _ := pem.Decode(cert)
	return err == nil && bytes.Equal(c.Certificate[0], block.Bytes)
}

// A new pair is taken when both files are there and fit; until then the old one stays, and what is
// wrong is logged once.
func TestRenewed(t *testing.T) {
	f := newFiles(t)
	var logged must.Log
	log := slog.New(slog.NewTextHandler(&logged, nil))
	if _, err := Load(f.cert, f.key, log); err == nil || !strings.Contains(err.Error(), f.cert) {
		t.Errorf("without files: %v", err)
	}
	old, oldKey := renew(t)
	f.put(f.cert, old)
	f.put(f.key, oldKey)
	p, err := Load(f.cert, f.key, log)
	if err != nil || !shows(p, old) {
		t.Fatalf("at first: %v", err)
	}
	p.look()
	if s := logged.String(); s != "" {
		t.Errorf("nothing has changed, and it is logged: %s", s)
	}
	cert, key := renew(t)
	for _, broken := range []func(){
		func() { f.put(f.cert, cert) },           // does not fit
		func() { f.put(f.cert, cert[:100]) },     // is not whole
		func() { os.Remove(f.cert) },             // is not there
		func() { f.put(f.cert, []byte("junk")) }, // is none
	} {
		before := strings.Count(logged.String(), "level=ERROR")
		broken()
		for range 3 {
			p.look()
		}
		if err := p.Reload(); err == nil || !shows(p, old) {
			t.Errorf("a broken file: %v", err)
		}
		if n := strings.Count(logged.String(), "level=ERROR") - before; n != 1 {
			t.Errorf("logged %d times:\n%s", n, &logged)
		}
	}
	f.put(f.cert, cert)
	p.look()
	f.put(f.key, key)
	p.look()
	if !shows(p, cert) {
		t.Errorf("the new pair is not in use:\n%s", &logged)
	}
	if n := strings.Count(logged.String(), "certificate loaded"); n != 1 {
		t.Errorf("loaded %d times:\n%s", n, &logged)
	}
}

// A link that leads to another file is a change, though that has the same time and size.
func TestOtherFile(t *testing.T) {
	f := newFiles(t)
	p := f.load()
	before := p.infos()
	for i, name := range [2]string{f.cert, f.key} {
		other, changed := name+".new", before[i].ModTime()
		b, err := os.ReadFile(name)
		if err == nil {
			err = os.WriteFile(other, b, 0o600)
		}
		if err == nil {
			err = os.Chtimes(other, changed, changed)
		}
		if err == nil {
			err = os.Rename(other, name)
		}
		if err != nil {
			t.Fatal(err)
		}
		if !p.changed() {
			t.Errorf("%s was replaced, and is not seen to be", name)
		}
		p.look()
		if p.changed() {
			t.Error("a look leaves a change")
		}
	}
}

// The pair tells whose it is although the runtime is told not to parse it.
func TestNoLeaf(t *testing.T) {
	t.Setenv("GODEBUG", "x509keypairleaf=0")
	if err := newFiles(t).load().Reload(); err != nil {
		t.Error(err)
	}
}

// Watch sees a change by itself, and ends with its context.
func TestWatch(t *testing.T) {
	f := newFiles(t)
	p := f.load()
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan bool, 1)
	go func() { p.Watch(ctx, time.Millisecond); over <- true }()
	cert, key := renew(t)
	f.put(f.cert, cert)
	f.put(f.key, key)
	must.Eventually(t, "the new pair", func() bool { return shows(p, cert) })
	cancel()
	must.Take(t, "the end of Watch", over)
}

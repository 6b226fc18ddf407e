package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proactor-go/proactor/internal/selfsigned"
	"github.com/proactor-go/proactor/samples/line"
)

// pairFiles are the files of a certificate for 127.0.0.1.
func pairFiles(t *testing.T) (cert, key string) {
	t.Helper()
	pair, _, err := selfsigned.Pair("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// A server speaks TLS with a certificate from files, or one of its own; the load and the client
// do, and trust whom they are told to.
func TestTLS(t *testing.T) {
	t.Parallel()
	cert, key := pairFiles(t)
	for _, tt := range []struct{ serve, trust []string }{
		{[]string{"--tls-cert", cert, "--tls-key", key}, []string{"--tls-ca", cert}},
		{[]string{"--tls-self-signed"}, []string{"--tls-insecure"}},
	} {
		s := server(t, append([]string{"echo", "--listen", "127.0.0.1:0", "--handshake-timeout", patience.String()}, tt.serve...)...)
		to := []string{"--to", s.addr, "--timeout", patience.String(), "--tls"}
		load := append([]string{"load", "echo", "--conns", "3", "--count", "20"}, to...)
		if status, out, errs := execute(t, append(load, tt.trust...)...); status != 0 {
			t.Errorf("%v: %d\n%s%s", tt.serve, status, out, errs)
		}
		client := commandWith(t, append(append([]string{"client", "echo"}, to...), tt.trust...)...)
		client.Stdin = strings.NewReader("hello\n")
		if out, err := client.Output(); err != nil || string(out) != "hello\n" {
			t.Errorf("%v: the client prints %q, %v", tt.serve, out, err)
		}
		if status, _, errs := execute(t, append([]string{"client", "echo"}, to...)...); status != 1 || !strings.Contains(errs, "certificate") {
			t.Errorf("%v: a client that trusts nobody: %d, %s", tt.serve, status, errs)
		}
	}
}

// A server that asks for certificates serves those who have one, and nobody else.
func TestTLSClientCA(t *testing.T) {
	t.Parallel()
	cert, key := pairFiles(t)
	other, otherKey := pairFiles(t)
	s := server(t, "echo", "--listen", "127.0.0.1:0", "--handshake-timeout", patience.String(), "--tls-self-signed", "--tls-client-ca", cert)
	load := []string{"load", "echo", "--conns", "3", "--count", "20", "--to", s.addr, "--timeout", patience.String(), "--tls", "--tls-insecure"}
	if status, out, errs := execute(t, append(load, "--tls-cert", cert, "--tls-key", key)...); status != 0 {
		t.Errorf("with the certificate: %d\n%s%s", status, out, errs)
	}
	for what, args := range map[string][]string{"without": nil, "with another": {"--tls-cert", other, "--tls-key", otherKey}} {
		if status, out, errs := execute(t, append(load, args...)...); status != 1 {
			t.Errorf("%s: %d\n%s%s", what, status, out, errs)
		}
	}
}

// openssl s_client begins TLS with STLS, in both versions.
func TestSTLS(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not there")
	}
	cert, key := pairFiles(t)
	s := server(t, "line", "--stls", "--tls-cert", cert, "--tls-key", key, "--listen", "127.0.0.1:0", "--handshake-timeout", patience.String())
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		client := exec.CommandContext(ctx, program, "s_client", "-starttls", "pop3", "-connect", s.addr, version, "-CAfile", cert, "-verify_return_error", "-quiet")
		client.Stdin = strings.NewReader("NOOP\r\nSTLS\r\nHELO\r\n") // Q and R would be its own commands
		out, err := client.Output()                                  // the server ends the connection
		cancel()
		for _, want := range []string{line.KnownBegin + "NOOP" + line.KnownEnd, line.HasTLS, line.Unknown} {
			if !strings.Contains(string(out), want) {
				t.Errorf("%s: no %q in %q, %v", version, want, out, err)
			}
		}
	}
}

// What cannot be is told in one line.
func TestTLSFlags(t *testing.T) {
	t.Parallel()
	cert, key := pairFiles(t)
	for args, status := range map[string]int{
		"serve echo --tls-cert " + cert: 2,
		"serve line --stls":             2,
		"serve echo --tls-key " + key:   2,
		"serve echo --tls-self-signed --tls-cert " + cert + " --tls-key " + key: 2,
		"serve echo --tls-cert " + cert + " --tls-key " + cert:                  1,
		"serve echo --tls-cert /not/there --tls-key " + key:                     1,
		"serve echo --tls-client-ca " + cert:                                    2,
		"serve echo --tls-self-signed --tls-client-ca " + key:                   1,
		"serve echo --tls-self-signed --tls-client-ca /not/there":               1,
		"client echo --tls-insecure":                                            2,
		"client echo --tls-cert " + cert + " --tls-key " + key:                  2,
		"client echo --tls --tls-key " + key:                                    2,
		"client echo --tls --tls-cert " + key + " --tls-key " + key:             1,
		"client echo --tls --tls-ca " + key:                                     1,
		"load echo --tls --tls-ca " + cert + " --tls-insecure":                  2,
	} {
		got, _, errs := execute(t, strings.Fields(args)...)
		if got != status {
			t.Errorf("%s: status %d, want %d", args, got, status)
		}
		oneLine(t, errs)
	}
}

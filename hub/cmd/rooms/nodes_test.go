package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/selfsigned"
)

// people are three nodes with these arguments, each of which has joined one before it.
func people(t *testing.T, args ...string) []*serving {
	t.Helper()
	var all []*serving
	for i := range 3 {
		args := append(args, "--cluster", "127.0.0.1:0", "--secret", "s3cret")
		if i > 0 {
			args = append(args, "--join", all[i-1].cluster)
		}
		all = append(all, node(t, args...))
	}
	return all
}

// Lines over TCP on three processes: each line comes to all.
func TestBroadcastOfThree(t *testing.T) {
	nodes := people(t, "broadcast")
	var clients []net.Conn
	var read []*bufio.Reader
	for _, n := range nodes {
		c, err := net.Dial("tcp", n.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients, read = append(clients, c), append(read, bufio.NewReader(c))
	}
	line := func(i int) string {
		t.Helper()
		clients[i].SetReadDeadline(time.Now().Add(must.Patience))
		text, err := read[i].ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	// A node does not hear of what is said before the others know of its client, so each says hello until it has come to all.
	for from, c := range clients {
		hello := fmt.Sprintf("hello from %d\n", from)
		met := make([]chan bool, len(clients))
		for i := range clients {
			met[i] = make(chan bool)
			go func() {
				defer close(met[i])
				for clients[i].SetReadDeadline(time.Now().Add(must.Patience)) == nil {
					if text, err := read[i].ReadString('\n'); err != nil || text == hello {
						return
					}
				}
			}()
		}
		all := func() bool {
			for i := range met {
				select {
				case <-met[i]:
				default:
					return false
				}
			}
			return true
		}
		must.Eventually(t, "hello has come to all", func() bool {
			io.WriteString(c, hello)
			return all()
		})
	}
	for from, c := range clients {
		var want []string
		for n := range 50 {
			want = append(want, fmt.Sprintf("line %d of %d\n", n, from))
		}
		if _, err := io.WriteString(c, strings.Join(want, "")); err != nil {
			t.Fatal(err)
		}
		for i := range clients {
			for _, w := range want {
				got := line(i)
				for strings.HasPrefix(got, "hello") {
					got = line(i)
				}
				if got != w {
					t.Fatalf("client %d reads %q, want %q", i, got, w)
				}
			}
		}
	}
	if _, err := clients[0].Write(append(make([]byte, maxLine+1), '\n')); err != nil {
		t.Fatal(err)
	}
	for got := line(0); got != tooLong; got = line(0) {
		if !strings.HasPrefix(got, "hello") {
			t.Fatalf("read %q", got)
		}
	}
	nodes[1].Process.Signal(syscall.SIGTERM)
	if _, err := io.Copy(io.Discard, read[1]); err != nil {
		t.Error(err)
	}
	clients[1].Close()
	nodes[1].ends(t)
}

// The page speaks TLS with a certificate from files, and the page for operators shows the server, and that it is ready.
func TestTLSAndAdmin(t *testing.T) {
	pair, roots, err := selfsigned.Pair("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	operators := must.Free(t)
	n := node(t, "chat", "--tls-cert", cert, "--tls-key", key, "--admin", operators)
	trusts := &tls.Config{RootCAs: roots}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trusts}, Timeout: patience}
	defer client.CloseIdleConnections()
	for url, want := range map[string]string{
		"https://" + n.addr + "/": "<title>Chat</title>", "http://" + operators + "/ready": "ready", "http://" + operators + "/status": `"name":"chat"`,
	} {
		var body []byte
		must.Eventually(t, url, func() bool { // what says where it listens comes just before it is ready
			r, err := client.Get(url)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			if body, err = io.ReadAll(r.Body); err != nil {
				t.Fatal(err)
			}
			return r.StatusCode == http.StatusOK
		})
		if !strings.Contains(strings.ReplaceAll(string(body), " ", ""), strings.ReplaceAll(want, " ", "")) {
			t.Errorf("%s: %s", url, body)
		}
	}
	if runtime.GOOS == "linux" { // where a process can be told what to trust
		c := commandWith(t, "load", "--members", "1", "--for", "1s", "https://"+n.addr)
		c.Env = append(c.Env, "SSL_CERT_FILE="+cert)
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
}

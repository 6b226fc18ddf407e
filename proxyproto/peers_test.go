//go:build unix

package proxyproto_test

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/proxyproto"
	"github.com/proactor-go/proactor/tests/rig"
)

// program is where one is installed, or the test is skipped.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skip("a peer of this test is not installed: ", err)
	}
	return path
}

// runs starts a peer, and waits until it listens at an address. It ends with the test.
func runs(t *testing.T, at string, path string, args ...string) {
	t.Helper()
	var said bytes.Buffer
	c := exec.Command(path, args...)
	c.Stdout, c.Stderr = &said, &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { c.Wait(); close(ended) }()
	t.Cleanup(func() {
		c.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("%s: %s", path, said.String())
		}
	})
	must.Eventually(t, path+" listens", func() bool {
		select {
		case <-ended:
			t.Fatalf("%s has ended: %s", path, said.String())
		default:
		}
		nc, err := net.Dial("tcp", at)
		if err == nil {
			nc.Close()
		}
		return err == nil
	})
}

// file has a configuration.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// haproxy passes connections at one address on to another, with more on the line of each.
func haproxy(t *testing.T, to, bind, server string) (at string) {
	t.Helper()
	at = must.Free(t)
	runs(t, at, program(t, "haproxy"), "-db", "-f", file(t, fmt.Sprintf(`global
	maxconn 100
defaults
	mode tcp
	timeout connect 30s
	timeout client 2m
	timeout server 2m
listen in
	bind %s %s
	server out %s %s
`, at, bind, to, server)))
	return at
}

// nginx is the same.
func nginx(t *testing.T, to, listen, server string) (at string) {
	t.Helper()
	path := program(t, "nginx")
	var module string
	if found, _ := filepath.Glob("/usr/lib/nginx/modules/ngx_stream_module.so"); len(found) > 0 {
		module = "load_module " + found[0] + ";"
	}
	at = must.Free(t)
	dir := t.TempDir()
	runs(t, at, path, "-p", dir, "-e", "stderr", "-c", file(t, fmt.Sprintf(`%s
daemon off;
master_process off;
pid %s/pid;
error_log stderr;
events {}
stream {
	server {
		listen %s %s;
		proxy_pass %s;
		%s
	}
}
`, module, dir, at, listen, to, server)))
	return at
}

// What HAProxy and nginx send is understood: the peer is their client.
func TestPeersSend(t *testing.T) {
	for name, through := range map[string]func(t *testing.T, to string) string{
		"haproxy v1": func(t *testing.T, to string) string { return haproxy(t, to, "", "send-proxy") },
		"haproxy v2": func(t *testing.T, to string) string {
			return haproxy(t, to, "", "send-proxy-v2 proxy-v2-options crc32c,unique-id")
		},
		"nginx v1": func(t *testing.T, to string) string { return nginx(t, to, "", "proxy_protocol on;") },
	} {
		t.Run(name, func(t *testing.T) {
			r := rig.New(t, "")
			s := r.Serve(who, behind(proxyproto.Options{Trusted: everybody}))
			c := must.Dial(t, address(t, through(t, s.ListenAddr().String())))
			must.Send(t, c, []byte("abc"))
			must.Read(t, c, []byte(c.LocalAddr().String()+"\nabc"))
		})
	}
}

// HAProxy and nginx understand what is sent: nginx tells its own server who the client is, HAProxy passes
// that on.
func TestPeersAccept(t *testing.T) {
	for name, through := range map[string]func(t *testing.T, to string) string{
		"haproxy": func(t *testing.T, to string) string { return haproxy(t, to, "accept-proxy", "send-proxy") },
		"nginx": func(t *testing.T, to string) string {
			return nginx(t, to, "proxy_protocol", "set_real_ip_from 127.0.0.1; proxy_protocol on;")
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := rig.New(t, "")
			s := r.Serve(who, behind(proxyproto.Options{Trusted: everybody}))
			at := through(t, s.ListenAddr().String())
			for version := 1; version <= 2; version++ {
				h := of(version, "192.0.2.1:5")
				h.Destination = &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 6}
				got := make(chan string, 100)
				d := proactor.Dialer{Engine: r.Engine, Handler: proactor.Handler{
					Opened: func(c *proactor.Conn) { c.Write([]byte("abc")) },
					Data:   func(_ *proactor.Conn, p []byte) int { got <- string(p); return len(p) },
				}}
				var err error
				if d.Layer, err = proxyproto.Send(&h); err != nil {
					t.Fatal(err)
				}
				c, err := d.Dial(must.Context(t), "tcp", at)
				if err != nil {
					t.Fatal(err)
				}
				for answer := ""; !strings.HasSuffix(answer, "abc"); {
					if answer += must.Take(t, "the answer", got); !strings.HasPrefix("192.0.2.1:5\nabc", answer) {
						t.Fatalf("version %d: %q", version, answer)
					}
				}
				c.Close()
			}
		})
	}
}

// curl begins its request with a header that names itself.
func TestCurl(t *testing.T) {
	path := program(t, "curl")
	r := rig.New(t, "")
	s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
		if !strings.HasSuffix(string(p), "\r\n\r\n") {
			return 0
		}
		h := proxyproto.Of(c)
		body := fmt.Sprintf("%d %v %v", h.Version, h.Source, c.RemoteAddr())
		fmt.Fprintf(c, "HTTP/1.1 %d OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", http.StatusOK, len(body), body)
		c.Close()
		return len(p)
	}}, behind(proxyproto.Options{Trusted: everybody}))
	out, err := exec.CommandContext(must.Context(t), path, "-sS", "--haproxy-protocol", "http://"+s.ListenAddr().String()+"/").Output()
	if err != nil {
		t.Fatal(err)
	}
	if words := strings.Fields(string(out)); len(words) != 3 || words[0] != "1" || words[1] != words[2] || !strings.HasPrefix(words[1], "127.0.0.1:") {
		t.Errorf("%q", out)
	}
}

func address(t *testing.T, at string) net.Addr {
	a, err := net.ResolveTCPAddr("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

package hello

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor/internal/selfsigned"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/samples/echotest"
)

// run runs a program that is on the PATH, under one of these names, and returns
// what it printed to its standard output.
func run(t *testing.T, patience time.Duration, names []string, args ...string) string {
	t.Helper()
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, path, args...)
		cmd.WaitDelay = 5 * time.Second // its children may hold the pipes
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil {
			t.Fatalf("%s: %v\n%s\n%s", name, err, out.Bytes(), errs.Bytes())
		}
		return out.String()
	}
	t.Skipf("no %s on the PATH", names[0])
	return ""
}

func TestChromium(t *testing.T) {
	echotest.Plain(t, "its clients speak none")
	_, addr := start(t, "")
	page := run(t, 2*time.Minute, []string{"chromium", "chromium-browser", "google-chrome"},
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--user-data-dir="+t.TempDir(), "--dump-dom", "http://"+addr+"/")
	if !strings.Contains(page, Page) {
		t.Fatalf("%q", page)
	}
}

func TestCurl(t *testing.T) {
	echotest.Plain(t, "its clients speak none")
	porttest.Each(t, func(t *testing.T, backend string) {
		_, addr := start(t, backend)
		url := "http://" + addr + "/"
		for _, x := range []struct {
			args []string
			want string
		}{
			{[]string{url}, Page},
			{[]string{"--http1.0", url}, Page},
			{[]string{url, url, url, "-w", "[%{num_connects}]"}, Page + "[1]" + Page + "[0]" + Page + "[0]"},
			{[]string{"--http1.0", "-H", "Connection: keep-alive", url, url, "-w", "[%{num_connects}]"}, Page + "[1]" + Page + "[0]"},
			{[]string{"-H", "Connection: close", url, url, "-w", "[%{num_connects}]"}, Page + "[1]" + Page + "[1]"},
			{[]string{"-d", "a=b", url}, Page},
			{[]string{"-H", "Transfer-Encoding: chunked", "-d", "a=b", url}, Page},
			{[]string{"-H", "Expect: 100-continue", "--expect100-timeout", "20", "-d", "a=b", url}, Page},
			{[]string{"-I", "-o", "/dev/null", "-w", "%{http_code} %{content_type}", url}, "200 text/html"},
			{[]string{"-X", "BREW", "-w", "%{http_code}", url}, "501 Not Implemented\n501"},
		} {
			args := append([]string{"-sS", "--max-time", "20", "--noproxy", "*"}, x.args...)
			if got := run(t, time.Minute, []string{"curl"}, args...); got != x.want {
				t.Errorf("%q: %q, want %q", x.args, got, x.want)
			}
		}
	})
}

// wrk runs it. It prints a line about socket errors, and one about other statuses, only
// where there were some.
func wrk(t *testing.T, args ...string) {
	t.Helper()
	report := run(t, time.Minute, []string{"wrk"}, append([]string{"-t2", "--timeout", "30s"}, args...)...)
	if !strings.Contains(report, "Requests/sec:") || strings.Contains(report, " 0 requests in") ||
		strings.Contains(report, "Socket errors") || strings.Contains(report, "Non-2xx") {
		t.Error(report)
	}
	t.Log(report)
}

func TestWrk(t *testing.T) {
	echotest.Plain(t, "its clients speak none")
	if testing.Short() {
		t.Skip("takes 3 s a backend")
	}
	porttest.EachTogether(t, func(t *testing.T, backend string) {
		_, addr := start(t, backend)
		wrk(t, "-c500", testedFor(3), "http://"+addr+"/")
	})
}

// testedFor is wrk's flag for so many seconds, of which one shows much the same.
func testedFor(seconds int) string {
	if !testenv.Long() {
		seconds = 1
	}
	return fmt.Sprintf("-d%ds", seconds)
}

// secure starts the server with TLS, and a file with what trusts it.
func secure(t *testing.T, backend string) (addr, ca string) {
	t.Helper()
	pair, _, err := selfsigned.Pair("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), 0o600); err != nil {
		t.Fatal(err)
	}
	srv := New(Options{Addr: "127.0.0.1:0", Engine: echotest.Engine(t, backend), Log: echotest.Quiet()})
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	return echotest.Listen(t, srv), ca
}

// curl over https: it trusts the server, and takes one connection for several requests.
func TestCurlTLS(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		addr, ca := secure(t, backend)
		url := "https://" + addr + "/"
		for _, version := range []string{"1.2", "1.3"} {
			got := run(t, time.Minute, []string{"curl"}, "-sS", "--max-time", "20", "--noproxy", "*", "--cacert", ca,
				"--tlsv"+version, "--tls-max", version, url, url, "-d", "a=b", "-w", "[%{num_connects} %{ssl_verify_result}]")
			if want := Page + "[1 0]" + Page + "[0 0]"; got != want {
				t.Errorf("TLS %s: %q, want %q", version, got, want)
			}
		}
	})
}

// wrk over https. It says nothing of certificates.
func TestWrkTLS(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second a backend")
	}
	porttest.EachTogether(t, func(t *testing.T, backend string) {
		addr, _ := secure(t, backend)
		wrk(t, "-c100", "-d1s", "https://"+addr+"/")
	})
}

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proactor-go/proactor/internal/must"
)

// certificates runs what docs/scale.md says: a CA, and certificates of two nodes, a and b, in a directory.
func certificates(t *testing.T) (dir string) {
	t.Helper()
	if version, err := exec.Command("openssl", "version").Output(); err != nil || !strings.HasPrefix(string(version), "OpenSSL 3") {
		t.Skipf("no OpenSSL 3: %s, %v", version, err)
	}
	page, err := os.ReadFile("../../../docs/scale.md")
	if err != nil {
		t.Fatal(err)
	}
	_, script, _ := strings.Cut(string(page), "```sh\nopenssl")
	script, _, found := strings.Cut(script, "```")
	if !found {
		t.Fatal("docs/scale.md has no such lines")
	}
	c := exec.Command("sh", "-e", "-c", "openssl"+script)
	c.Dir = t.TempDir()
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	return c.Dir
}

// Nodes with certificates of one CA are a cluster. Others are not let in: one without a certificate, and one with a certificate of
// another CA, whichever of the two comes to the other.
func TestSecureRoutes(t *testing.T) {
	dir, strange := certificates(t), certificates(t)
	routes := func(dir, name string) []string {
		return []string{"--route-cert", filepath.Join(dir, name+".pem"), "--route-key", filepath.Join(dir, name+".key"), "--route-ca", filepath.Join(dir, "ca.pem")}
	}
	start := func(join string, more ...string) *serving {
		args := append([]string{"broadcast", "--cluster", "127.0.0.1:0"}, more...)
		if join != "" {
			args = append(args, "--join", join)
		}
		return node(t, args...)
	}
	has := func(s *serving, text string) {
		t.Helper()
		must.Eventually(t, text, func() bool { return strings.Contains(s.log.String(), text) })
	}
	a := start("", routes(dir, "a")...)
	for name, more := range map[string][]string{
		"no certificate": nil, "another CA": routes(strange, "a"), "another CA, and believes this one": append(routes(strange, "a")[:4:4], "--route-ca", filepath.Join(dir, "ca.pem")),
	} {
		t.Run(name, func(t *testing.T) {
			before := strings.Count(a.log.String(), "TLS route handshake error")
			comes := start(a.cluster, more...)
			must.Eventually(t, "it is refused", func() bool { return strings.Count(a.log.String(), "TLS route handshake error") > before })
			if strings.Contains(comes.log.String(), "a node is there") {
				t.Error("it has come in")
			}
		})
	}
	if strings.Contains(a.log.String(), "a node is there") {
		t.Errorf("somebody has come in:\n%s", a.log)
	}
	b := start(a.cluster, routes(dir, "b")...)
	for _, s := range []*serving{a, b} {
		has(s, "a node is there")
	}
}

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// deployed reads a file that docs/deploy.md is about.
func deployed(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// found is the group of a pattern.
func found(t *testing.T, text, pattern string) string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no %s in\n%s", pattern, text)
	}
	return m[1]
}

// TestDeployFlags: the command understands what the files start it with, and who kills it waits
// longer than it drains.
func TestDeployFlags(t *testing.T) {
	t.Parallel()
	words := func(list string) []string {
		return strings.Fields(strings.NewReplacer(`"`, "", ",", " ").Replace(list))
	}
	pod, unit := deployed(t, "kubernetes.yaml"), deployed(t, "echo.service")
	for name, tt := range map[string]struct {
		args []string
		kill string // seconds
	}{
		"unit":       {strings.Fields(found(t, unit, `(?m)^ExecStart=\S+ (.*)$`)), found(t, unit, `(?m)^TimeoutStopSec=(\d+)$`)},
		"container":  {words(found(t, deployed(t, "Dockerfile"), `(?m)^CMD \[(.*)\]$`)), ""},
		"kubernetes": {words(found(t, pod, `args: \[(.*)\]`)), found(t, pod, `terminationGracePeriodSeconds: (\d+)`)},
	} {
		c, k := model(t)
		if _, err := k.Parse(tt.args); err != nil {
			t.Errorf("%s: %q: %v", name, tt.args, err)
		}
		if tt.kill == "" {
			continue
		}
		seconds, err := strconv.Atoi(tt.kill)
		if err != nil {
			t.Fatal(err)
		}
		if name == "kubernetes" {
			before, err := strconv.Atoi(found(t, pod, `sleep: \{seconds: (\d+)\}`))
			if err != nil {
				t.Fatal(err)
			}
			seconds -= before
		}
		if e := c.Serve.Echo; e.Drain+e.DrainDelay >= time.Duration(seconds)*time.Second {
			t.Errorf("%s: it is killed after %d s, and takes %v and %v", name, seconds, e.DrainDelay, e.Drain)
		}
	}
	if got := found(t, deployed(t, "echo.socket"), `(?m)^FileDescriptorName=(.*)$`); got != "echo" {
		t.Errorf("the socket is named %s", got)
	}
}

// TestDeployFilter: the packet filter takes the lines that have it track nothing, in a network namespace of their own.
func TestDeployFilter(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "deploy.md"))
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^nft add .*$`).FindAllString(string(b), -1)
	if len(lines) != 5 {
		t.Fatalf("%d lines: %q", len(lines), lines)
	}
	here := func(script string) (string, error) {
		out, err := exec.Command("unshare", "--net", "sh", "-ec", script).CombinedOutput()
		return string(out), err
	}
	if out, err := here("nft add table inet proactor"); err != nil {
		t.Skipf("no packet filter of one's own here (root, and Debian's nftables): %v %s", err, out)
	}
	out, err := here(strings.Join(append(lines, "nft list ruleset"), "\n"))
	if err != nil || strings.Count(out, "notrack") != 2 {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestDeployUnits: systemd has nothing to say against the units.
func TestDeployUnits(t *testing.T) {
	t.Parallel()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skipf("systemd-analyze is not installed (Debian package systemd): %v", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	args := []string{"verify"}
	for _, name := range []string{"echo.service", "echo.socket"} {
		at := filepath.Join(dir, name)
		text := strings.ReplaceAll(deployed(t, name), "/usr/local/bin/proactor", self) // it must be there
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, at)
	}
	if out, err := exec.Command(analyze, args...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

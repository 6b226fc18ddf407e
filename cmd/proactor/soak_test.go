package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/proactor-go/proactor/cmd/proactor/internal/soak"
)

// TestSoakCommand: the flags reach the run, and the result is printed.
func TestSoakCommand(t *testing.T) {
	t.Parallel()
	status, stdout, stderr := execute(t, "soak", "--for", "1s", "--seed", "5", "--loops", "3", "--backend", "std", "--json")
	var r soak.Report
	d := json.NewDecoder(strings.NewReader(stdout))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		t.Fatal(err, stdout)
	}
	if status != 0 || !r.Passed || r.Seed != 5 || r.Loops != 3 || r.Backend != "std" || r.Connections == 0 || r.Seconds < 1 {
		t.Errorf("status %d, %+v, %s", status, r, stderr)
	}
	if !strings.Contains(stderr, "seed=5\n") {
		t.Errorf("the seed is not logged: %q", stderr)
	}
}

// TestInterruptEndsSoak: with a verdict on what was done.
func TestInterruptEndsSoak(t *testing.T) {
	canInterrupt(t)
	t.Parallel()
	c := commandWith(t, "soak", "--for", "1h")
	var out bytes.Buffer
	c.Stdout = &out
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	log := bufio.NewReader(stderr)
	if line, err := log.ReadString('\n'); !strings.Contains(line, "msg=soaking") {
		t.Errorf("%q, %v", line, err)
	}
	c.Process.Signal(os.Interrupt)
	rest, _ := io.ReadAll(log)
	if err := c.Wait(); err != nil || !strings.Contains(out.String(), "all held, interrupted before the end") {
		t.Errorf("%v: %s%s", err, rest, &out)
	}
}

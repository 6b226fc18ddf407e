package main

import (
	"encoding/json"
	"testing"

	"github.com/proactor-go/proactor/cmd/proactor/internal/doctor"
)

// TestDoctor: on this machine a backend works, and a connection fits. A number that cannot fit is status 1, where it
// is known how many do.
func TestDoctor(t *testing.T) {
	t.Parallel()
	status, stdout, stderr := execute(t, "doctor", "--conns", "1", "--json")
	var r doctor.Report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || status != 0 || r.Backend == "" {
		t.Fatalf("status %d, %v\n%s%s", status, err, stdout, stderr)
	}
	if r.Fits < 0 {
		return
	}
	status, stdout, stderr = execute(t, "doctor", "--conns", "1000000000000")
	if status != 1 || stdout == "" {
		t.Errorf("status %d, %q", status, stdout)
	}
	oneLine(t, stderr)
}

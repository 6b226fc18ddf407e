package porttest

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
)

// OnWine tells whether this is a program of Windows that Wine runs. Wine tells package
// net of a reset only where a recv waits when the reset comes: a recv that starts later
// ends with the end of the stream.
var OnWine = runtime.GOOS == "windows" && os.Getenv("PROACTOR_WINE") != ""

// Reset reads until the connection is reset, and returns what came before. It fails the
// test when the stream ends with a FIN, which only Wine may tell of, or not in time. A
// test that must tell a reset from an end on Wine, too, looks at how much came, and at
// what the server says of it.
func Reset(t testing.TB, c io.Reader) []byte {
	t.Helper()
	got, err := io.ReadAll(c)
	if err == nil && OnWine {
		return got
	}
	var timeout net.Error
	if err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		t.Fatalf("after %d bytes the stream ended with %v, not a reset", len(got), err)
	}
	return got
}

//go:build race

package read_test

import (
	"io"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/tests/rig"
)

// Who tests a server and its client in one process, with the race detector, gets no
// report of what the bytes between them keep in order: who has received them, or the
// server's FIN, has seen what was done before they were sent. Any mistake here is
// the detector's report. The server is none of the rig's, whose locks would order
// the callbacks and the test.
func TestRaceEdges(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		before, after, ended := 0, 0, 0
		s := &proactor.Server{Addr: "127.0.0.1:0", Handler: proactor.Handler{
			Data: func(c *proactor.Conn, p []byte) int {
				after += before
				c.Write(p)
				return len(p)
			},
			Ended: func(c *proactor.Conn, _ error) {
				ended = 1 // goes before our FIN
				c.Close()
			},
		}}
		e, err := proactor.NewEngine(proactor.Config{Backend: backend, Loops: 1})
		if err != nil {
			t.Skip(err)
		}
		defer e.Close()
		s.Engine = e
		if err := s.Listen(); err != nil {
			t.Fatal(err)
		}
		before = 10
		c := rig.Client(t, s)
		for i := range 5 {
			before++
			must.Ask(t, c, "a")
			if after < 11*(i+1) {
				t.Errorf("after %d bytes: %d", i+1, after)
			}
		}
		before++
		large := make([]byte, 16<<10) // which a loop may send at once
		must.Send(t, c, large)
		must.Read(t, c, large)
		after++
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(c); err != nil || ended != 1 {
			t.Errorf("the answer to the FIN: %v; ended: %d", err, ended)
		}
	})
}

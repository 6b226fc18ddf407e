package lifecycle_test

import (
	"bufio"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/tests/rig"
)

// What is set and contradicts itself is refused by every call that takes it, and the
// error names the fields.
func TestContradictions(t *testing.T) {
	r := rig.New(t, "std")
	data := func(*proactor.Conn, []byte) int { return 0 }
	message := func(*proactor.Conn, []byte) {}
	split := func() bufio.SplitFunc { return bufio.ScanLines }
	parsed := proactor.Messages(func(*proactor.Conn, []byte, bool) (int, int, error) { return 0, 0, nil }, func(*proactor.Conn, int) {})
	for _, tt := range []struct {
		names string
		h     proactor.Handler
		l     proactor.Limits
	}{
		{"LowWater HighWater", proactor.Handler{}, proactor.Limits{LowWater: 2, HighWater: 1}},
		{"HighWater MaxPending", proactor.Handler{}, proactor.Limits{HighWater: 2, MaxPending: 1}},
		{"LowWater MaxPending", proactor.Handler{}, proactor.Limits{LowWater: 2, MaxPending: 1}},
		{"HighWater -1", proactor.Handler{}, proactor.Limits{HighWater: -1}},
		{"LowWater -1", proactor.Handler{}, proactor.Limits{LowWater: -1}},
		{"MaxPending -1", proactor.Handler{}, proactor.Limits{MaxPending: -1}},
		{"MaxMessage -1", proactor.Handler{}, proactor.Limits{MaxMessage: -1}},
		{"MinRate -1", proactor.Handler{}, proactor.Limits{MinRate: -1}},
		{"RateWindow -1", proactor.Handler{}, proactor.Limits{RateWindow: -1}},
		{"FirstByteTimeout -1", proactor.Handler{}, proactor.Limits{FirstByteTimeout: -1}},
		{"IdleTimeout -1", proactor.Handler{}, proactor.Limits{IdleTimeout: -1}},
		{"ReadTimeout -1", proactor.Handler{}, proactor.Limits{ReadTimeout: -1}},
		{"WriteTimeout -1", proactor.Handler{}, proactor.Limits{WriteTimeout: -1}},
		{"Overflow 3", proactor.Handler{}, proactor.Limits{Overflow: 3}},
		{"Data Message", proactor.Handler{Data: data, Split: bufio.ScanLines, Message: message}, proactor.Limits{}},
		{"Message Split NewSplit", proactor.Handler{Message: message}, proactor.Limits{}},
		{"Message Split", proactor.Handler{Split: bufio.ScanLines}, proactor.Limits{}},
		{"Message NewSplit", proactor.Handler{NewSplit: split, Data: data}, proactor.Limits{}},
		{"Messages Data", withData(parsed, data), proactor.Limits{}},
		{"Split NewSplit", proactor.Handler{Split: bufio.ScanLines, NewSplit: split, Message: message}, proactor.Limits{}},
	} {
		check := func(call string, err error) {
			for name := range strings.FieldsSeq(tt.names) {
				if err == nil || !strings.Contains(err.Error(), name) {
					t.Errorf("%s: %s: %v", tt.names, call, err)
				}
			}
		}
		s := &proactor.Server{Addr: "127.0.0.1:0", Engine: r.Engine, Handler: tt.h, Limits: tt.l}
		check("Listen", s.Listen())
		d := &proactor.Dialer{Engine: r.Engine, Handler: tt.h, Limits: tt.l}
		_, err := d.Dial(context.Background(), "tcp", "127.0.0.1:1")
		check("Dial", err)
		failed := make(chan error, 1)
		d.DialAsync(context.Background(), "tcp", "127.0.0.1:1", func(_ *proactor.Conn, err error) { failed <- err })
		check("DialAsync", must.Take(t, "done", failed))
		check("Redialer.Start", (&proactor.Redialer{Dialer: d, Network: "tcp", Address: "127.0.0.1:1", MinWait: time.Hour}).Start())
	}
	// What has a meaning is none.
	s := &proactor.Server{Addr: "127.0.0.1:0", Engine: r.Engine, Limits: proactor.Limits{LingerTimeout: -1, KeepAlive: -1}}
	if err := s.Listen(); err != nil {
		t.Error(err)
	}
}

func withData(h proactor.Handler, data func(*proactor.Conn, []byte) int) proactor.Handler {
	h.Data = data
	return h
}

package tls_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/tests/rig"
)

// times is a record again and again.
func times(n int, kind byte, body []byte) func(*sealer) []byte {
	return func(k *sealer) (wire []byte) {
		for range n {
			wire = append(wire, k.seal(kind, body)...)
		}
		return wire
	}
}

func updates(n int) func(*sealer) []byte {
	return func(k *sealer) (wire []byte) {
		for range n {
			wire = append(wire, k.update()...)
		}
		return wire
	}
}

// Records that bring nothing are borne a few times; a flood of them ends the connection, and so
// does what crypto/tls does not want to see after the handshake, and a record that was changed.
// The handler gets what came before, and a cause with the alert that was sent or received.
func TestFloods(t *testing.T) {
	keyUpdate := []byte{24, 0, 0, 1, 1}
	for name, tt := range map[string]struct {
		wire  func(*sealer) []byte
		ends  bool
		op    string         // of the net.OpError; "": none
		alert tls.AlertError // in it
	}{
		"empty records":          {wire: times(10, recordData, nil)},
		"a flood of them":        {wire: times(100, recordData, nil), ends: true},
		"records of zeros":       {wire: func(k *sealer) []byte { return k.padded(recordData, nil, 1000) }},
		"key updates":            {wire: updates(10)},
		"a flood of key updates": {wire: updates(100), ends: true},
		"key updates in one":     {wire: times(1, recordHandshake, bytes.Repeat(keyUpdate, 100)), ends: true},
		"KeyUpdate, malformed":   {wire: times(1, recordHandshake, []byte{24, 0, 0, 1, 9}), ends: true, op: "local error", alert: 50},
		"data within a message": {wire: func(k *sealer) []byte {
			return append(k.seal(recordHandshake, keyUpdate[:3]), k.seal(recordData, []byte("x"))...)
		}, ends: true, op: "local error", alert: 10},
		"a certificate":           {wire: times(1, recordHandshake, []byte{11, 0, 0, 0}), ends: true, op: "local error", alert: 50},
		"a session ticket":        {wire: times(1, recordHandshake, ticket), ends: true},
		"another ClientHello":     {wire: times(1, recordHandshake, []byte{1, 0, 0, 0}), ends: true, op: "local error", alert: 50},
		"an unknown kind":         {wire: times(1, 99, []byte("x")), ends: true, op: "local error", alert: 10},
		"a warning":               {wire: times(1, recordAlert, []byte{1, 90})},
		"a flood of warnings":     {wire: times(100, recordAlert, []byte{1, 90}), ends: true},
		"an alert":                {wire: times(1, recordAlert, []byte{2, 80}), ends: true, op: "remote error", alert: 80},
		"a byte changed":          {wire: func(k *sealer) []byte { w := k.seal(recordData, []byte("x")); w[len(w)-1] ^= 1; return w }, ends: true, op: "local error", alert: 20},
		"a record in the clear":   {wire: func(*sealer) []byte { return []byte("\x17\x03\x03\x00\x20GET / HTTP/1.1\r\nHost: server\r\n\r\n") }, ends: true, op: "local error", alert: 20},
		"a record that is longer": {wire: func(*sealer) []byte { return []byte{23, 3, 3, 0x80, 0, 0} }, ends: true},
		"no record":               {wire: func(*sealer) []byte { return []byte("GET / HTTP/1.1\r\n\r\n") }, ends: true},
	} {
		rig.Each(t, func(t *testing.T, backend string) {
			r := rig.New(t, backend)
			serves, dials := rig.TLS()
			ended := make(chan error, 1)
			got := make(chan string, 10)
			s := r.Serve(proactor.Handler{
				Data:  func(c *proactor.Conn, p []byte) int { got <- string(p); return rig.Echo(c, p) },
				Ended: func(c *proactor.Conn, why error) { ended <- why; c.Close() },
			}, withTLS(serves))
			plain := rig.Client(t, s)
			c, k := handshakes(t, plain, dials)
			must.Send(t, plain, append(k.seal(recordData, []byte("before")), tt.wire(k)...))
			if p := must.Take(t, "Data", got); p != "before" {
				t.Errorf("%s: Data is shown %q", name, p)
			}
			if !tt.ends {
				must.Read(t, c, []byte("before"))
				must.Send(t, plain, k.seal(recordData, []byte("after")))
				must.Read(t, c, []byte("after"))
				plain.Close()
				r.Ends(proactor.ErrTruncated)
				return
			}
			why := must.Take(t, "Ended", ended)
			var told *net.OpError
			var alert tls.AlertError
			var head tls.RecordHeaderError
			errors.As(why, &told)
			errors.As(why, &alert)
			switch {
			case tt.op != "" && (told == nil || told.Op != tt.op || alert != tt.alert),
				tt.op == "" && !errors.As(why, &head) && !strings.HasPrefix(why.Error(), "tls: "):
				t.Errorf("%s: ended with %v, alert %d", name, why, alert)
			}
			if told = nil; tt.op != "remote error" {
				if _, err := io.ReadAll(c); !errors.As(err, &told) || told.Op != "remote error" {
					t.Errorf("%s: the client sees %v", name, err)
				}
			}
			plain.Close()
			must.Take(t, "Closed", r.Closed)
			select {
			case p := <-got:
				t.Errorf("%s: Data is shown %q", name, p)
			default:
			}
		})
	}
}

// ticket is a NewSessionTicket of TLS 1.3, which lasts for an hour.
var ticket = slices.Concat([]byte{4, 0, 0, 17, 0, 0, 14, 16, 1, 2, 3, 4, 1, 0, 0, 3}, []byte("abc"), []byte{0, 0})

// A server that sends tickets and tickets is one to leave.
func TestTicketFlood(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		for n, ends := range map[int]bool{10: false, 100: true} {
			r := rig.New(t, backend)
			serves, dials := rig.TLS()
			var keys must.Log
			serves.KeyLogWriter, serves.MinVersion, serves.SessionTicketsDisabled = &keys, tls.VersionTLS13, true
			dials.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			addr := must.Serve(t, must.Lifetime, func(plain *net.TCPConn) {
				c := tls.Server(plain, serves)
				if err := c.Handshake(); err != nil || c.ConnectionState().CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
					return
				}
				k := newSealer(t, keys.String(), "SERVER_TRAFFIC_SECRET_0")
				plain.Write(append(times(n, recordHandshake, ticket)(k), k.seal(recordData, []byte("after"))...))
				io.Copy(io.Discard, plain)
			})
			got := make(chan string, 1)
			d := &proactor.Dialer{Engine: r.Engine, TLS: dials, Handler: r.Watch(proactor.Handler{
				Data: func(_ *proactor.Conn, p []byte) int { got <- string(p); return len(p) },
			})}
			c, err := d.Dial(must.Context(t), "tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			if c.TLS().CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
				t.Skip("another cipher is preferred here")
			}
			if ends {
				if e := must.Take(t, "Closed", r.Closed); !strings.Contains(e.Cause.Error(), "non-advancing") {
					t.Errorf("%d tickets: closed with %v", n, e.Cause)
				}
				continue
			}
			if p := must.Take(t, "Data", got); p != "after" {
				t.Errorf("%d tickets: Data is shown %q", n, p)
			}
			c.Close()
			r.Ends(proactor.ErrLocalClosed)
		}
	})
}

// MinRate, FirstByteTimeout and MaxMessage are about what the records hide: zeros behind the body
// and records without one count for nothing. A record that is not whole is a message under way,
// and its bytes count as they come.
func TestHiddenInRecords(t *testing.T) {
	half := bytes.Repeat([]byte("x"), 60)
	drip := func(most, each int) func(*sealer, int) []byte {
		var wire []byte
		return func(k *sealer, i int) []byte {
			if i == 0 {
				wire = k.seal(recordData, append(bytes.Repeat([]byte("x"), most-1), '\n'))
			}
			n := min(each, len(wire))
			p := wire[:n]
			wire = wire[n:]
			return p
		}
	}
	behind := func(next func(*sealer, int) []byte) func(*sealer, int) []byte {
		return func(k *sealer, i int) []byte {
			var line []byte
			if i == 0 {
				line = k.seal(recordData, []byte("beginning of a line"))
			}
			return append(line, next(k, i)...)
		}
	}
	once := func(wire func(*sealer) []byte) func(*sealer, int) []byte {
		return func(k *sealer, i int) []byte {
			if i > 0 {
				return nil
			}
			return wire(k)
		}
	}
	for name, tt := range map[string]struct {
		each func(k *sealer, i int) []byte // what the client sends in the second i
		ends proactor.LimitCounts
	}{
		"zeros":                      {func(k *sealer, _ int) []byte { return k.padded(recordData, []byte("x"), 5000) }, proactor.LimitCounts{Slow: 1}},
		"enough":                     {func(k *sealer, _ int) []byte { return k.seal(recordData, bytes.Repeat([]byte("x"), 300)) }, proactor.LimitCounts{}},
		"a slow record":              {drip(16000, 20), proactor.LimitCounts{Slow: 1}},
		"a slow record in a line":    {behind(drip(16000, 20)), proactor.LimitCounts{Slow: 1}},
		"a record":                   {drip(3000, 400), proactor.LimitCounts{}},
		"a record in a line":         {behind(drip(16000, 400)), proactor.LimitCounts{}},
		"half a header":              {once(func(k *sealer) []byte { return append(k.seal(recordData, []byte("x\n")), 23, 3) }), proactor.LimitCounts{Slow: 1}},
		"a line, then silence":       {once(times(1, recordData, []byte("x\n"))), proactor.LimitCounts{}},
		"a key update, then silence": {once(func(k *sealer) []byte { return append(k.seal(recordData, []byte("x\n")), k.update()...) }), proactor.LimitCounts{}},
		"no line":                    {func(k *sealer, _ int) []byte { return k.seal(recordData, bytes.Repeat(half, 100)) }, proactor.LimitCounts{TooLong: 1}},
		"empty records":              {func(k *sealer, i int) []byte { return times(i%2, recordData, nil)(k) }, proactor.LimitCounts{FirstByte: 1}},
		"key updates":                {func(k *sealer, i int) []byte { return updates(i % 2)(k) }, proactor.LimitCounts{FirstByte: 1}},
		"nothing but a record":       {drip(16000, 400), proactor.LimitCounts{FirstByte: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			proactortest.Config{Seeds: 5}.Run(t, func(e *proactortest.Env) {
				serves, dials := rig.TLS()
				s := e.Serve(&proactor.Server{TLS: serves, Handler: rig.Lines(), Limits: proactor.Limits{
					MinRate: 100, RateWindow: 5 * time.Second, FirstByteTimeout: 12 * time.Second, MaxMessage: 50_000, LingerTimeout: -1,
				}})
				plain := e.Dial(s)
				_, k := handshakes(t, plain, dials)
				for i := range 25 {
					plain.Write(tt.each(k, i)) // fails when it is closed
					e.Sleep(time.Second)
				}
				got := e.Engine.Stats().Limited
				if got.Linger = 0; got != tt.ends { // the client never ends it
					e.Errorf("the limits have done %+v, want %+v", got, tt.ends)
				}
			})
		})
	}
}

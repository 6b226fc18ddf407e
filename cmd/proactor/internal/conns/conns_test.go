package conns

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor/admin"
	"github.com/proactor-go/proactor/internal/must"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

// flood writes pieces until nobody takes them.
func flood(begin, piece string) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		io.WriteString(c, begin)
		for piece = strings.Repeat(piece, 1+16<<10/len(piece)); ; {
			if _, err := io.WriteString(c, piece); err != nil {
				return
			}
		}
	}
}

// Whatever a server says, the reader ends with an error that can be shown, and has not
// kept it.
func TestHostileServers(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n\r\n"
	say := func(text string) func(*net.TCPConn) {
		return func(c *net.TCPConn) { io.WriteString(c, text); io.Copy(io.Discard, c) }
	}
	closing := func(text string) func(*net.TCPConn) { return func(c *net.TCPConn) { io.WriteString(c, text) } }
	type server struct {
		talk func(*net.TCPConn)
		want string
	}
	must.Together(t, map[string]server{
		"silent":               {say(""), "no answer in time"},
		"silent after head":    {say(ok), "no answer in time"},
		"closes":               {closing(""), "no operator's page"},
		"another protocol":     {closing("+OK \x1b[2J\r\n"), "no operator's page"},
		"endless banner":       {flood("", "x"), ""},
		"endless header":       {flood("HTTP/1.1 200 OK\r\n", "A: b\r\n"), "header"},
		"endless status":       {flood("HTTP/1.1 200 ", "x"), ""},
		"endless informations": {flood("", "HTTP/1.1 103 Early Hints\r\n\r\n"), ""},
		"escapes in status":    {closing("HTTP/1.1 404 \x1b]0;t\x07\r\n\r\n"), `404 \x1b]0;t\a`},
		"redirects":            {closing("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n"), "302 Found"},
		"no list":              {closing(ok + "<html>\x1b[2J"), `"<html>\x1b[2J"`},
		"endless text":         {flood(ok, "x"), "it answers"},
		"endless space":        {flood(ok+"[", " "), "breaks off"},
		"endless string":       {flood(ok+`[{"state":"`, "x"), "breaks off"},
		"endless nesting":      {flood(ok+"[", "["), "breaks off"},
		"wrong type":           {closing(ok + `[{"id":"x"}]`), "breaks off"},
		"breaks off":           {closing(ok + `[{"id":1},{"id"`), "breaks off"},
		"drips": {func(c *net.TCPConn) {
			io.WriteString(c, ok+"[")
			for {
				if _, err := io.WriteString(c, " "); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		}, ""},
	}, func(t *testing.T, s server) {
		within := patience
		if s.want == "" || s.want == "no answer in time" { // else it ends by what it reads
			within = 3 * time.Second
		}
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		err := Read(ctx, must.Serve(t, 2*patience, s.talk), func(admin.Conn) error { return nil })
		if err == nil || !strings.Contains(err.Error(), s.want) {
			t.Errorf("%v; want %q", err, s.want)
		}
		for _, r := range fmt.Sprint(err) {
			if r < ' ' || r == 0x7f {
				t.Fatalf("the error has control characters: %q", err)
			}
		}
		if err != nil && len(err.Error()) > 300 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
	})
}

// A list without an end is read for as long as its reader wants to, and not kept.
func TestEndlessList(t *testing.T) {
	addr := must.Serve(t, 2*patience, flood("HTTP/1.1 200 OK\r\n\r\n[{}", `,{"local":"a","state":"`+strings.Repeat("x", 100)+`"}`))
	enough := errors.New("enough")
	n, most := 0, uint64(0)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	err := Read(t.Context(), addr, func(admin.Conn) error {
		if n++; n%50_000 == 0 {
			most = max(most, heap())
		}
		if n == 100_000 {
			return enough
		}
		return nil
	})
	if err == nil || !errors.Is(err, enough) {
		t.Fatal(err)
	}
	if most > before+4<<20 {
		t.Errorf("%d bytes are kept after %d connections", most-before, n)
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	w := NewTable(&b)
	for range tableBlock + 1 {
		w.Row(admin.Conn{Local: "\x1b[2J", Remote: "a\nb", State: "open\r"})
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "\n"); n != tableBlock+2 {
		t.Errorf("%d lines", n)
	}
	if strings.ContainsAny(b.String(), "\x1b\r") || !strings.Contains(b.String(), `\x1b[2J  a\nb  open\r`) {
		t.Errorf("%.200q", b.String())
	}
}

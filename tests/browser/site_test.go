package browser

import (
	"context"
	"crypto/tls"
	"log/slog"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/proactor-go/proactor/internal/selfsigned"
	"github.com/proactor-go/proactor/samples/site"
)

// The page of the sample http over TLS: the clock comes by HTTP/2, the echo by a WebSocket beside it.
func TestSite(t *testing.T) {
	b := start(t)
	pair, _, err := selfsigned.Pair("localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	s, err := site.New(site.Options{Addr: "127.0.0.1:0", Engine: engine(t), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: site.Protocols}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	p := b.open(t, "https://"+s.ListenAddr().String()+"/")
	if got := eval[string](p, `performance.getEntriesByType("navigation")[0].nextHopProtocol`); got != "h2" {
		t.Errorf("the page came by %q", got)
	}
	const clock = `document.getElementById("clock").textContent`
	p.until(clock + `.includes(":")`)
	first := eval[string](p, clock)
	p.until(clock + " !== " + `"` + first + `"`)
	p.do(chromedp.SendKeys(chromedp.CSS("#text"), "say "), chromedp.WaitEnabled(chromedp.CSS("#send")), chromedp.Click(chromedp.CSS("#send")))
	p.shows("#heard", "“say hello” came back")
	p.shot("site")
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // the page is still there
	s.Shutdown(ctx)
}

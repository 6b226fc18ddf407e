// Package browser has pages of this module shown in a real browser, headless: the chat, the pages of the
// samples, that of package admin, and one that puts package websocket to the test. It is a module of its
// own, so that users of proactor do not depend on chromedp.
//
// With PROACTOR_SCREENSHOTS=DIR the tests leave pictures of the pages there.
package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// patience is how long a test may wait for one thing, and lifetime how long for all: a browser on a busy
// machine takes its time.
const (
	patience = time.Minute
	lifetime = 5 * time.Minute
)

// browser is a Chromium with a profile of its own.
type browser struct {
	t   *testing.T
	ctx context.Context
}

// start starts a browser, which ends with the test.
func start(t *testing.T) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed")
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.IgnoreCertErrors,
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
	}
	for _, flag := range []string{
		"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync", "disable-dev-shm-usage",
		"disable-background-timer-throttling", "disable-backgrounding-occluded-windows", "disable-renderer-backgrounding",
	} {
		options = append(options, chromedp.Flag(flag, true))
	}
	ctx, cancel := context.WithTimeout(context.Background(), lifetime)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithErrorf(t.Logf))
	t.Cleanup(func() {
		defer cancel()
		ctx, stop := context.WithTimeout(ctx, patience)
		defer stop()
		if err := chromedp.Cancel(ctx); err != nil { // waits until it has gone, and its profile is not written any more
			t.Logf("the browser ended with %v", err)
		}
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("the browser does not start: %v", err)
	}
	return &browser{t, ctx}
}

// tab is a page of the browser.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu   sync.Mutex
	said []string // errors on its console
}

// open opens an address in a new tab. What the page throws, or is refused by its Content-Security-Policy, fails
// the test at its end.
func (b *browser) open(t *testing.T, url string) *tab {
	t.Helper()
	p := &tab{t: t}
	var cancel context.CancelFunc
	p.ctx, cancel = chromedp.NewContext(b.ctx)
	messages := chromedp.Console(p.ctx)
	read := make(chan struct{})
	go func() {
		defer close(read)
		for m, err := range messages {
			if err != nil {
				return
			}
			if m.IsException() || m.Source == "security" || strings.Contains(m.Text, "Content Security Policy") {
				p.mu.Lock()
				p.said = append(p.said, m.String())
				p.mu.Unlock()
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-read
		for _, text := range p.said {
			t.Errorf("%s: %s", url, text)
		}
	})
	p.do(chromedp.EmulateViewport(1000, 640), chromedp.Navigate(url))
	return p
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("%v; the page: %s", err, p.text("body"))
	}
}

// eval evaluates an expression in the page, and what it promises.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%.200s: %v", expression, err)
	}
	return v
}

// text is what an element shows.
func (p *tab) text(selector string) string {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[string](fmt.Sprintf("document.querySelector(%s)?.innerText ?? 'none'", strconv.Quote(selector))))
	if err != nil {
		return err.Error()
	}
	return v
}

// until waits until an expression is true in the page.
func (p *tab) until(expression string) {
	p.t.Helper()
	for end := time.Now().Add(patience); !eval[bool](p, "Boolean("+expression+")"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			p.shot("in-vain")
			p.t.Fatalf("waited in vain for %s; the page: %s", expression, p.text("body"))
		}
	}
}

// shows waits until the text of an element is that.
func (p *tab) shows(selector, text string) {
	p.t.Helper()
	p.until(fmt.Sprintf("document.querySelector(%s)?.innerText.trim() === %s", strconv.Quote(selector), strconv.Quote(text)))
}

// shot leaves a picture of the page, if pictures are asked for.
func (p *tab) shot(name string) {
	p.t.Helper()
	dir := os.Getenv("PROACTOR_SCREENSHOTS")
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	b, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), b, 0o644)
	}
	if err != nil {
		p.t.Error(err)
	}
}

// dark has the page look as in a dark room.
func (p *tab) dark() {
	p.t.Helper()
	features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}
	if _, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}); err != nil {
		p.t.Fatal(err)
	}
}

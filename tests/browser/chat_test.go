package browser

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/hub"
	"github.com/proactor-go/proactor/hub/chat"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/websocket"
)

func engine(t *testing.T) *proactor.Engine {
	t.Helper()
	e, err := proactor.NewEngine(proactor.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// open opens a hub that keeps what is said.
func open(t *testing.T) *hub.Hub {
	t.Helper()
	h, err := hub.Open(hub.Options{History: &hub.History{Last: 50}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	seqs := make(chan uint64, 1)
	seat, err := h.Join("aside", hub.Func(func(e *hub.Event) {
		if e.Kind == hub.Message {
			seqs <- e.Seq
		}
	}), "", hub.Close)
	if err != nil {
		t.Fatal(err)
	}
	defer seat.Leave()
	must.Eventually(t, "messages are kept", func() bool { // those before flow
		if err := h.Publish("aside", nil); err != nil {
			t.Fatal(err)
		}
		return must.Take(t, "a message", seqs) > 0
	})
	return h
}

func serveChat(t *testing.T, h *hub.Hub, e *proactor.Engine, addr string, origins ...string) *chat.Server {
	t.Helper()
	s := chat.New(chat.Options{Addr: addr, Hub: h, History: true, Engine: e, Origins: origins, Log: slog.New(slog.DiscardHandler)})
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	return s
}

// enter opens the chat, and goes in.
func enter(b *browser, addr, name, room string) *tab {
	p := b.open(b.t, "http://"+addr+"/?room="+room)
	p.do(chromedp.SendKeys(chromedp.CSS("#name"), name), chromedp.Click(chromedp.CSS("#enter button")))
	p.shows("#link", "connected")
	return p
}

func (p *tab) say(text string) {
	p.t.Helper()
	p.do(chromedp.SendKeys(chromedp.CSS("#text"), text), chromedp.Click(chromedp.CSS("#send")))
	p.until(`document.getElementById("text").value === ""`)
}

// hears waits until the last message is that.
func (p *tab) hears(text string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`[...document.querySelectorAll("#said .text")].at(-1)?.textContent === %q`, text))
}

// here waits until these are listed, and no others.
func (p *tab) here(names ...string) {
	p.t.Helper()
	p.shows("#count", fmt.Sprintf("· %d", len(names)))
	p.until(fmt.Sprintf(`[...document.querySelectorAll("#names li")].map((e) => e.textContent).join("|") === %q`, strings.Join(names, "|")))
}

// Two people talk, see who is here, and are together again after the server was started anew.
func TestChat(t *testing.T) {
	b := start(t)
	e, h := engine(t), open(t)
	addr := must.Free(t)
	s := serveChat(t, h, e, addr)

	door := b.open(t, "http://"+addr+"/")
	door.do(chromedp.WaitVisible(chromedp.CSS("#enter")))
	door.shot("chat-door")
	ada := enter(b, addr, "Ada", "tea")
	ada.here("Ada")
	const name = "Grace <b>"
	grace := enter(b, addr, name, "tea")
	grace.here("Ada", name)
	ada.here("Ada", name)
	grace.say("Hello, Ada.")
	ada.hears("Hello, Ada.")
	const markup = `<img src=x onerror="document.title='caught'"> & <script>document.title="caught"</script>`
	ada.say(markup)
	for _, p := range []*tab{ada, grace} {
		p.hears(markup)
		if n := eval[int](p, `document.querySelectorAll("#said img, #said script, #names b").length`); n != 0 || eval[string](p, "document.title") == "caught" {
			t.Errorf("what was said has become %d elements of the page", n)
		}
	}
	grace.say("That stays text.")
	grace.say("And a longer line, to see how it looks where it is broken: " + strings.Repeat("tea and biscuits, ", 12))
	ada.until(`document.querySelectorAll("#said .text").length === 4`)
	ada.shot("chat")
	ada.dark()
	ada.shot("chat-dark")
	ada.do(chromedp.EmulateViewport(390, 700))
	ada.shot("chat-phone")
	ada.do(chromedp.EmulateViewport(1000, 640))

	ada.do(chromedp.SetValue(chromedp.CSS("#text"), strings.Repeat("ä", chat.MaxText/2)+"x"), chromedp.Click(chromedp.CSS("#send")))
	ada.shows("#trouble", "A message has up to 4096 bytes; this has 4097.")
	ada.shot("chat-too-long")
	eval[string](ada, `document.getElementById("text").value = ""`)
	ada.say("Shorter, then.")
	ada.shows("#trouble", "")

	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second) // so within one they move
	defer cancel()
	if err := s.Shutdown(ctx); err != nil && err != context.DeadlineExceeded {
		t.Error(err)
	}
	ada.until(`document.getElementById("link").innerText.startsWith("not connected, trying again in") || document.getElementById("link").innerText.startsWith("connecting")`)
	ada.shot("chat-away")
	s = serveChat(t, h, e, addr)
	for _, p := range []*tab{ada, grace} {
		p.shows("#link", "connected")
		p.here("Ada", name)
	}
	grace.say("There you are.")
	ada.hears("There you are.")
	ada.do(chromedp.Click(chromedp.CSS("#leave")), chromedp.WaitVisible(chromedp.CSS("#enter")))
	grace.here(name)
	cancel() // the pages are still there
	s.Shutdown(ctx)
}

// A room of many shows some, and how many more there are. A connection that breaks is made again, and
// nothing of what was said meanwhile is missing.
func TestChatCrowd(t *testing.T) {
	b := start(t)
	e, others := engine(t), engine(t)
	addr := must.Free(t)
	serveChat(t, open(t), e, addr)
	ada := enter(b, addr, "Ada", "hall")
	guests := map[string]*websocket.Conn{} // by address
	var guest *websocket.Conn
	for i := range chat.MaxListed + 20 {
		var err error
		url := fmt.Sprintf("ws://%s/ws?room=hall&name=guest%d", addr, i)
		if guest, err = websocket.Dial(must.Context(t), &proactor.Dialer{Engine: others}, url, nil, &websocket.Options{}); err != nil {
			t.Fatal(err)
		}
		guests[guest.Transport().LocalAddr().String()] = guest
	}
	ada.shows("#count", fmt.Sprintf("· %d", chat.MaxListed+21))
	ada.shows("#more", "and 21 more")
	ada.shot("chat-crowd")
	say := func(text string) {
		if err := guest.Write(websocket.Text, []byte(text)); err != nil {
			t.Error(err)
		}
	}
	say("one")
	ada.hears("one")
	if err := e.EachConn(must.Context(t), func(c *proactor.Conn, info *proactor.ConnInfo) bool { // all but those of the guests
		if c != nil && guests[info.Remote.String()] == nil {
			c.Abort()
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		say(fmt.Sprint("meanwhile ", i))
	}
	ada.hears("meanwhile 19")
	want := "one"
	for i := range 20 {
		want += fmt.Sprint("|meanwhile ", i)
	}
	if got := eval[string](ada, `[...document.querySelectorAll("#said .text")].map((e) => e.textContent).join("|")`); got != want {
		t.Errorf("heard %s", got)
	}
}

// A page whose server goes, and has told it of another one, goes on there, and misses nothing.
func TestChatMoves(t *testing.T) {
	b := start(t)
	e, h := engine(t), open(t)
	addrs := []string{must.Free(t), must.Free(t)}
	origins := []string{"http://" + addrs[0], "http://" + addrs[1]}
	goes := serveChat(t, h, e, addrs[0], origins...)
	serveChat(t, h, e, addrs[1], origins...)
	ada, grace := enter(b, addrs[0], "Ada", "tea"), enter(b, addrs[1], "Grace", "tea")
	ada.here("Ada", "Grace")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second) // so within one they move
	defer cancel()
	if err := goes.Shutdown(ctx); err != nil && err != context.DeadlineExceeded {
		t.Error(err)
	}
	grace.say("Are you there?")
	ada.hears("Are you there?")
	ada.shows("#link", "connected")
	ada.here("Ada", "Grace")
	grace.here("Ada", "Grace")
	grace.say("You are here, too.")
	ada.hears("You are here, too.")
	ada.say("I am.")
	grace.hears("I am.")
}

// A page whose server falls silent, and says no end, goes on at another one after a while, and so does one that is
// never answered at all.
func TestChatFallsSilent(t *testing.T) {
	b := start(t)
	e, h := engine(t), open(t)
	front, addr := must.Free(t), must.Free(t)
	origins := []string{"http://" + front, "http://" + addr}
	behind := must.Free(t)
	serveChat(t, h, e, behind, origins...)
	serveChat(t, h, e, addr, origins...)
	silence := lead(t, front, behind)
	ada, grace := enter(b, front, "Ada", "tea"), enter(b, addr, "Grace", "tea")
	grace.say("Hello, Ada.")
	ada.hears("Hello, Ada.")
	silence()
	// A minute passes within three seconds.
	ada.do(chromedp.Evaluate[chromedp.Void](`{
		const real = setTimeout;
		window.setTimeout = (f, ms) => real(f, ms / 20);
		waitFor(socket, maxSilence);
	}`))
	grace.say("Are you there?")
	ada.hears("Are you there?")
	ada.shows("#link", "connected")
	// It goes where it is not answered, and comes back.
	eval[bool](ada, fmt.Sprintf(`{ server = %q; socket.close(); true }`, origins[1]))
	ada.until(`document.getElementById("link").innerText !== "connected"`)
	ada.shows("#link", "connected")
	grace.say("And now?")
	ada.hears("And now?")
}

// lead has what comes to one address go to another, until silence is called: then nothing goes anywhere, and nothing ends.
func lead(t *testing.T, from, to string) (silence func()) {
	t.Helper()
	l, err := net.Listen("tcp", from)
	if err != nil {
		t.Fatal(err)
	}
	silent := make(chan struct{})
	over := make(chan struct{})
	t.Cleanup(func() {
		close(over)
		l.Close()
	})
	pass := func(to, from net.Conn) {
		p := make([]byte, 16<<10)
		for {
			n, err := from.Read(p)
			select {
			case <-silent:
				<-over
			default:
			}
			if n > 0 {
				_, werr := to.Write(p[:n])
				err = errors.Join(err, werr)
			}
			if err != nil {
				from.Close()
				to.Close()
				return
			}
		}
	}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			go pass(in, out)
			go pass(out, in)
		}
	}()
	return func() { close(silent) }
}

// A page that comes back to a room in which nothing was kept says that messages may be missing.
func TestChatUnkept(t *testing.T) {
	b := start(t)
	addr := must.Free(t)
	serveChat(t, open(t), engine(t), addr)
	ada := enter(b, addr, "Ada", "tea")
	missing := func(events string) int {
		return eval[int](ada, `{
			document.getElementById("said").replaceChildren();
			for (const type of `+strconv.Quote(events)+`.split(" ")) show({ type, history: true, origins: [] });
			[...document.querySelectorAll("#said .note")].filter((e) => e.textContent === "Messages may be missing here.").length
		}`)
	}
	for events, want := range map[string]int{"hello": 0, "unkept hello": 1, "unkept hello hello": 1, "unkept kept hello": 0, "unkept hello unkept hello": 2} {
		if n := missing(events); n != want {
			t.Errorf("%s: it says %d times that messages may be missing, want %d", events, n, want)
		}
	}
}

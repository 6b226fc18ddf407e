package browser

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/admin"
	"github.com/proactor-go/proactor/internal/must"
)

// column is what the rows of the table of connections have in a column.
func column(p *tab, i int) []string {
	return eval[[]string](p, fmt.Sprintf(`[...document.querySelectorAll("#conns tbody tr")].map((tr) => tr.cells[%d].textContent)`, i))
}

// The operator's page: its charts move, its table is sorted, searched and paged, and an action is refused
// without the token, and done with it.
func TestAdmin(t *testing.T) {
	b := start(t)
	e := engine(t)
	const conns = 120
	srv := &proactor.Server{Addr: "127.0.0.1:0", Engine: e, Handler: proactor.Handler{
		Data: func(c *proactor.Conn, p []byte) int { c.Write(p); return len(p) },
	}}
	if err := srv.Listen(); err != nil {
		t.Fatal(err)
	}
	page, err := admin.Listen("127.0.0.1:0", e, admin.Options{Token: "open sesame", Servers: map[string]*proactor.Server{"echo": srv}})
	if err != nil {
		t.Fatal(err)
	}
	defer page.Close()
	var clients []net.Conn
	for i := range conns {
		c := must.Dial(t, srv.ListenAddr())
		must.Ask(t, c, string(make([]byte, 1+i)))
		clients = append(clients, c)
	}

	p := b.open(t, page.URL())
	p.shows("#link", "live")
	p.shows("#range", fmt.Sprintf("1–50 of %d", conns))
	if n := len(column(p, 0)); n != 50 {
		t.Errorf("the table has %d rows", n)
	}

	// The charts: a new point each second, and what flows is in them.
	points := `document.querySelector("#charts path").getAttribute("d")?.split("L").length`
	p.until(points + " >= 3")
	figure := func(i int) string {
		return fmt.Sprintf(`document.querySelectorAll("#charts figcaption b")[%d].textContent`, i)
	}
	p.until(figure(2) + fmt.Sprintf(" === '%d'", conns))
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for buf := make([]byte, 10_000); ; {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := clients[0].Write(buf); err != nil {
				return
			}
			for n := 0; n < len(buf); {
				k, err := clients[0].Read(buf[n:])
				if err != nil {
					return
				}
				n += k
			}
		}
	}()
	p.until(`/[1-9].* [kMG]B · /.test(` + figure(0) + ")")
	close(stop)
	<-stopped
	p.until(points + " >= 5")
	p.shot("admin")

	// Sorted by the bytes received, upwards; then the last page of that.
	p.do(chromedp.Click(chromedp.CSS(`#conns th[data-sort="bytes_in"]`)))
	p.until(`document.querySelector('#conns th[data-sort="bytes_in"]').textContent.endsWith("▲")`)
	if got := column(p, 4)[:3]; !slices.Equal(got, []string{"2 B", "3 B", "4 B"}) { // the first has sent much
		t.Errorf("the smallest ones are %v", got)
	}
	for _, want := range []string{"51–100", "101–120"} {
		p.do(chromedp.Click(chromedp.CSS("#forth")))
		p.shows("#range", fmt.Sprintf("%s of %d", want, conns))
	}
	if !eval[bool](p, `document.getElementById("forth").disabled`) {
		t.Error("after the last page there is another")
	}
	p.do(chromedp.Click(chromedp.CSS("#back")))
	p.shows("#range", fmt.Sprintf("51–100 of %d", conns))

	// One that is searched for is closed, which takes the token.
	peer := clients[7].LocalAddr().String()
	p.do(chromedp.SendKeys(chromedp.CSS("#search"), peer), chromedp.Click(chromedp.CSS("#find [type=submit]")))
	p.shows("#range", "1–1 of 1")
	if got := column(p, 1); !slices.Equal(got, []string{peer}) {
		t.Errorf("found %v, not %s", got, peer)
	}
	abort := chromedp.Click(chromedp.CSS("#conns tbody td:last-child button"))
	p.do(abort)
	p.shows("#said", "this needs the token that the server was started with")
	p.shot("admin-refused")
	must.Ask(t, clients[7], "still here")
	p.do(chromedp.SendKeys(chromedp.CSS("#token"), "open sesame"), abort)
	p.shows("#said", "abort: done")
	if _, err := clients[7].Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still there")
	}
	p.until(figure(2) + fmt.Sprintf(" === '%d'", conns-1))
	eval[bool](p, "(scrollTo(0, 0), true)")
	p.do(chromedp.EmulateViewport(390, 700))
	p.shot("admin-phone")
	p.do(chromedp.EmulateViewport(1000, 640))
	p.dark()
	p.shot("admin-dark")
	if n, err := strconv.Atoi(eval[string](p, figure(2))); err != nil || n != srv.Conns() {
		t.Errorf("the page has %d connections, the server %d, %v", n, srv.Conns(), err)
	}
}

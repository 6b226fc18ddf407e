package load

import (
	"fmt"
	"strings"
	"time"
)

// progress is one line that shows how the run goes, written over itself.
type progress struct {
	run  *run
	last counts
	at   int64
	wide int // of what is on the line
}

func (p *progress) show() {
	r, now := p.run, nanotime()
	t := r.total()
	_, failed := r.failures.snapshot()
	line := fmt.Sprintf("connecting: %d of %d", t.opened, r.opt.Conns)
	if left := r.connects.Load(); left <= 0 || r.opt.Churn {
		line = fmt.Sprintf("%6.1fs  %d open  %d messages", time.Duration(now-r.began.Load()).Seconds(), t.open, t.messages)
		if p.at != 0 && !r.opt.Idle {
			line += fmt.Sprintf("  %.0f/s", float64(t.messages-p.last.messages)/time.Duration(now-p.at).Seconds())
		}
	}
	if failed > 0 {
		line += fmt.Sprintf("  %d errors", failed)
	}
	p.last, p.at = t, now
	p.write(line)
}

// clear leaves the line empty for what comes after.
func (p *progress) clear() {
	if p.wide > 0 {
		p.write("")
		fmt.Fprint(p.run.opt.Progress, "\r")
	}
}

func (p *progress) write(line string) {
	fmt.Fprintf(p.run.opt.Progress, "\r%s%s", line, strings.Repeat(" ", max(p.wide-len(line), 0)))
	p.wide = len(line)
}

// oneLine keeps an error that has several to one.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

package proactor

import (
	"context"
	"math/bits"
	"sync"
)

// Histogram counts values by their size, in buckets each twice as wide as the one before. Values
// are durations in nanoseconds, or bytes.
type Histogram struct {
	First  int64               // the bound of the first bucket
	Counts [HistogramLen]int64 // values in each bucket: at most its Bound, and more than that of the one before. The last has no bound
	Sum    int64               // of all values
}

// HistogramLen is how many buckets a [Histogram] has.
const HistogramLen = 33

// Bound is the largest value that bucket i counts. The last bucket, HistogramLen-1, counts larger
// ones, too.
func (h *Histogram) Bound(i int) int64 { return h.First << i }

// Count is how many values there are.
func (h *Histogram) Count() (n int64) {
	for _, of := range h.Counts {
		n += of
	}
	return n
}

// note counts a value.
func (h *Histogram) note(v int64) {
	v = max(v, 0)
	h.Counts[min(bits.Len64(uint64(max(v-1, 0)/h.First)), HistogramLen-1)]++
	h.Sum += v
}

func (h *Histogram) add(other *Histogram) {
	for i, n := range other.Counts {
		h.Counts[i] += n
	}
	h.Sum += other.Sum
}

// Histograms are the distributions that an engine keeps, since it was made. Keeping them takes
// two looks at the clock in a round of a loop, and nothing for a message.
type Histograms struct {
	// Rounds is how long each round of a loop took: the callbacks for what had arrived, tasks and timers, but
	// not the wait for more. What arrives meanwhile waits so long.
	Rounds Histogram
	// Callbacks is a sample: of each round the first completion, with its callback.
	Callbacks Histogram
	// Handshakes is how long it took until a Layer, or TLS, was ready: from the accept, the connect
	// or StartTLS. Those that failed do not count.
	Handshakes Histogram
	// Lifetimes, Received and Sent are of connections that have gone: how long they lasted, and how many
	// bytes came in and went out.
	Lifetimes, Received, Sent Histogram
}

// The bounds of the first buckets. The last that has a bound ends at 71 minutes, 49 days, and 256 GiB.
const (
	firstTook  = 1_000 // ns
	firstLife  = 1_000_000
	firstBytes = 64
)

func newHistograms() Histograms {
	return Histograms{
		Rounds: Histogram{First: firstTook}, Callbacks: Histogram{First: firstTook}, Handshakes: Histogram{First: firstTook},
		Lifetimes: Histogram{First: firstLife}, Received: Histogram{First: firstBytes}, Sent: Histogram{First: firstBytes},
	}
}

func (h *Histograms) add(other *Histograms) {
	h.Rounds.add(&other.Rounds)
	h.Callbacks.add(&other.Callbacks)
	h.Handshakes.add(&other.Handshakes)
	h.Lifetimes.add(&other.Lifetimes)
	h.Received.add(&other.Received)
	h.Sent.add(&other.Sent)
}

// distributions are the histograms of one loop. It counts in plain variables, and shows them to
// other goroutines when it is asked.
type distributions struct {
	Histograms
	mu    sync.Mutex
	shown Histograms
}

func (d *distributions) show() {
	d.mu.Lock()
	d.shown = d.Histograms
	d.mu.Unlock()
}

// Histograms asks each loop for its distributions, and waits for that until ctx is done. Of a loop that has not
// answered by then, because a callback blocks it, it takes the last ones that are known. It fails with [ErrOnLoop] in a
// callback, and else never.
func (e *Engine) Histograms(ctx context.Context) (Histograms, error) {
	sum := newHistograms()
	if err := e.mayWait(); err != nil {
		return sum, err
	}
	told := make([]chan struct{}, len(e.loops))
	for i, l := range e.loops {
		told[i] = make(chan struct{})
		if !l.do(func() { l.took.show(); close(told[i]) }) {
			close(told[i]) // it has ended, and shown them then
		}
	}
	for i, l := range e.loops {
		select {
		case <-told[i]:
		case <-ctx.Done():
		}
		l.took.mu.Lock()
		sum.add(&l.took.shown)
		l.took.mu.Unlock()
	}
	e.settle()
	return sum, nil
}

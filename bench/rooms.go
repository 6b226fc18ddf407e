//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// dialect is how members of a room, and who publishes in it, speak to a server.
type dialect struct {
	member        string // the path of a member's WebSocket
	join          string // what it sends then; "": the WebSocket is a member
	joined        string // with which the answers to that end
	before, after string // what stands around a payload that members get
	publisher     string // the path of a publisher's WebSocket; "": it speaks HTTP
	publication   func(payload []byte) []byte
}

// plain is that of a server whose messages are the payloads alone.
var plain = dialect{
	member: "/", publisher: "/publish",
	publication: func(payload []byte) []byte { return textFrame(string(payload)) },
}

// textFrame is a client's.
func textFrame(text string) []byte {
	b := appendFrame(nil, []byte(text), 0x9e3779b9)
	b[0] = wholeText
	return b
}

const wholeText = 0x80 | 1 // the first byte of a frame that is a message of text (RFC 6455, 5.2)

// audience are the members of one room, and who publishes in it so many messages a second, whatever
// becomes of them (open loop). Every member has to get every message, in order, each byte as it was.
type audience struct {
	workload
	dialect
	nodes     []*process
	ep        int
	events    [512]unix.EpollEvent
	members   []hearer // by descriptor
	order     []int
	publisher int // its descriptor
	buf       []byte

	due       map[int]time.Duration // when a message was to go out that not all have
	took      map[int]int           // how many have it
	expected  map[int][]byte        // what they get
	published int
	got       int64
	record    bool
	hist      *hdrhistogram.Histogram
	lasts     *hdrhistogram.Histogram
}

type hearer struct {
	next int    // the number of the message that comes next; −1: any
	rest []byte // of a frame of which not all has come
}

func newAudience(w workload, d dialect, nodes []*process) (a *audience, err error) {
	a = &audience{
		workload: w, dialect: d, nodes: nodes, buf: make([]byte, 256<<10), publisher: -1,
		due: map[int]time.Duration{}, took: map[int]int{}, expected: map[int][]byte{}, hist: newHistogram(), lasts: newHistogram(),
	}
	if a.ep, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	if a.publisher, err = a.dial(0, d.publisher); err == nil {
		err = watch(a.ep, a.publisher)
	}
	if err != nil {
		a.close()
		return nil, fmt.Errorf("the publisher: %w", err)
	}
	return a, nil
}

// dial connects the i-th to one of the nodes, and upgrades if there is a path.
func (a *audience) dial(i int, path string) (fd int, err error) {
	to, err := target(a.nodes[i%len(a.nodes)].addr)
	if err != nil {
		return -1, err
	}
	if fd, err = connect(to, i>>14); err != nil || path == "" {
		return fd, err
	}
	return fd, upgradeAt(fd, path)
}

// grow has so many members join, all in all, and waits until they hear what is published.
func (a *audience) grow(members int) error {
	for i := len(a.order); i < members; i++ {
		fd, err := a.dial(i, a.member)
		if err == nil && a.join != "" {
			err = a.enter(fd)
		}
		if err == nil {
			err = watch(a.ep, fd)
		}
		if err != nil {
			return fmt.Errorf("member %d: %w", i, err)
		}
		for fd >= len(a.members) {
			a.members = append(a.members, hearer{})
		}
		a.members[fd] = hearer{next: -1}
		a.order = append(a.order, fd)
	}
	return a.begin()
}

// enter joins by a message, and waits for the answer.
func (a *audience) enter(fd int) error {
	c := waiting(fd)
	if _, err := c.Write(textFrame(a.join)); err != nil {
		return err
	}
	for n := 0; ; {
		m, err := c.Read(a.buf[n:])
		if err != nil {
			return err
		}
		if n += m; bytes.HasSuffix(bytes.TrimSpace(a.buf[:n]), []byte(a.joined)) {
			return nil
		}
		if n > 4<<10 {
			return fmt.Errorf("the answer is %q", a.buf[:n])
		}
	}
}

func (a *audience) close() {
	for _, fd := range a.order {
		unix.Close(fd)
	}
	unix.Close(a.publisher)
	unix.Close(a.ep)
}

// payload is a message, with its number in front.
func (a *audience) payload(n int) []byte {
	return fmt.Appendf(nil, "%0*d%s", digits, n, strings.Repeat("m", max(0, a.Size-digits)))
}

const digits = 12

// hearing is how long a message may take to reach all.
const hearing = 30 * time.Second

// publish sends a message that was to go out at a time. If the server does not even take that, it is an error.
func (a *audience) publish(due time.Duration) error {
	payload := a.payload(a.published)
	b := a.publication(payload)
	if n, errno := rawSend(a.publisher, b); errno != 0 || n < len(b) {
		return fmt.Errorf("the server took %d of %d bytes of a message: %w", n, len(b), errno)
	}
	a.due[a.published] = due
	a.expected[a.published] = []byte(a.before + string(payload) + a.after)
	a.published++
	return nil
}

// begin publishes until all members hear it: on several nodes some time passes before all know where members are.
func (a *audience) begin() error {
	for end := time.Since(epoch) + hearing; time.Since(epoch) < end; {
		if err := a.publish(time.Since(epoch)); err != nil {
			return err
		}
		for got, quiet := a.got, 0; quiet < 20; quiet++ { // until all have it, or nothing comes for 0.4 s
			if err := a.poll(20 * time.Millisecond); err != nil {
				return err
			}
			if a.deaf() == 0 {
				clear(a.due)
				clear(a.took)
				clear(a.expected)
				return nil
			}
			if a.got > got {
				got, quiet = a.got, 0
			}
		}
	}
	return fmt.Errorf("%d of %d members hear nothing", a.deaf(), len(a.order))
}

// deaf is how many have not got the last message.
func (a *audience) deaf() (n int) {
	for _, fd := range a.order {
		if a.members[fd].next != a.published {
			n++
		}
	}
	return n
}

// run publishes for so long, and then waits until all have got everything.
func (a *audience) run(length time.Duration) error {
	began, interval := time.Since(epoch), time.Second/time.Duration(a.Flight)
	count := max(1, int(length/interval))
	for sent := 0; sent < count || len(a.due) > 0; {
		due := began + time.Duration(sent)*interval
		now := time.Since(epoch)
		if sent < count && due <= now {
			if err := a.publish(due); err != nil {
				return err
			}
			sent++
			continue
		}
		wait := due - now
		if sent == count {
			wait = 20 * time.Millisecond
			if now > due+hearing {
				return fmt.Errorf("after %v %d messages have not come to all of %d members", hearing, len(a.due), len(a.order))
			}
		}
		if err := a.poll(wait); err != nil {
			return err
		}
	}
	return nil
}

func (a *audience) poll(wait time.Duration) error {
	n, err := unix.EpollWait(a.ep, a.events[:], int(wait.Milliseconds()))
	if err != nil && err != unix.EINTR {
		return err
	}
	for _, ev := range a.events[:max(n, 0)] {
		fd := int(ev.Fd)
		n, errno := rawRecv(fd, a.buf)
		switch {
		case errno == unix.EAGAIN || errno == unix.EINTR:
		case errno != 0:
			return errno
		case n == 0:
			return errors.New("the server closed")
		case fd == a.publisher:
			if bytes.Contains(a.buf[:n], []byte(`"error"`)) {
				return fmt.Errorf("the server answers %q", a.buf[:n])
			}
		default:
			if err := a.hear(fd, a.buf[:n]); err != nil {
				return err
			}
		}
	}
	return nil
}

// hear takes what came to a member: frames, in each one line or several.
func (a *audience) hear(fd int, p []byte) error {
	m, now := &a.members[fd], time.Since(epoch)
	if len(m.rest) > 0 {
		p = append(m.rest, p...)
		m.rest = nil
	}
	for {
		payload, size := cutFrame(p)
		if size < 0 {
			return fmt.Errorf("a frame begins with %x", p[:2])
		}
		if size == 0 {
			m.rest = bytes.Clone(p)
			return nil
		}
		p = p[size:]
		for line := range bytes.Lines(payload) {
			line = bytes.TrimSuffix(line, []byte("\n"))
			if m.next < 0 { // its first
				number := bytes.TrimPrefix(line, []byte(a.before))
				m.next, _ = strconv.Atoi(string(number[:min(digits, len(number))]))
			}
			if !bytes.Equal(line, a.expected[m.next]) {
				return fmt.Errorf("%q came instead of message %d", line, m.next)
			}
			a.heard(m.next, now)
			m.next++
		}
	}
}

// cutFrame gives the payload and the size of the first frame. size 0: it is not whole yet; −1: it is no whole message.
func cutFrame(p []byte) (payload []byte, size int) {
	if len(p) < 2 {
		return nil, 0
	}
	if p[0] != wholeText {
		return nil, -1
	}
	n, from := int(p[1]), 2
	switch {
	case n > 126:
		return nil, -1
	case n == 126:
		if len(p) < 4 {
			return nil, 0
		}
		n, from = int(binary.BigEndian.Uint16(p[2:])), 4
	}
	if len(p) < from+n {
		return nil, 0
	}
	return p[from : from+n], from + n
}

// heard notes that one more has a message.
func (a *audience) heard(n int, now time.Duration) {
	a.got++
	waited := int64(now - a.due[n])
	if a.record {
		a.hist.RecordValue(waited)
	}
	if a.took[n]++; a.took[n] == len(a.order) {
		if a.record {
			a.lasts.RecordValue(waited)
		}
		delete(a.took, n)
		delete(a.due, n)
		delete(a.expected, n)
	}
}

// held is the memory of all nodes.
func (a *audience) held() (sum int64, err error) {
	for _, node := range a.nodes {
		n, err := held(node, rooms)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// measureRoom has a room on one node.
func measureRoom(b bout) (row, error) {
	return b.against(rooms, "", func(s *process) (row, error) { return inRoom(b, s) })
}

// measureNodes has a room on three.
func measureNodes(b bout) (r row, err error) {
	nodes, err := b.server.nodes(3, b.workload)
	defer func() {
		for _, node := range nodes {
			node.stop()
		}
	}()
	if err != nil {
		return row{}, err
	}
	err = pinned(b.loadCPUs(), func() error {
		r, err = inRoom(b, nodes...)
		return err
	})
	return r, err
}

// inRoom measures a room. Memory is that of the members which come after the first 1,000, or half of them: what
// some make the server do for the first time is not theirs.
func inRoom(b bout, all ...*process) (row, error) {
	a, err := newAudience(b.workload, b.server.speaks(), b.server.members(all))
	if err != nil {
		return row{}, err
	}
	defer a.close()
	first := min(1_000, b.Conns/2)
	if err := a.grow(first); err != nil {
		return row{}, err
	}
	base, err := a.held()
	if err != nil {
		return row{}, err
	}
	if err := a.grow(b.Conns); err != nil {
		return row{}, err
	}
	quiet, err := a.held()
	if err != nil {
		return row{}, err
	}
	if err := a.run(b.warmup); err != nil {
		return row{}, err
	}
	m := meter{servers: all}
	if err := m.begin(); err != nil {
		return row{}, err
	}
	a.record = true
	got := a.got
	if err := a.run(b.length); err != nil {
		return row{}, err
	}
	r, err := m.read(float64(a.got - got))
	if err != nil {
		return row{}, err
	}
	r.latencies(a.hist)
	r.Last = micros(time.Duration(a.lasts.ValueAtQuantile(50)))
	spoken, err := a.held()
	n := float64(b.Conns - first)
	r.Idle, r.Spoken = float64(quiet-base)/n, float64(spoken-base)/n
	return r, err
}

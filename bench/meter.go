//go:build linux

package main

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// meter reads what a server has used for a measurement, and what disturbed it.
type meter struct {
	servers []*process
	others  []*process // that belong to the load
	began   reading
}

// reading is the state of all counters at one time.
type reading struct {
	at     time.Duration
	server time.Duration // CPU time of the servers
	load   time.Duration // CPU time of the load
	// Of the CPUs of the measurement, in ticks: all time, that in which something
	// ran, and that which the hypervisor gave to other machines.
	all, busy, stolen int64
}

// newMeter begins.
func newMeter(server *process, others ...*process) (*meter, error) {
	m := &meter{servers: []*process{server}, others: others}
	return m, m.begin()
}

func (m *meter) begin() (err error) {
	m.began, err = m.now()
	return err
}

// read ends: it gives what the server used for so many units, in µs each, their
// rate, and the noise.
func (m *meter) read(units float64) (row, error) {
	end, err := m.now()
	if err != nil {
		return row{}, err
	}
	if units <= 0 {
		return row{}, errors.New("nothing came back")
	}
	used := end.server - m.began.server
	r := row{CPU: float64(used) / 1e3 / units, Rate: units / (end.at - m.began.at).Seconds()}
	if all := float64(end.all - m.began.all); all > 0 {
		own := float64(used+end.load-m.began.load) / float64(tick)
		r.Steal = float64(end.stolen-m.began.stolen) / all
		r.Foreign = max(0, float64(end.busy-m.began.busy)-own) / all
	}
	return r, nil
}

// tick is the unit of /proc/stat, the same on every Linux (USER_HZ).
const tick = 10 * time.Millisecond

func (m *meter) now() (r reading, err error) {
	r.at = time.Since(epoch)
	for _, p := range m.servers {
		used, err := p.cpu()
		if err != nil {
			return r, err
		}
		r.server += used
	}
	for _, p := range m.others {
		used, err := p.cpu()
		if err != nil {
			return r, err
		}
		r.load += used
	}
	// Of children, only those that have ended are counted: programs such as wrk
	// that ran within the measurement.
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err != nil {
			return r, err
		}
		r.load += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return r, r.machine()
}

// machine reads the lines of CPU 0 and 1. Interrupts count as busy: unless the
// kernel accounts them apart (CONFIG_IRQ_TIME_ACCOUNTING), they are in the time
// of the processes that they met, too. Where it does, those of the measurement's
// own packets look foreign.
func (r *reading) machine() error {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 9 || f[0] != "cpu0" && f[0] != "cpu1" {
			continue
		}
		for i, v := range f[1:9] { // user nice system idle iowait irq softirq steal
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil {
				return err
			}
			r.all += n
			switch i {
			case 3, 4:
			case 7:
				r.stolen += n
			default:
				r.busy += n
			}
		}
	}
	return nil
}

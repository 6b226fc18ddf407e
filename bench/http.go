//go:build linux

package main

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"github.com/proactor-go/proactor/samples/hello"
)

// wrk is the load for HTTP: https://github.com/wg/wrk.
const wrk = "wrk"

// measureHTTP has wrk keep one request in flight on each connection. It does not
// look at what it gets, so the page is fetched once before.
func measureHTTP(b bout) (row, error) {
	return b.against(web, "", func(s *process) (row, error) {
		if err := fetch(s.addr); err != nil {
			return row{}, err
		}
		if b.warmup > 0 {
			if _, err := runWrk(b.Conns, b.warmup, s.addr); err != nil {
				return row{}, err
			}
		}
		m, err := newMeter(s)
		if err != nil {
			return row{}, err
		}
		out, err := runWrk(b.Conns, b.length, s.addr)
		if err != nil {
			return row{}, err
		}
		r, err := m.read(out.requests)
		r.Rate, r.P50, r.P99 = out.requests/out.took.Seconds(), micros(out.p50), micros(out.p99)
		return r, err
	})
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// fetch gets the page and verifies it.
func fetch(addr string) error {
	r, err := http.Get("http://" + addr + "/")
	if err != nil {
		return err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	switch {
	case err != nil:
		return err
	case r.StatusCode != http.StatusOK || string(body) != hello.Page:
		return fmt.Errorf("the answer is %s, %q", r.Status, body)
	case r.Header.Get("Content-Type") != "text/html" || r.ContentLength != int64(len(body)) || r.Header.Get("Date") == "" || len(r.Header) != 3:
		return fmt.Errorf("the fields are %v", r.Header)
	}
	return nil
}

// wrkResult is what wrk said.
type wrkResult struct {
	requests float64
	took     time.Duration
	p50, p99 time.Duration
}

// runWrk runs it where the caller's thread is. It counts in seconds.
func runWrk(conns int, length time.Duration, addr string) (wrkResult, error) {
	seconds := int((length + time.Second - 1) / time.Second)
	out, err := exec.Command(wrk, "-t1", fmt.Sprintf("-c%d", conns), fmt.Sprintf("-d%ds", seconds), "--latency", "http://"+addr+"/").CombinedOutput()
	if err != nil {
		return wrkResult{}, fmt.Errorf("wrk: %w: %s", err, out)
	}
	return parseWrk(string(out))
}

var (
	wrkTotal  = regexp.MustCompile(`(\d+) requests in ([\d.]+\w+),`)
	wrkP50    = regexp.MustCompile(`(?m)^\s*50%\s+([\d.]+\w+)`)
	wrkP99    = regexp.MustCompile(`(?m)^\s*99%\s+([\d.]+\w+)`)
	wrkErrors = regexp.MustCompile(`(?m)^\s*(Socket errors|Non-2xx).*$`)
)

func parseWrk(out string) (w wrkResult, err error) {
	if bad := wrkErrors.FindString(out); bad != "" {
		return w, fmt.Errorf("wrk: %s", bad)
	}
	total, p50, p99 := wrkTotal.FindStringSubmatch(out), wrkP50.FindStringSubmatch(out), wrkP99.FindStringSubmatch(out)
	if total == nil || p50 == nil || p99 == nil {
		return w, fmt.Errorf("wrk said:\n%s", out)
	}
	if w.requests, err = strconv.ParseFloat(total[1], 64); err != nil {
		return w, err
	}
	for _, v := range []struct {
		to   *time.Duration
		text string
	}{{&w.took, total[2]}, {&w.p50, p50[1]}, {&w.p99, p99[1]}} {
		if *v.to, err = time.ParseDuration(v.text); err != nil {
			return w, err
		}
	}
	return w, nil
}

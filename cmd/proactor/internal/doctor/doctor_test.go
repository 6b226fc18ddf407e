package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
)

// machine is the root directory of a machine that lets 19,960 connections in. Changes are files, too.
func machine(changes map[string]string) fs.FS {
	files := map[string]string{
		"proc/sys/kernel/osrelease":                   "6.18.44\n",
		"proc/sys/kernel/io_uring_disabled":           "0\n",
		"proc/self/status":                            "Name:\tproactor\nSeccomp:\t0\nSeccomp_filters:\t0\n",
		"proc/self/limits":                            "Limit                     Soft Limit           Hard Limit           Units     \nMax open files            1024                 20000                files     \nMax locked memory         8388608              unlimited            bytes     \n",
		"proc/sys/fs/file-nr":                         "1414\t0\t2466170\n",
		"proc/sys/fs/file-max":                        "9223372036854775807\n",
		"proc/sys/fs/nr_open":                         "1048576\n",
		"proc/sys/net/core/somaxconn":                 "4096\n",
		"proc/sys/net/ipv4/ip_local_port_range":       "32768\t60999\n",
		"proc/sys/net/netfilter/nf_conntrack_count":   "144\n",
		"proc/sys/net/netfilter/nf_conntrack_max":     "262144\n",
		"proc/meminfo":                                "MemTotal:       24684084 kB\nMemFree:        20734968 kB\nMemAvailable:   23910644 kB\n",
		"proc/self/cgroup":                            "0::/system.slice/echo.service\n",
		"sys/fs/cgroup/system.slice/memory.max":       "max\n",
		"sys/fs/cgroup/system.slice/echo.service/cpu": "\n",
	}
	root := fstest.MapFS{}
	for name, text := range files {
		root[name] = &fstest.MapFile{Data: []byte(text)}
	}
	for name, text := range changes {
		root[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return root
}

// facts are those of a machine, on which io_uring works.
func facts(changes map[string]string) Facts {
	f := Read(machine(changes))
	f.System, f.Arch, f.Processors = "linux", "amd64", 2
	f.Tries = []Try{{Name: "uring", Detail: "all of it"}}
	return f
}

// What is tightest comes first, and is what stops the next connection.
func TestWhatStopsTheNext(t *testing.T) {
	for name, tt := range map[string]struct {
		changes map[string]string
		fits    int64
		by      string
	}{
		"descriptors":       {nil, 20000 - 40, "descriptors of a process"},
		"all descriptors":   {map[string]string{"proc/sys/fs/file-max": "3414"}, 2000 - 40, "descriptors of all processes"},
		"the packet filter": {map[string]string{"proc/sys/net/netfilter/nf_conntrack_max": "1144"}, 1000, "connections that the packet filter tracks"},
		"it is full":        {map[string]string{"proc/sys/net/netfilter/nf_conntrack_max": "100"}, 0, "connections that the packet filter tracks"},
		"memory":            {map[string]string{"proc/meminfo": "MemTotal: 61440 kB\nMemAvailable: 6144 kB\n"}, 1024, "free memory, at 6 KiB for an idle connection"},
		"the group":         {map[string]string{"sys/fs/cgroup/system.slice/echo.service/memory.max": "6291456"}, 1024, "free memory of the control group"},
		"the group, in use": {map[string]string{
			"sys/fs/cgroup/system.slice/echo.service/memory.max":     "12582912",
			"sys/fs/cgroup/system.slice/echo.service/memory.current": "8388608",
			"sys/fs/cgroup/system.slice/echo.service/memory.stat":    "anon 6291456\nfile 2097152\ninactive_file 2097152\nactive_file 0\n",
		}, 1024, "free memory of the control group"},
		"a group above, in use by others": {map[string]string{
			"sys/fs/cgroup/system.slice/echo.service/memory.max": "12582912",
			"sys/fs/cgroup/system.slice/memory.max":              "104857600",
			"sys/fs/cgroup/system.slice/memory.current":          "98566144",
		}, 1024, "free memory of the control group"},
		"a full group": {map[string]string{
			"sys/fs/cgroup/system.slice/echo.service/memory.max":     "8388608",
			"sys/fs/cgroup/system.slice/echo.service/memory.current": "8392704",
		}, 0, "free memory of the control group"},
		"a group of version 1, in use": {map[string]string{
			"proc/self/cgroup": "4:memory:/a/b\n0::/\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "12582912",
			"sys/fs/cgroup/memory/a/memory.usage_in_bytes": "8388608",
			"sys/fs/cgroup/memory/a/memory.stat":           "inactive_file 1\ntotal_inactive_file 2097152\n",
		}, 1024, "free memory of the control group"},
		"a group above":        {map[string]string{"sys/fs/cgroup/system.slice/echo.service/memory.max": "max", "sys/fs/cgroup/system.slice/memory.max": "6291456"}, 1024, "free memory of the control group"},
		"a group of version 1": {map[string]string{"proc/self/cgroup": "4:memory:/a/b\n0::/\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "6291456"}, 1024, "free memory of the control group"},
	} {
		r := Examine(facts(tt.changes), 1000)
		if r.Fits != tt.fits || r.Bounds[0].Name != tt.by || r.Bounds[0].Lift == "" {
			t.Errorf("%s: %d fit, %+v", name, r.Fits, r.Bounds)
		}
		if err := r.Err(); (err != nil) != (tt.fits < 1000) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What no file tells is not made up.
func TestUnknown(t *testing.T) {
	f := Read(fstest.MapFS{})
	f.System, f.Tries = "windows", []Try{{Name: "iocp"}}
	r := Examine(f, 1_000_000)
	var b strings.Builder
	r.Print(&b)
	if err := r.Err(); err != nil || r.Fits != unknown || len(r.Bounds) > 0 || !strings.Contains(b.String(), "how many fit is not known") {
		t.Errorf("%v, %s", err, &b)
	}
	if broken := Read(machine(map[string]string{"proc/self/limits": "Max open files x\n", "proc/sys/net/core/somaxconn": "y"})); broken.FilesMost != unknown || broken.Backlog != unknown {
		t.Errorf("%+v", broken)
	}
}

// Each way in which a system refuses io_uring is told in words, with what lifts it.
func TestWhy(t *testing.T) {
	setup := func(e error) error { return fmt.Errorf("backend uring: io_uring_setup: %w", e) }
	const filter = "Name:\tx\nSeccomp:\t2\n"
	for name, tt := range map[string]struct {
		err        error
		changes    map[string]string
		text, lift string
	}{
		"off":             {setup(syscall.EPERM), map[string]string{"proc/sys/kernel/io_uring_disabled": "2", "proc/self/status": filter}, "switched off", "io_uring_disabled=0"},
		"for some":        {setup(syscall.EPERM), map[string]string{"proc/sys/kernel/io_uring_disabled": "1"}, "some users", "io_uring_group"},
		"docker":          {setup(syscall.EPERM), map[string]string{"proc/self/status": filter}, "seccomp", "--security-opt"},
		"podman":          {setup(syscall.ENOSYS), map[string]string{"proc/self/status": filter}, "seccomp", "SystemCallFilter=@aio"},
		"an old kernel":   {setup(syscall.ENOSYS), nil, "this kernel", "5.19"},
		"something":       {setup(syscall.EACCES), nil, "security module", ""},
		"something other": {setup(syscall.ENOMEM), nil, "refuses it", ""},
	} {
		f := facts(tt.changes)
		f.Tries = []Try{{Name: "uring", Err: tt.err}, {Name: "epoll"}}
		r := Examine(f, 1000)
		if r.Backend != "epoll" || len(r.Refused) != 1 || !strings.Contains(r.Refused[0].Text, tt.text) || !strings.Contains(r.Refused[0].Lift, tt.lift) || !strings.Contains(r.Refused[0].Text, tt.err.Error()) {
			t.Errorf("%s: %+v", name, r)
		}
		if err := r.Err(); err != nil {
			t.Errorf("%s: a fallback is no failure: %v", name, err)
		}
	}
	f := facts(nil)
	f.Tries = []Try{{Name: "uring", Err: errors.New("no")}, {Name: "epoll", Err: errors.New("no")}, {Name: "std", Err: errors.New("no")}}
	if r := Examine(f, 1000); r.Err() == nil || len(r.Refused) != 3 {
		t.Errorf("no backend: %+v", r)
	}
}

func TestPrint(t *testing.T) {
	var b strings.Builder
	Examine(facts(nil), 1000).Print(&b)
	for _, want := range []string{
		"linux 6.18.44, amd64, 2 CPUs, 23.5 GiB of memory\n", "Backend: uring\n  all of it\n", "19,960 fit", "LimitNOFILE=1048576",
		"4,096 connections of a listener", "28,232 connections can be made", "8 MiB may be locked",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, &b)
		}
	}
	if strings.Contains(b.String(), "all processes") {
		t.Errorf("a limit that is none is told:\n%s", &b)
	}
}

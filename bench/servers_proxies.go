//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// Proxies that are not part of this program: each takes the place of the process that was to be the
// server. They are measured where they are installed.
func init() {
	for _, p := range []struct {
		name, command string
		args          []string // before the file of the configuration
		config        func(task) string
	}{
		{"haproxy", "haproxy", []string{"-db", "-f"}, haproxyConfig("")},
		{"haproxy-splice", "haproxy", []string{"-db", "-f"}, haproxyConfig("option splice-auto")},
		{"nginx", "nginx", []string{"-e", "stderr", "-c"}, nginxConfig("16k")}, // its default
		{"nginx-64k", "nginx", []string{"-e", "stderr", "-c"}, nginxConfig("64k")},
	} {
		path, err := exec.LookPath(p.command)
		if err != nil {
			continue
		}
		servers = append(servers, server{name: p.name, serves: map[protocol]func(task) error{relay: func(t task) error {
			file, err := inMemory(p.config(t))
			if err != nil {
				return err
			}
			return syscall.Exec(path, append(append([]string{p.command}, p.args...), file), os.Environ())
		}}})
	}
}

// inMemory gives a file that ends with the process which this one becomes.
func inMemory(text string) (path string, err error) {
	fd, err := unix.MemfdCreate("configuration", 0)
	if err != nil {
		return "", err
	}
	_, err = unix.Write(fd, []byte(text))
	return fmt.Sprintf("/proc/self/fd/%d", fd), err
}

// haproxyConfig has HAProxy be in mode tcp, with one thread.
func haproxyConfig(option string) func(task) string {
	return func(t task) string {
		return fmt.Sprintf(`global
	nbthread 1
	maxconn 2500
defaults
	mode tcp
	timeout connect 10s
	timeout client 10m
	timeout server 10m
	%s
frontend in
	bind %s
	default_backend out
backend out
	server one %s
`, option, t.Addr, t.To)
	}
}

// nginxConfig is one of nginx's stream module, in one process. Debian has the module in a file of its own.
func nginxConfig(buffer string) func(task) string {
	const module = "/usr/lib/nginx/modules/ngx_stream_module.so"
	return func(t task) string {
		load := ""
		if _, err := os.Stat(module); err == nil {
			load = "load_module " + module + ";"
		}
		return fmt.Sprintf(`%s
daemon off;
master_process off;
pid /dev/null;
error_log stderr;
events { worker_connections 5000; }
stream {
	server {
		listen %s;
		proxy_pass %s;
		proxy_buffer_size %s;
	}
}
`, load, t.Addr, t.To, buffer)
	}
}

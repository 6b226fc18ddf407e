//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// Proxies that are not part of this program: each takes the place of the process that was to be the
// server. They are measured where they are installed.
func init() {
	for _, p := range []struct {
		name, command string
		become        func(dir string, t task) []string
	}{
		{"haproxy", "haproxy", haproxyOn("")},
		{"haproxy-splice", "haproxy", haproxyOn("option splice-auto")},
		{"nginx", "nginx", nginxOn},
	} {
		path, err := exec.LookPath(p.command)
		if err != nil {
			continue
		}
		servers = append(servers, server{name: p.name, serves: map[protocol]func(task) error{relay: func(t task) error {
			dir, err := os.MkdirTemp("", "proactor-bench-")
			if err != nil {
				return err
			}
			return syscall.Exec(path, append([]string{p.command}, p.become(dir, t)...), os.Environ())
		}}})
	}
}

// haproxyOn writes a configuration of HAProxy, mode tcp, one thread.
func haproxyOn(option string) func(string, task) []string {
	return func(dir string, t task) []string {
		return []string{"-db", "-f", configured(dir, "haproxy.cfg", fmt.Sprintf(`global
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
`, option, t.Addr, t.To))}
	}
}

// nginxOn writes a configuration of nginx's stream module, one process. Debian has the module in a file of its own.
func nginxOn(dir string, t task) []string {
	var module string
	if found, _ := filepath.Glob("/usr/lib/nginx/modules/ngx_stream_module.so"); len(found) > 0 {
		module = "load_module " + found[0] + ";"
	}
	return []string{"-p", dir, "-e", "stderr", "-c", configured(dir, "nginx.conf", fmt.Sprintf(`%s
daemon off;
master_process off;
pid %s/nginx.pid;
error_log stderr;
worker_rlimit_nofile 50000;
events { worker_connections 20000; }
stream {
	server {
		listen %s;
		proxy_pass %s;
		proxy_buffer_size 64k;
	}
}
`, module, dir, t.Addr, t.To))}
}

// configured puts a file into a directory. Where that fails the program that reads it says so.
func configured(dir, name, text string) string {
	path := filepath.Join(dir, name)
	_ = os.WriteFile(path, []byte(text), 0o600)
	return path
}

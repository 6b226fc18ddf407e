//go:build linux

package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/proactor-go/proactor/internal/selfsigned"
)

// Proxies that are not part of this program: each takes the place of the process that was to be the
// server. They are measured where they are installed.
func init() {
	for _, p := range []struct {
		name, command string
		args          []string // before the file of the configuration
		config        func(t task, certificate string) string
		secures       bool
	}{
		{"haproxy", "haproxy", []string{"-db", "-f"}, haproxyConfig(""), true},
		{"haproxy-splice", "haproxy", []string{"-db", "-f"}, haproxyConfig("option splice-auto"), false},
		{"nginx", "nginx", []string{"-e", "stderr", "-c"}, nginxConfig("16k"), true}, // its default
		{"nginx-64k", "nginx", []string{"-e", "stderr", "-c"}, nginxConfig("64k"), true},
	} {
		path, err := exec.LookPath(p.command)
		if err != nil {
			continue
		}
		become := func(t task, certificate string) error {
			file, err := inMemory(p.config(t, certificate))
			if err != nil {
				return err
			}
			return syscall.Exec(path, append(append([]string{p.command}, p.args...), file), os.Environ())
		}
		s := server{name: p.name, serves: map[protocol]func(task) error{relay: func(t task) error { return become(t, "") }}}
		if p.secures {
			s.serves[relaySecured] = func(t task) error {
				certificate, err := certificateFile()
				if err != nil {
					return err
				}
				return become(t, certificate)
			}
		}
		servers = append(servers, s)
	}
}

// certificateFile has a certificate (ECDSA, P-256) and its key.
func certificateFile() (path string, err error) {
	pair, _, err := selfsigned.Pair()
	if err != nil {
		return "", err
	}
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return "", err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})
	return inMemory(string(append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)))
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

// haproxyConfig has HAProxy be in mode tcp, with one thread. With a certificate clients speak TLS 1.3.
func haproxyConfig(option string) func(t task, certificate string) string {
	return func(t task, certificate string) string {
		at := t.Addr
		if certificate != "" {
			at += " ssl crt " + certificate + " ssl-min-ver TLSv1.3"
		}
		return fmt.Sprintf(`global
	nbthread 1
	maxconn 2500
	ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
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
`, option, at, t.To)
	}
}

// nginxConfig is one of nginx's stream module, in one process. Debian has the module in a file of its own.
func nginxConfig(buffer string) func(t task, certificate string) string {
	const module = "/usr/lib/nginx/modules/ngx_stream_module.so"
	return func(t task, certificate string) string {
		load, at, secure := "", t.Addr, ""
		if certificate != "" {
			at += " ssl"
			secure = fmt.Sprintf(`ssl_certificate %s; ssl_certificate_key %s; ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;`, certificate, certificate)
		}
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
		%s
		proxy_pass %s;
		proxy_buffer_size %s;
	}
}
`, load, at, secure, t.To, buffer)
	}
}

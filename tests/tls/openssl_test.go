package tls_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/tests/rig"
)

// openssl is the program, and the files of the certificate and its key.
func openssl(t *testing.T) (program, cert, key string) {
	t.Helper()
	program, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not there")
	}
	pair, _ := rig.TLSCertificate()
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return program, cert, key
}

var opensslVersions = map[uint16]string{tls.VersionTLS12: "-tls1_2", tls.VersionTLS13: "-tls1_3"}

// running is an openssl, and what it has said.
type running struct {
	*rig.Rig
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  io.Reader
	said []byte
}

func runOpenSSL(r *rig.Rig, program string, args ...string) *running {
	r.Helper()
	o := &running{Rig: r, cmd: exec.CommandContext(must.Context(r.T), program, args...)}
	in, err := o.cmd.StdinPipe()
	if err != nil {
		r.Fatal(err)
	}
	out, err := o.cmd.StdoutPipe()
	if err != nil {
		r.Fatal(err)
	}
	o.in, o.out, o.cmd.Stderr = in, out, o.cmd.Stdout
	if err := o.cmd.Start(); err != nil {
		r.Fatal(err)
	}
	return o
}

// until reads on until it has said something.
func (o *running) until(want string) {
	o.Helper()
	for !strings.Contains(string(o.said), want) {
		o.read(want)
	}
}

// line reads on until it has said a whole line with that in it, and returns what follows there.
func (o *running) line(want string) string {
	o.Helper()
	for {
		if _, rest, found := strings.Cut(string(o.said), want); found {
			if line, _, whole := strings.Cut(rest, "\n"); whole {
				return line
			}
		}
		o.read(want)
	}
}

func (o *running) read(want string) {
	o.Helper()
	buf := make([]byte, 4096)
	n, err := o.out.Read(buf)
	if o.said = append(o.said, buf[:n]...); err != nil {
		o.Fatalf("no %q: %v\n%s", want, err, o.said)
	}
}

// wait closes its input and waits for its end.
func (o *running) wait() {
	o.in.Close()
	io.Copy(io.Discard, o.out)
	o.cmd.Wait()
}

// openssl s_client has its lines echoed, with a client certificate, in both versions; its key
// updates are borne.
func TestOpenSSLClient(t *testing.T) {
	program, cert, key := openssl(t)
	eachVersion(t, func(r *rig.Rig, version uint16, serves, dials *tls.Config) {
		serves.ClientAuth = tls.RequireAnyClientCert
		s := r.Serve(rig.Lines(), withTLS(serves))
		args := []string{"s_client", "-connect", s.ListenAddr().String(), opensslVersions[version], "-CAfile", cert, "-verify_return_error",
			"-cert", cert, "-key", key, "-servername", "server", "-verify_hostname", "server", "-nocommands"}
		if version == tls.VersionTLS13 {
			args = args[:len(args)-1] // a line that begins with K updates the keys
		}
		o := runOpenSSL(r, program, args...)
		conn := r.Accepted()
		io.WriteString(o.in, "hello\n")
		o.until("0:hello\n")
		if version == tls.VersionTLS13 {
			io.WriteString(o.in, "K\n")
			o.until("KEYUPDATE") // it takes all that one read gives it for the command
			io.WriteString(o.in, "again\n")
			o.until("1:again\n")
		}
		if n := len(conn.TLS().PeerCertificates); n != 1 {
			r.Errorf("%d client certificates", n)
		}
		conn.Write([]byte("bye\n"))
		conn.Close()
		o.until("bye\n")
		o.wait()
		r.Ends(proactor.ErrLocalClosed)
	})
}

// A dialer speaks with openssl s_server, which echoes lines the other way round.
func TestOpenSSLServer(t *testing.T) {
	program, cert, key := openssl(t)
	eachVersion(t, func(r *rig.Rig, version uint16, serves, dials *tls.Config) {
		o := runOpenSSL(r, program, "s_server", "-accept", "127.0.0.1:0", opensslVersions[version], "-cert", cert, "-key", key, "-rev", "-naccept", "1")
		address := o.line("ACCEPT ") // with the port that the system chose
		drained := make(chan bool)
		go func() { io.Copy(io.Discard, o.out); close(drained) }()
		got := make(chan string, 10)
		d := &proactor.Dialer{Engine: r.Engine, TLS: dials, Handler: r.Watch(proactor.Handler{
			Split: rig.Lines().Split, Message: func(c *proactor.Conn, p []byte) { got <- string(p) },
		})}
		c, err := d.Dial(must.Context(r.T), "tcp", address)
		if err != nil {
			r.Fatal(err)
		}
		c.Write([]byte("hello\n"))
		if p := must.Take(r.T, "a line", got); p != "olleh" {
			r.Errorf("got %q", p)
		}
		c.Close()
		r.Ends(proactor.ErrLocalClosed)
		<-drained
		o.wait()
	})
}

// A client of openssl resumes its session.
func TestOpenSSLResumes(t *testing.T) {
	program, cert, _ := openssl(t)
	eachVersion(t, func(r *rig.Rig, version uint16, serves, dials *tls.Config) {
		s := r.Serve(rig.Lines(), withTLS(serves))
		session := filepath.Join(r.TempDir(), "session")
		for i, with := range []string{"-sess_out", "-sess_in"} {
			o := runOpenSSL(r, program, "s_client", "-connect", s.ListenAddr().String(), opensslVersions[version], "-CAfile", cert, "-servername", "server", "-nocommands", with, session)
			conn := r.Accepted()
			io.WriteString(o.in, "hello\n")
			o.until("0:hello\n") // behind the session ticket
			if resumed := conn.TLS().DidResume; resumed != (i == 1) {
				r.Errorf("%s, connection %d: resumed: %v", tls.VersionName(version), i, resumed)
			}
			o.wait() // it writes the session
			r.Ends(proactor.ErrPeerClosed)
		}
	})
}

// A client of openssl that is killed has sent no close_notify.
func TestOpenSSLKilled(t *testing.T) {
	program, cert, _ := openssl(t)
	eachVersion(t, func(r *rig.Rig, version uint16, serves, dials *tls.Config) {
		s := r.Serve(rig.Lines(), withTLS(serves))
		o := runOpenSSL(r, program, "s_client", "-connect", s.ListenAddr().String(), opensslVersions[version], "-CAfile", cert, "-servername", "server", "-nocommands")
		io.WriteString(o.in, "hello\n")
		o.until("0:hello\n")
		o.cmd.Process.Kill()
		o.wait()
		r.Ends(proactor.ErrTruncated)
	})
}

// A client that renegotiates is left, and so is a server that asks for it.
func TestOpenSSLRenegotiates(t *testing.T) {
	program, cert, key := openssl(t)
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		serves, dials := rig.TLS()
		s := r.Serve(rig.Lines(), withTLS(serves))
		o := runOpenSSL(r, program, "s_client", "-connect", s.ListenAddr().String(), "-tls1_2", "-CAfile", cert, "-servername", "server")
		io.WriteString(o.in, "hello\n")
		o.until("0:hello\n")
		io.WriteString(o.in, "R\n")
		if e := must.Take(t, "Closed", r.Closed); !strings.Contains(e.Cause.Error(), "unexpected handshake message") {
			t.Errorf("a client that renegotiates: closed with %v", e.Cause)
		}
		o.wait()

		o = runOpenSSL(r, program, "s_server", "-accept", "127.0.0.1:0", "-tls1_2", "-cert", cert, "-key", key, "-naccept", "1")
		address := o.line("ACCEPT ")
		d := &proactor.Dialer{Engine: r.Engine, TLS: dials, Handler: r.Watch(proactor.Handler{})}
		if _, err := d.Dial(must.Context(t), "tcp", address); err != nil {
			t.Fatal(err)
		}
		o.until("CIPHER is") // it looks at its input from then on
		io.WriteString(o.in, "r\n")
		var alert tls.AlertError
		if e := must.Take(t, "Closed", r.Closed); !errors.As(e.Cause, &alert) || alert != 100 {
			t.Errorf("a server that wants to renegotiate: closed with %v", e.Cause)
		}
		o.cmd.Process.Kill()
		o.wait()
	})
}

// A client that sends early data, because another server at this address took some, is refused: the
// handler hears nothing of it.
func TestOpenSSLEarlyData(t *testing.T) {
	program, cert, key := openssl(t)
	dir := t.TempDir()
	session, early := filepath.Join(dir, "session"), filepath.Join(dir, "early")
	if err := os.WriteFile(early, []byte("early\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	first := &rig.Rig{T: t}
	server := runOpenSSL(first, program, "s_server", "-accept", "127.0.0.1:0", "-tls1_3", "-cert", cert, "-key", key, "-early_data", "-num_tickets", "1", "-naccept", "1")
	address := server.line("ACCEPT ")
	client := func(r *rig.Rig, to string, args ...string) *running {
		return runOpenSSL(r, program, append([]string{"s_client", "-connect", to, "-tls1_3", "-CAfile", cert, "-servername", "server", "-nocommands"}, args...)...)
	}
	o := client(first, address, "-sess_out", session)
	must.Eventually(t, "a session", func() bool {
		b, _ := os.ReadFile(session)
		return strings.Contains(string(b), "END SSL SESSION")
	})
	for _, done := range []*running{o, server} {
		done.cmd.Process.Kill()
		done.wait()
	}
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		serves, _ := rig.TLS()
		s := r.Serve(nobody(r), withTLS(serves))
		o := client(r, s.ListenAddr().String(), "-sess_in", session, "-early_data", early)
		o.until("SSL alert number 110")
		o.wait()
		must.Eventually(t, "gone", func() bool { return s.Conns() == 0 })
		if n := r.Engine.Stats().Handshakes; n.Other != 1 || total(n) != 1 {
			t.Errorf("counted %+v", n)
		}
	})
}

//go:build unix

package ops

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// upgradeSignal begins an upgrade, as nginx and others have it.
var upgradeSignal os.Signal = syscall.SIGUSR2

// The words of two processes, each a line:
//
//	old: the handover, as JSON        new: ready and its process id, when its servers listen
//	old: go on                        new: serves, when they accept
//	old: main, when systemd knows
//
// An old process that dies after the handover has left the listeners to the new one, which goes on.
const (
	wordReady  = "ready"
	wordGo     = "go on"
	wordServes = "serves"
	wordMain   = "main"
)

// upgradeEnv names the descriptor of the socket, which the listeners follow.
const (
	upgradeEnv  = "PROACTOR_UPGRADE"
	upgradeFile = 3
)

// handover is what the new process is told of what it gets.
type handover struct {
	Listeners []handedOver `json:"listeners"`
	Tickets   [][]key      `json:"tickets"`
}

// handedOver is a listener: its descriptor has its place in the list.
type handedOver struct {
	Name  string `json:"name"`
	Owned string `json:"owned,omitempty"`
}

// program is what is started by an upgrade, found before anything changes the working directory. A
// symbolic link is followed when it is started, not now.
var program = func() string {
	path, err := exec.LookPath(os.Args[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		path, _ = os.Executable()
	}
	return path
}()

// line is one end of the socket between the processes.
type line struct {
	conn net.Conn
	in   *bufio.Reader
}

func newLine(f *os.File) (*line, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return &line{c, bufio.NewReader(c)}, nil
}

// until has what waits for the line fail when ctx is done.
func (l *line) until(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { l.conn.SetDeadline(time.Unix(1, 0)) })
}

func (l *line) say(word string) error {
	_, err := l.conn.Write([]byte(word + "\n"))
	return err
}

func (l *line) hear() (string, error) {
	s, err := l.in.ReadString('\n')
	return strings.TrimSuffix(s, "\n"), err
}

// predecessor is the process before, whose place this one takes.
type predecessor struct{ *line }

// fromBefore takes what a process before this one has handed over; nil: there is none.
func fromBefore() (_ *predecessor, given []handed, tickets [][]key, err error) {
	at := os.Getenv(upgradeEnv)
	if at == "" {
		return nil, nil, nil, nil
	}
	os.Unsetenv(upgradeEnv)
	if at != strconv.Itoa(upgradeFile) {
		return nil, nil, nil, fmt.Errorf("%s=%q is not understood", upgradeEnv, at)
	}
	syscall.CloseOnExec(upgradeFile)
	l, err := newLine(os.NewFile(upgradeFile, upgradeEnv))
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%s: %w", upgradeEnv, err)
	}
	var all handover
	l.conn.SetReadDeadline(time.Now().Add(time.Minute)) // it was said before this process began
	words, err := l.hear()
	if err == nil {
		err = json.Unmarshal([]byte(words), &all)
	}
	if err != nil {
		l.conn.Close()
		return nil, nil, nil, fmt.Errorf("the handover: %w", err)
	}
	l.conn.SetReadDeadline(time.Time{})
	for i, h := range all.Listeners {
		fd := upgradeFile + 1 + i
		syscall.CloseOnExec(fd)
		given = append(given, handed{h.Name, h.Owned, os.NewFile(uintptr(fd), h.Name)})
	}
	return &predecessor{l}, given, all.Tickets, nil
}

// ready says that this process is, and waits until it may go on.
func (b *predecessor) ready(ctx context.Context) {
	if b == nil {
		return
	}
	defer b.until(ctx)()
	if b.say(wordReady+" "+strconv.Itoa(os.Getpid())) == nil {
		b.hear()
	}
}

// serves says that this process does, and waits until it is the main one.
func (b *predecessor) serves(ctx context.Context) {
	if b == nil {
		return
	}
	defer b.conn.Close()
	defer b.until(ctx)()
	if b.say(wordServes) == nil {
		b.hear()
	}
}

// succeed has a new process take the place of this one. When it fails, that process has ended.
func (p *Process) succeed(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.o.Upgrade, errors.New("it was not ready in time"))
	defer cancel()
	all, files, err := p.handOut()
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	if err != nil {
		return err
	}
	l, cmd, err := start(files)
	if err != nil {
		return err
	}
	defer l.conn.Close()
	exited := make(chan struct{})
	go func() {
		cmd.Wait()
		close(exited)
		l.conn.SetDeadline(time.Unix(1, 0)) // a child of its own may have the other end, too
	}()
	defer l.until(ctx)()
	pid, err := l.exchange(all)
	if err != nil {
		return errors.Join(fmt.Errorf("process %d: %w", cmd.Process.Pid, p.why(ctx, err, exited)), ending(cmd, exited))
	}
	p.log.Info("another process serves", "pid", pid)
	p.manager.tell("MAINPID="+pid, "READY=1")
	l.say(wordMain)
	return nil
}

// ending kills a process, waits, and tells how it ended.
func ending(cmd *exec.Cmd, exited <-chan struct{}) error {
	cmd.Process.Kill()
	<-exited
	return fmt.Errorf("it ended: %v", cmd.ProcessState)
}

// why is the reason for a failed exchange.
func (p *Process) why(ctx context.Context, err error, exited <-chan struct{}) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case <-exited:
		return errors.New("it ended before it served")
	default:
		return err
	}
}

// handOut collects what the new process is to get.
func (p *Process) handOut() (all handover, files []*os.File, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.services {
		some, err := s.server.Files()
		if err != nil {
			return all, files, fmt.Errorf("the listeners of %q: %w", s.name, err)
		}
		for _, f := range some {
			all.Listeners = append(all.Listeners, handedOver{s.name, s.owned})
			files = append(files, f)
		}
		p.own(s.owned) // from now on the server leaves it
	}
	for _, l := range p.listeners {
		f, err := duplicate(l.Listener)
		if err != nil {
			return all, files, fmt.Errorf("the listener %q: %w", l.name, err)
		}
		all.Listeners = append(all.Listeners, handedOver{l.name, l.owned})
		files = append(files, f)
	}
	all.Tickets = p.tickets.all()
	return all, files, nil
}

// duplicate gives a duplicate of the descriptor of a listener of package net. That of its own File
// method would make the listener a blocking one when the process is started.
func duplicate(l net.Listener) (*os.File, error) {
	c, ok := l.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("a %T has no descriptor", l)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	if e := raw.Control(func(from uintptr) { fd, err = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, 0) }); e != nil {
		err = e
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "listener"), nil
}

// start starts the new process.
func start(files []*os.File) (*line, *exec.Cmd, error) {
	syscall.ForkLock.RLock()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(pair[0])
		syscall.CloseOnExec(pair[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), upgradeEnv)
	defer theirs.Close()
	l, err := newLine(os.NewFile(uintptr(pair[0]), upgradeEnv))
	if err != nil {
		return nil, nil, err
	}
	cmd := &exec.Cmd{
		Path: program, Args: os.Args, Env: environment(os.Environ()),
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		ExtraFiles: append([]*os.File{theirs}, files...),
	}
	if err := cmd.Start(); err != nil {
		l.conn.Close()
		return nil, nil, err
	}
	return l, cmd, nil
}

// environment is that of the new process: without what was for this one alone, by its process id.
func environment(of []string) []string {
	env := []string{upgradeEnv + "=" + strconv.Itoa(upgradeFile)}
	for _, v := range of {
		switch name, _, _ := strings.Cut(v, "="); name {
		case upgradeEnv, "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID":
		default:
			env = append(env, v)
		}
	}
	return env
}

// exchange leads the new process to where it serves. It gives the id of the process that does.
func (l *line) exchange(all handover) (pid string, err error) {
	words, err := json.Marshal(all)
	if err != nil {
		return "", err
	}
	if err := l.say(string(words)); err != nil {
		return "", err
	}
	word, err := l.hear()
	if err != nil {
		return "", err
	}
	word, pid, _ = strings.Cut(word, " ")
	if _, err := strconv.Atoi(pid); word != wordReady || err != nil {
		return "", fmt.Errorf("it says %q", word+" "+pid)
	}
	if err := l.say(wordGo); err != nil {
		return "", err
	}
	switch word, err = l.hear(); {
	case err != nil:
		return "", err
	case word != wordServes:
		return "", fmt.Errorf("it says %q", word)
	}
	return pid, nil
}

// all are the keys of each config.
func (t *tickets) all() [][]key {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.keys)
}

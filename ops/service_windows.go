package ops

import (
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
)

// managed is this process as the service control manager sees it.
type managed struct {
	name  string
	begun chan struct{} // closed when the manager knows the process, and name is set
	runs  chan struct{} // gets a value when the process serves
	stop  chan error    // has the cause when the process is to end: nil or ErrTerminated
	ended chan uint32   // has the exit code when the process has ended
	gone  chan struct{} // closed when the manager knows that, or knows nothing of the process
}

// asService is the service that this process is; nil: it is none. Windows waits 30 s for the first call.
var asService = sync.OnceValue(func() *managed {
	if parent() != "services.exe" {
		return nil
	}
	m := newManaged()
	go func() {
		defer close(m.gone)
		svc.Run("", m) // the only service of a process needs no name; it fails where something else has that parent
	}()
	select {
	case <-m.begun:
		isService.Store(m)
		return m
	case <-m.gone:
		return nil
	}
})

// isService is asService, once that was called.
var isService atomic.Pointer[managed]

func newManaged() *managed {
	return &managed{
		begun: make(chan struct{}), runs: make(chan struct{}, 1), stop: make(chan error, 1), ended: make(chan uint32, 1), gone: make(chan struct{}),
	}
}

// Service is the name of the Windows service that this process is.
func Service() (name string, is bool) {
	if m := asService(); m != nil {
		return m.name, true
	}
	return "", false
}

// parent is the name of the program that has started this process.
func parent() string {
	all, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPPROCESS, 0)
	if err != nil {
		return ""
	}
	defer windows.CloseHandle(all)
	names, before := map[uint32]string{}, uint32(0)
	p := windows.ProcessEntry32{Size: uint32(unsafe.Sizeof(windows.ProcessEntry32{}))}
	for err := windows.Process32First(all, &p); err == nil; err = windows.Process32Next(all, &p) {
		names[p.ProcessID] = strings.ToLower(windows.UTF16ToString(p.ExeFile[:]))
		if p.ProcessID == uint32(os.Getpid()) {
			before = p.ParentProcessID
		}
	}
	return names[before]
}

// pendingStep is how often the manager is told that a start or a stop goes on.
const pendingStep = time.Second

// Execute is called by package svc. It tells the manager that the process starts until it serves, and, from a
// stop on, that it goes on ending.
func (m *managed) Execute(args []string, asked <-chan svc.ChangeRequest, say chan<- svc.Status) (bool, uint32) {
	if len(args) > 0 {
		m.name = args[0]
	}
	close(m.begun)
	const hint = uint32(5 * pendingStep / time.Millisecond)
	status := svc.Status{State: svc.StartPending, WaitHint: hint}
	say <- status
	step := time.NewTicker(pendingStep)
	defer step.Stop()
	stopping := func(why error) {
		if status.State != svc.StopPending {
			status = svc.Status{State: svc.StopPending, WaitHint: hint}
			defer func() { m.stop <- why }()
		}
		say <- status
	}
	for {
		select {
		case <-m.runs:
			if status.State == svc.StartPending {
				status = svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown}
				say <- status
			}
		case r := <-asked:
			switch r.Cmd {
			case svc.Stop:
				stopping(nil)
			case svc.Shutdown:
				stopping(ErrTerminated)
			default:
				say <- status
			}
		case <-step.C:
			if status.State != svc.Running {
				status.CheckPoint++
				say <- status
			}
		case code := <-m.ended:
			return code != 0, code
		}
	}
}

// stops has the cause when the manager wants this process to end. A process that is no service never gets one.
func stops() <-chan error {
	if m := asService(); m != nil {
		return m.stop
	}
	return nil
}

// Serving tells Windows that this process, a service, has started: until then "sc query" has it as START_PENDING,
// and who starts it waits. [Process.Run] calls it; a program that has only [Interrupted] does so itself, once it
// listens. In a process that is no service it does nothing.
func Serving() {
	if m := isService.Load(); m != nil {
		select {
		case m.runs <- struct{}{}:
		default: // it has said so before
		}
	}
}

// stopped tells the manager that this process has ended, with an exit code of its own: 0 if it was to end.
func stopped(code uint32) {
	if m := isService.Load(); m != nil {
		m.ended <- code
		<-m.gone
	}
}

package ops

import (
	"os"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
)

// managed is this process as the service control manager sees it.
type managed struct {
	name  string
	begun chan struct{} // closed when the manager knows the process, and name is set
	stop  chan error    // has the cause when the process is to end: nil or ErrTerminated
	ended chan struct{} // closed when the process has ended in good order
	gone  chan struct{} // closed when the manager knows that, or knows nothing of the process
}

// asService is the service that this process is; nil: it is none. Windows waits 30 s for the first call.
var asService = sync.OnceValue(func() *managed {
	if parent() != "services.exe" {
		return nil
	}
	m := &managed{begun: make(chan struct{}), stop: make(chan error, 1), ended: make(chan struct{}), gone: make(chan struct{})}
	go func() {
		defer close(m.gone)
		svc.Run("", m) // the only service of a process needs no name; it fails where something else has that parent
	}()
	select {
	case <-m.begun:
		return m
	case <-m.gone:
		return nil
	}
})

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

// stopStep is how often the manager is told that a stop goes on.
const stopStep = time.Second

// Execute is called by package svc. It tells the manager that the process runs and, from a stop on,
// that it goes on ending.
func (m *managed) Execute(args []string, asked <-chan svc.ChangeRequest, say chan<- svc.Status) (bool, uint32) {
	if len(args) > 0 {
		m.name = args[0]
	}
	close(m.begun)
	status := svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown}
	say <- status
	step := time.NewTicker(stopStep)
	defer step.Stop()
	stopping := func(why error) {
		if status.State == svc.Running {
			status = svc.Status{State: svc.StopPending, WaitHint: uint32(5 * stopStep / time.Millisecond)}
			defer func() { m.stop <- why }()
		}
		say <- status
	}
	for {
		select {
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
			if status.State == svc.StopPending {
				status.CheckPoint++
				say <- status
			}
		case <-m.ended:
			return false, 0
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

// stopped tells the manager that this process has ended in good order, which was to end.
func stopped() {
	if m := asService(); m != nil {
		close(m.ended)
		<-m.gone
	}
}

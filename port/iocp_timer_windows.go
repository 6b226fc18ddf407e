package port

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// fineTimer ends a wait for packets more exactly than the timeout of
// GetQueuedCompletionStatusEx, which is late by up to a tick of the system's clock,
// 15.6 ms. It is a high-resolution timer whose expiry posts a packet to the port, as
// the timers of Go's runtime are since 1.23 (golang/go#44343,
// learn.microsoft.com, NtAssociateWaitCompletionPacket). Windows has it since
// version 1803; elsewhere the timeout has to do.
type fineTimer struct{ timer, packet windows.Handle }

// timerKey is the key of the packet of a fineTimer.
const timerKey = ^uintptr(0)

const (
	// clockTick bounds how late the timeout of a fetch may be.
	clockTick = 16 * time.Millisecond
	// fineBelow is how long a wait may be for its end to be worth three calls more.
	fineBelow = 4 * clockTick
)

var (
	ntdll = windows.NewLazySystemDLL("ntdll.dll")

	procCreateWaitableTimerEx        = kernel32.NewProc("CreateWaitableTimerExW")
	procSetWaitableTimer             = kernel32.NewProc("SetWaitableTimer")
	procNtCreateWaitCompletionPacket = ntdll.NewProc("NtCreateWaitCompletionPacket")
	procNtAssociateWaitCompletionPkt = ntdll.NewProc("NtAssociateWaitCompletionPacket")
	procNtCancelWaitCompletionPkt    = ntdll.NewProc("NtCancelWaitCompletionPacket")
)

// newFineTimer gives a timer that does nothing where the system has none.
func newFineTimer() (t fineTimer) {
	const highResolution, access, all = 0x2, 0x100002, 0x1f0003 // SYNCHRONIZE | TIMER_MODIFY_STATE
	for _, p := range []*windows.LazyProc{procCreateWaitableTimerEx, procSetWaitableTimer, procNtCreateWaitCompletionPacket, procNtAssociateWaitCompletionPkt, procNtCancelWaitCompletionPkt} {
		if p.Find() != nil {
			return t
		}
	}
	h, _, _ := syscall.SyscallN(procCreateWaitableTimerEx.Addr(), 0, 0, highResolution, access)
	if h == 0 {
		return t
	}
	var packet windows.Handle
	if status, _, _ := syscall.SyscallN(procNtCreateWaitCompletionPacket.Addr(), uintptr(unsafe.Pointer(&packet)), 1, 0); status != 0 {
		windows.CloseHandle(windows.Handle(h))
		return t
	}
	return fineTimer{windows.Handle(h), packet}
}

func (t fineTimer) close() {
	if t.timer != 0 {
		windows.CloseHandle(t.packet)
		windows.CloseHandle(t.timer)
	}
}

// fetch is the system's fetch, with an end that is exact if it is near.
func (t fineTimer) fetch(sys *iocpSystem, port windows.Handle, dst []iocpPacket, d time.Duration) int {
	if t.timer == 0 || d <= 0 || d > fineBelow {
		return sys.fetch(port, dst, d)
	}
	switch set, due := t.set(port, d); {
	case due:
		d = 0
	case set:
		d += clockTick // only if the packet does not come
	}
	return sys.fetch(port, dst, d)
}

// set has a packet posted in d. Due means that it was time already, and that none
// comes.
func (t fineTimer) set(port windows.Handle, d time.Duration) (set, due bool) {
	const cancelled = 0xc0000120 // STATUS_CANCELLED: the timer had expired
	status, _, _ := syscall.SyscallN(procNtCancelWaitCompletionPkt.Addr(), uintptr(t.packet), 1)
	if status := uint32(status); status != 0 && status != cancelled {
		return false, false // it expires just now
	}
	after := -int64((d + 99) / 100) // in 100 ns from now
	if ok, _, _ := syscall.SyscallN(procSetWaitableTimer.Addr(), uintptr(t.timer), uintptr(unsafe.Pointer(&after)), 0, 0, 0, 0); ok == 0 {
		return false, false
	}
	var signaled uint8
	status, _, _ = syscall.SyscallN(procNtAssociateWaitCompletionPkt.Addr(), uintptr(t.packet), uintptr(port), uintptr(t.timer),
		timerKey, 0, 0, 0, uintptr(unsafe.Pointer(&signaled)))
	return status == 0, status == 0 && signaled != 0
}

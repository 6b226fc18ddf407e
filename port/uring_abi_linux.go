package port

// The kernel's interface to io_uring, include/uapi/linux/io_uring.h, as far as
// this package uses it.

const (
	sysUringSetup    = 425
	sysUringEnter    = 426
	sysUringRegister = 427

	uringOpPollAdd     = 6
	uringOpTimeout     = 11
	uringOpAccept      = 13
	uringOpAsyncCancel = 14
	uringOpConnect     = 16
	uringOpRead        = 22
	uringOpSend        = 26
	uringOpRecv        = 27
	uringOpSendmsg     = 9

	sqeBufferSelect = 1 << 5
	sqeSkipSuccess  = 1 << 6

	setupCQSize      = 1 << 3
	setupClamp       = 1 << 4
	setupCoopTaskrun = 1 << 8
	setupSingle      = 1 << 12
	setupDefer       = 1 << 13
	setupNoSQArray   = 1 << 16

	enterGetEvents = 1 << 0
	enterExtArg    = 1 << 3

	cqeFMore = 1 << 1

	acceptMultishot = 1 << 0 // sqe.ioprio
	recvMultishot   = 1 << 1 // sqe.ioprio

	registerPbufRing = 22
	pbufRingInc      = 2

	featSingleMmap   = 1 << 0
	featNoDrop       = 1 << 1
	featSubmitStable = 1 << 2
	featFastPoll     = 1 << 5
	featExtArg       = 1 << 8

	offSQRing = 0
	offSQEs   = 0x10000000
)

// sqe is struct io_uring_sqe.
type sqe struct {
	opcode   uint8
	flags    uint8
	ioprio   uint16
	fd       int32
	off      uint64 // connect: length of the address
	addr     uint64
	len      uint32
	opFlags  uint32 // msg_flags, accept_flags, cancel_flags, poll32_events
	userData uint64
	bufGroup uint16
	_        uint16
	optLen   uint32 // multishot recv: ends after so many bytes
	_        [2]uint64
}

// cqe is struct io_uring_cqe.
type cqe struct {
	userData uint64
	res      int32
	flags    uint32
}

// uringParams is struct io_uring_params.
type uringParams struct {
	sqEntries, cqEntries uint32
	flags                uint32
	sqThreadCPU          uint32
	sqThreadIdle         uint32
	features             uint32
	wqFd                 uint32
	_                    [3]uint32
	sqOff                struct {
		head, tail, ringMask, ringEntries, flags, dropped, array, _ uint32
		_                                                           uint64
	}
	cqOff struct {
		head, tail, ringMask, ringEntries, overflow, cqes, flags, _ uint32
		_                                                           uint64
	}
}

// getEventsArg is struct io_uring_getevents_arg.
type getEventsArg struct {
	sigmask   uint64
	sigmaskSz uint32
	_         uint32
	ts        uint64
}

// timespec is struct __kernel_timespec, the same for all word sizes.
type timespec struct{ sec, nsec int64 }

// bufReg is struct io_uring_buf_reg.
type bufReg struct {
	ringAddr    uint64
	ringEntries uint32
	bgid        uint16
	flags       uint16
	_           [3]uint64
}

// bufEntry is struct io_uring_buf. The ring's tail lies over the last field of
// the first one.
type bufEntry struct {
	addr uint64
	len  uint32
	bid  uint16
	tail uint16
}

package port

import (
	"net"
	"strconv"
	"sync"
	"time"
)

// zones translates between the names of interfaces, by which IPv6 zones go in
// text, and the numbers that the system has for them. To ask the system takes
// several calls, so what it said is remembered for a minute, as package net does.
var zones struct {
	sync.Mutex
	asked  time.Time
	byName map[string]uint32
	names  map[uint32]string
}

const zonesLast = time.Minute

// askZones fetches the interfaces, unless that was done a moment ago. After a miss
// it does so sooner: the interface may be new. zones is locked.
func askZones(missed bool) {
	z := &zones
	last := zonesLast
	if missed {
		last = time.Second
	}
	if now := time.Now(); z.names == nil || now.Sub(z.asked) > last {
		all, err := net.Interfaces()
		if err != nil && z.names != nil {
			return
		}
		z.asked, z.byName, z.names = now, make(map[string]uint32), make(map[uint32]string)
		for _, i := range all {
			z.byName[i.Name], z.names[uint32(i.Index)] = uint32(i.Index), i.Name
		}
	}
}

// zoneIndex is the number of the interface that an IPv6 zone names, by its name
// or in digits.
func zoneIndex(zone string) (uint32, error) {
	if zone == "" {
		return 0, nil
	}
	zones.Lock()
	defer zones.Unlock()
	for _, missed := range []bool{false, true} {
		askZones(missed)
		if i, ok := zones.byName[zone]; ok {
			return i, nil
		}
	}
	n, err := strconv.ParseUint(zone, 10, 32)
	if err != nil {
		return 0, &Error{Class: ErrAddrNotAvail, Hint: "no interface has the name of the zone " + strconv.Quote(zone)}
	}
	return uint32(n), nil
}

// zoneName is the name of the interface with that number or, where none has it,
// the number in digits.
func zoneName(index uint32) string {
	zones.Lock()
	defer zones.Unlock()
	for _, missed := range []bool{false, true} {
		askZones(missed)
		if name, ok := zones.names[index]; ok {
			return name
		}
	}
	return strconv.FormatUint(uint64(index), 10)
}

package porttest

// exceptions are the tests that a backend is known not to pass, and why. The
// reason is printed where one is used. A variant of a backend shares its
// exceptions.
var exceptions = []struct{ backend, test, reason string }{
	{"std", "AcceptOutOfDescriptors/Socket", "package net makes the socket when it connects; so does a port open without a descriptor"},
}

func exempt(backend, test string) string {
	for _, x := range exceptions {
		if (x.backend == backend || x.backend == family(backend)) && x.test == test {
			return x.reason
		}
	}
	return ""
}

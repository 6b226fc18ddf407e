package port

var candidates = []candidate{
	{name: "iocp", open: openIOCP, auto: true},
	{name: "std", open: openStd, auto: true},
	{name: "sim", open: openSim},
}

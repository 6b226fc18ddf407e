#!/usr/bin/env bash
# Very many connections on one machine, both ends, where a process may not have so
# many descriptors: as many pairs of `serve echo` and `load echo` as it takes, each
# with as many connections as `ulimit -n` allows, from several addresses of
# the loopback. When all are connected, 20,000 messages a second go out, on all
# connections in turn, which is in no order that the servers know. Prints the memory
# of the servers and that of the kernel, and what the clients saw.
#
#	bench/many.sh [CONNECTIONS] [BACKEND]    # 200000, uring; seconds=60 rate=20000 burst=1
#	page=1 bench/many.sh 100000              # somebody has the page for operators of each server open
#	server=nbio bench/many.sh 200000         # WebSockets instead: a server of `go run . ws`
#
# Root gets a network namespace for it, where the kernel's table of connections has
# room for all: it is sized when the system starts, and where 8 connections share each
# place, every packet looks at 8. Each process has one processor (GOMAXPROCS=1).
set -euo pipefail
cd "$(dirname "$0")/.."
want=${1:-200000} backend=${2:-uring} rate=${rate:-20000} first=21000 burst=${burst:-1} seconds=${seconds:-60}
server=${server:-} load=echo page=${page:-}
[ -z "$server" ] || load=ws
if [ -z "${namespace+set}" ] && unshare -n true 2>/dev/null; then
	go build -o /dev/null ./cmd/proactor     # here modules can be fetched
	[ "$load" = echo ] || go build -C bench -o /dev/null .
	export namespace=1 entries=$((4 * want)) # the setting is one of the parent, hence two
	exec unshare -n sh -c 'echo "$entries" >/proc/sys/net/ipv4/tcp_child_ehash_entries; exec unshare -n "$@"' - "$PWD/bench/many.sh" "$@"
fi
[ -z "${namespace+set}" ] || ip link set lo up
echo "the kernel's table of connections has $(sed s/-// /proc/sys/net/ipv4/tcp_ehash_entries) places"
export GOMAXPROCS=1
most=$(ulimit -Hn)
ulimit -n "$most"
[ "$most" != unlimited ] || most=$((want + 100))
each=$((most - 100 < want ? most - 100 : want))
pairs=$(((want + each - 1) / each))
each=$(((want + pairs - 1) / pairs))
tmp=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait; rm -rf "$tmp"' EXIT
go build -o "$tmp/proactor" ./cmd/proactor
serve=("$tmp/proactor" serve echo --backend "$backend" --loops 1 --listen)
if [ "$load" = ws ]; then
	go build -C bench -o "$tmp/bench" .
	serve=("$tmp/bench" server "$server" ws)
fi

# kernel prints KiB: what the kernel's own allocators hold, and sockets' queues.
kernel() { awk '/^(Slab|KernelStack|PageTables|Percpu):/ {n += $2} END {print n}' /proc/meminfo; }
available() { awk '/^MemAvailable:/ {print $2}' /proc/meminfo; }
anonymous() { cat $(printf '/proc/%s/smaps_rollup ' "$@") | awk '/^Anonymous:/ {n += $2} END {print n}'; }
cpu() { cat $(printf '/proc/%s/stat ' "$@") | awk '{n += $14 + $15} END {print n}'; }
sockets() { awk '/^TCP:/ {print $3}' /proc/net/sockstat; }

for i in $(seq "$pairs"); do
	"${serve[@]}" "127.0.0.1:$((first + i))" ${page:+--admin "127.0.0.1:$((first - i))"} >"$tmp/serve.$i" 2>&1 &
	pids+=($!)
done
servers=("${pids[@]}")
for i in $(seq "$pairs"); do # listening
	until (: <>"/dev/tcp/127.0.0.1/$((first + i))") 2>/dev/null; do
		kill -0 "${servers[$((i - 1))]}" # it has not ended
		sleep 0.1
	done
done
kernel0=$(kernel) available0=$(available) anonymous0=$(anonymous "${servers[@]}") sockets0=$(sockets) began=$(date +%s%N)
echo "$pairs pairs of $each connections, ${server:-$backend}"
loads=()
mkfifo "$tmp/hold"
exec 9<>"$tmp/hold" # until it is closed, no message goes
for i in $(seq "$pairs"); do
	"$tmp/proactor" load "$load" --to "127.0.0.1:$((first + i))" --loops 1 --conns "$each" --sources $((each / 20000 + 8)) --rate "$((rate / pairs))" --burst "$burst" \
		--hold --duration "${seconds}s" --timeout 120s --json <"$tmp/hold" 9>&- >"$tmp/load.$i" 2>"$tmp/log.$i" &
	loads+=($!)
	pids+=($!)
done
held=0
for _ in $(seq 1200); do # at most ten minutes
	held=$((($(sockets) - sockets0) / 2))
	[ "$held" -lt $((pairs * each)) ] || break
	kill -0 "${loads[@]}" 2>/dev/null || break
	sleep 0.5
done
took=$((($(date +%s%N) - began) / 1000000))
echo "connected: $held in $took ms, $((held * 1000 / took)) a second"
per() { echo "  $1: $(($2 / 1024)) MiB, $(($2 * 1024 / (held > 0 ? held : 1))) B a connection"; }
memory() {
	per "servers' memory" $(($(anonymous "${servers[@]}") - anonymous0))
	per "kernel's memory, both ends" $(($(kernel) - kernel0))
	per "all that is less available, both ends" $((available0 - $(available)))
}
memory
cpu0=$(cpu "${servers[@]}")
if [ -n "$page" ]; then # what the page asks for: the status each second, and here a part of the list as often
	for i in $(seq "$pairs"); do
		at=http://127.0.0.1:$((first - i))
		curl -sN "$at/events" >/dev/null 9>&- &
		pids+=($!)
		curl -s --rate 1/s "$at/conns?search=&sort=-bytes_in&limit=50&from=[0-$((seconds * 50)):50]" >/dev/null 9>&- &
		pids+=($!)
	done
fi
exec 9>&- # messages go
soon=$((seconds * 9 / 10))
sleep "$soon"
ticks=$(($(cpu "${servers[@]}") - cpu0))
echo "after $soon s of messages: $((($(sockets) - sockets0) / 2)) connected"
echo "  servers' CPU: $((ticks * 1000000 / $(getconf CLK_TCK) / (rate * soon))) µs a message, probes of silent connections included"
memory
status=0
for p in "${loads[@]}"; do wait "$p" || status=$?; done
echo "loads: exit status $status; latencies are those of the worst pair:"
cat "$tmp"/load.* | awk -v seconds="$seconds" '
	/"(latency|connect)": \{/ {in_latency = /latency/}
	/"opened":/ {opened += $2}
	/"failed":/ {failed += $2}
	/"messages":/ {messages += $2}
	/"p50_us":/ && in_latency && $2 + 0 > p50 {p50 = $2 + 0}
	/"p99_us":/ && in_latency && $2 + 0 > p99 {p99 = $2 + 0}
	END {printf "opened %d, failed %d, messages %d, %.0f a second, p50 %.0f µs, p99 %.0f µs\n", opened, failed, messages, messages / seconds, p50, p99}'
cat "$tmp"/log.* | sort | uniq -c | sort -rn | head -5
exit "$status"

package admin

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// guarded keeps web pages away that the operator's browser has open. It has no
// password, so anyone who reaches the address can read it; but a page from
// elsewhere must not be able to use the operator's browser for that:
//
//   - by a name of its own that it lets point to this machine (DNS rebinding), for then
//     the browser takes both for one site. Such a request has that name as its Host, so
//     only names of which that cannot be said are answered.
//   - by a request that changes something, whose answer it need not see. There is none
//     yet; CrossOriginProtection refuses it by its Origin and Sec-Fetch-Site.
func guarded(h http.Handler, listens string) http.Handler {
	h = http.NewCrossOriginProtection().Handler(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !ours(r.Host, listens) {
			http.Error(w, "this page answers to an IP address, localhost, or the name that it was told to listen at", http.StatusForbidden)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
		h.ServeHTTP(w, r)
	})
}

// ours reports whether a Host is an address, a name that means this machine on every
// machine (RFC 6761, 6.3), or the one that the page listens at. An address cannot be
// made to point elsewhere.
func ours(host, listens string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || host != "" && host == strings.ToLower(listens)
}

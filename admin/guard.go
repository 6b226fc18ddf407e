package admin

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// guarded keeps web pages away that the operator's browser has open. Reading needs no
// token, so anyone who reaches the address can do it; but a page from elsewhere must not be able to use the
// operator's browser for that:
//
//   - by a name of its own that it lets point to this machine (DNS rebinding), for then
//     the browser takes both for one site. Such a request has that name as its Host, so
//     only names of which that cannot be said are answered.
//   - by requests that cost something, such as a list of all connections. A browser says by
//     Sec-Fetch-Site that they come from another page.
//   - by a request that changes something, whose answer it need not see. It has no
//     token, and CrossOriginProtection refuses it by its Origin and Sec-Fetch-Site.
func guarded(h http.Handler, names []string) http.Handler {
	h = http.NewCrossOriginProtection().Handler(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch site := r.Header.Get("Sec-Fetch-Site"); {
		case r.URL.Path != "/" && (site == "cross-site" || site == "same-site"):
			http.Error(w, "this is for the page itself, and not for others", http.StatusForbidden)
			return
		case !ours(r.Host, names):
			http.Error(w, "this page answers to an IP address, localhost, or a name that it was told", http.StatusForbidden)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
		h.ServeHTTP(w, r)
	})
}

// ours reports whether a Host is an address, a name that means this machine on every
// machine (RFC 6761, 6.3), or one of those that the page was told. An address cannot be
// made to point elsewhere.
func ours(host string, names []string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost") ||
		host != "" && slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, host) })
}

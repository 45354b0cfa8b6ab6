package edge

import (
	"net/url"
	"slices"
	"strings"
)

// originAllowed makes the check of contract 8, B10 for both transports: an absent Origin is not a
// browser and passes, the own host always passes, all others must be listed; "*" lists every one.
func originAllowed(listed []string) func(origin, host string) bool {
	clean := make([]string, 0, len(listed))
	for _, origin := range listed {
		clean = append(clean, strings.TrimSuffix(strings.ToLower(strings.TrimSpace(origin)), "/"))
	}
	any := slices.Contains(clean, "*")
	return func(origin, host string) bool {
		if origin == "" || any {
			return true
		}
		if slices.Contains(clean, strings.ToLower(origin)) {
			return true
		}
		u, err := url.Parse(origin)
		return err == nil && u.Host != "" && strings.EqualFold(u.Host, host)
	}
}

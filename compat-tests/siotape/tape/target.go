package tape

import (
	"fmt"
	"net/url"
	"strings"
)

// ParseTarget parses the URL of a server, as in Header.Target.
func ParseTarget(target string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSuffix(target, "/"))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, fmt.Errorf("target %q: want a URL such as http://localhost:5000", target)
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("target %q: want a URL without a query: each session has its own, which is recorded in the url of its open line", target)
	}
	return u, nil
}

package page

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, path string) *httptest.ResponseRecorder {
	t.Helper()
	handler := Files()[strings.SplitN(path, "?", 2)[0]]
	if handler == nil {
		t.Fatalf("nothing is served at %s", path)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

// The page may be served under any path: all references between files are relative, and
// their targets exist.
func TestReferencesAreRelativeAndExist(t *testing.T) {
	t.Parallel()
	files := Files()
	others := map[string]bool{"/state": true, "/events": true, "/metrics": true, "/ready": true, "/numbers.txt": true, "/games": true}
	references := regexp.MustCompile(`(?:href|src)="([^"?]+)"|from '([^']+)'|address\('([^']+)'|new URL\('([^']+)'`)
	for path := range files {
		if strings.HasPrefix(path, "/page/qr") {
			continue
		}
		for _, m := range references.FindAllStringSubmatch(get(t, path).Body.String(), -1) {
			ref := m[1] + m[2] + m[3] + m[4]
			base := "/"
			if m[2] != "" {
				base = "/page/"
			}
			if strings.HasPrefix(ref, "/") || strings.Contains(ref, ":") {
				t.Errorf("%s refers to %s, which is not relative", path, ref)
			}
			at := base + strings.TrimPrefix(ref, "./")
			if _, ok := files[at]; !ok && !others[at] {
				t.Errorf("%s refers to %s, which is not served", path, ref)
			}
		}
	}
}

func TestFilesAreRevalidated(t *testing.T) {
	t.Parallel()
	w := get(t, "/")
	if w.Header().Get("ETag") == "" || w.Header().Get("Cache-Control") != "no-cache" {
		t.Errorf("the headers are %v", w.Header())
	}
	if a, b := Version(), Version(); a != b || len(a) != 16 {
		t.Errorf("the version is %q, and %q", a, b)
	}
}

// The code itself is decoded in compat-tests/page.
func TestQR(t *testing.T) {
	t.Parallel()
	w := get(t, "/page/qr.svg?text=http%3A%2F%2Flocalhost%3A5000%2F%3Fgame%3Dblue")
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "image/svg+xml" || !strings.HasPrefix(w.Body.String(), "<svg ") {
		t.Errorf("%d %v %.60s", w.Code, w.Header(), w.Body)
	}
	for _, text := range []string{"", strings.Repeat("x", maxQR+1)} {
		if w := get(t, "/page/qr.svg?text="+text); w.Code != http.StatusBadRequest {
			t.Errorf("%d bytes: %d", len(text), w.Code)
		}
	}
	if w := get(t, "/page/qr.svg?text="+strings.Repeat("x", maxQR)); w.Code != http.StatusOK {
		t.Errorf("%d bytes: %d", maxQR, w.Code)
	}
	if w := get(t, "/page/qr.svg?text=%22%3E%3Cscript%3E%ff"); strings.Contains(w.Body.String(), "script") {
		t.Errorf("the text is in the image: %s", w.Body)
	}
}

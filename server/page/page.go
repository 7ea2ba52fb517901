// Package page serves the live page and the overview of all games: plain HTML, CSS and
// JavaScript modules without a build step, which load nothing from other servers. Their
// data comes from package live.
package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"time"
)

//go:embed static
var static embed.FS

// Files returns the handlers of the files of both pages by their paths: the page of one
// game at "/", that of all games at "/games", and the files that they load below
// "/page/".
func Files() map[string]http.Handler {
	files := make(map[string]http.Handler)
	entries, err := static.ReadDir("static")
	if err != nil {
		panic(err) // impossible: it is embedded
	}
	for _, entry := range entries {
		name := entry.Name()
		text, err := fs.ReadFile(static, path.Join("static", name))
		if err != nil {
			panic(err)
		}
		at := "/page/" + name
		switch name {
		case "index.html":
			at = "/"
		case "games.html":
			at = "/games"
		}
		files[at] = file(name, text)
	}
	files["/page/qr.svg"] = http.HandlerFunc(serveQR)
	return files
}

// Version returns a value that changes with the page's files.
func Version() string {
	sum := sha256.New()
	fs.WalkDir(static, "static", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			text, _ := static.ReadFile(name) // it is embedded
			fmt.Fprintf(sum, "%s %d\n%s", name, len(text), text)
		}
		return err
	})
	return fmt.Sprintf("%x", sum.Sum(nil)[:8])
}

// types are the content types by extension. Those of package mime depend on the system.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// file serves a file. A browser may cache it, but must revalidate it each time, since
// another server may have another version.
func file(name string, text []byte) http.Handler {
	tag := fmt.Sprintf(`"%x"`, sha256.Sum256(text))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", types[path.Ext(name)])
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", tag)
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(text))
	})
}

package page

import (
	"fmt"
	"image/color"
	"net/http"
	"strings"

	"github.com/boombuler/barcode/qr"
)

// maxQR bounds the text of a QR code, in bytes. Addresses are shorter, and denser codes
// cannot be scanned from a distance.
const maxQR = 300

// quietZone is the margin around a code that the standard requires, in modules.
const quietZone = 4

// serveQR answers with the QR code of the parameter "text" as an SVG image. The page
// passes its own address, which a server behind a proxy does not know.
func serveQR(w http.ResponseWriter, r *http.Request) {
	text := r.URL.Query().Get("text")
	if text == "" || len(text) > maxQR {
		http.Error(w, fmt.Sprintf("the parameter text must have 1 to %d bytes, it has %d", maxQR, len(text)), http.StatusBadRequest)
		return
	}
	code, err := qr.Encode(text, qr.M, qr.Unicode)
	if err != nil {
		http.Error(w, "the text cannot be encoded as a QR code", http.StatusBadRequest)
		return
	}
	size := code.Bounds().Dx()
	var path strings.Builder
	for y := range size {
		for x := range size {
			if code.At(x, y) == color.Black {
				fmt.Fprintf(&path, "M%d %dh1v1h-1z", x, y)
			}
		}
	}
	w.Header().Set("Content-Type", types[".svg"])
	w.Header().Set("Cache-Control", "no-cache")
	from, width := -quietZone, size+2*quietZone
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="%d %d %d %d" shape-rendering="crispEdges">`, from, from, width, width)
	fmt.Fprintf(w, `<path fill="#fff" d="M%d %dh%dv%dh-%dz"/><path d="%s"/></svg>`, from, from, width, width, width, path.String())
}

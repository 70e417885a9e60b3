package admin

import (
	"embed"
	"net/http"
)

//go:embed page
var page embed.FS

// pageFiles are the files of the page by their paths. It loads nothing else.
var pageFiles = map[string]pageFile{
	"/{$}":      {"page.html", "text/html; charset=utf-8"},
	"/page.css": {"page.css", "text/css; charset=utf-8"},
	"/page.js":  {"page.js", script}, "/dom.js": {"dom.js", script}, "/plot.js": {"plot.js", script}, "/requests.js": {"requests.js", script},
	"/gate.js": {"gate.js", script},
}

const script = "text/javascript; charset=utf-8" // a system's own idea of .js may be text/plain

type pageFile struct{ name, mediaType string }

func (f pageFile) serve(w http.ResponseWriter, _ *http.Request) {
	b, err := page.ReadFile("page/" + f.name)
	if err != nil {
		say(w, http.StatusInternalServerError, "a part of the page is missing") // from a broken build
		return
	}
	w.Header().Set("Content-Type", f.mediaType)
	w.Write(b)
}

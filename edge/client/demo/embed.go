// Package demo holds the demo application of @lexiflow/realtime as it was built: a law firm's workspace
// that `lexiflow up` serves.
//
// It promises that Files has an index.html if `make demo` ran before the program was compiled, and is
// false otherwise. It knows nothing of HTTP; the source of the application is beside this file, in src.
package demo

import (
	"embed"
	"io/fs"
)

// dist has the build in app. `all:` takes what a build may name with a leading underscore, too.
//
//go:embed all:dist
var dist embed.FS

// Files is the built application; false says that it was not built.
func Files() (fs.FS, bool) {
	app, err := fs.Sub(dist, "dist/app")
	if err != nil {
		return nil, false
	}
	_, err = fs.Stat(app, "index.html")
	return app, err == nil
}

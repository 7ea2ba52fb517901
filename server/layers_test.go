package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// layers are the server's packages, with the packages of this module that each may
// import. engineio does not depend on Socket.IO, socketio not on the game, and the game's
// rules only on the parsing of numbers.
var layers = map[string][]string{
	"clientaddr":         nil,
	"engineio":           {"clientaddr", "nonblocking"},
	"etcdstore":          {"protocol", "store"},
	"etcdstore/etcdtest": nil,
	"forwarding":         {"store"},
	"game":               {"protocol"},
	"live":               {"clientaddr", "game", "nonblocking", "numbersfile", "protocol", "spelling"},
	"lobby":              nil,
	"metrics":            {"engineio", "etcdstore", "forwarding", "game", "live", "protocol"},
	"nonblocking":        nil,
	"numbersfile":        {"protocol", "spelling", "store"},
	"page":               nil,
	"protocol":           nil,
	"room":               {"clientaddr", "game", "protocol", "spelling", "store"},
	"socketio":           {"engineio"},
	"spelling":           nil,
	"store":              nil,
	"store/storetest":    {"protocol", "store"},
}

// The library's Socket.IO is used in one layer, and etcd in one.
var onlyIn = map[string]string{"github.com/zishang520/": "socketio", "go.etcd.io/": "etcdstore", "github.com/gobwas/": "engineio"}

func TestLayers(t *testing.T) {
	t.Parallel()
	found := map[string]bool{}
	err := filepath.WalkDir(".", func(file string, _ fs.DirEntry, err error) error {
		layer := path.Dir(filepath.ToSlash(file))
		if err != nil || layer == "." || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return err
		}
		found[layer] = true
		allowed, known := layers[layer]
		if !known {
			t.Errorf("%s: the package is in no layer; add it to the list with what it may import", file)
		}
		source, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range source.Imports {
			imported, _ := strconv.Unquote(i.Path.Value)
			if ours, ok := strings.CutPrefix(imported, "counting/server/"); ok && !slices.Contains(allowed, ours) {
				t.Errorf("%s imports %s, which %s may not know", file, ours, layer)
			}
			for library, user := range onlyIn {
				if strings.HasPrefix(imported, library) && layer != user && path.Dir(layer) != user {
					t.Errorf("%s imports %s, which is for %s alone", file, imported, user)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for layer := range layers {
		if !found[layer] {
			t.Errorf("%s is in the list and has no code", layer)
		}
	}
}

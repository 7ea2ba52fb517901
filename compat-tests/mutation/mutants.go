package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A mutant is a file with one change.
type mutant struct {
	name    string // the file, the function, and what was replaced by what
	file    string
	source  []byte
	outcome string
}

// others are the operators that replace an operator, one at a time.
var others = map[token.Token][]token.Token{
	token.EQL:  {token.NEQ},
	token.NEQ:  {token.EQL},
	token.LSS:  {token.LEQ, token.GEQ},
	token.LEQ:  {token.LSS, token.GTR},
	token.GTR:  {token.GEQ, token.LEQ},
	token.GEQ:  {token.GTR, token.LSS},
	token.LAND: {token.LOR},
	token.LOR:  {token.LAND},
	token.ADD:  {token.SUB},
	token.SUB:  {token.ADD},
	token.MUL:  {token.QUO},
	token.QUO:  {token.MUL},
}

// mutantsOf returns the mutants of all files of a package that are compiled here, without
// its tests.
func mutantsOf(pkg string) (all []*mutant, err error) {
	out, err := exec.Command("go", "list", "-f", "{{$dir := .Dir}}{{range .GoFiles}}{{$dir}}/{{.}}\n{{end}}", pkg).Output()
	if err != nil {
		return nil, fmt.Errorf("go list %s: %w", pkg, err)
	}
	for file := range strings.Lines(string(out)) {
		file = strings.TrimSpace(file)
		source, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		in, err := mutantsIn(file, source)
		if err != nil {
			return nil, err
		}
		all = append(all, in...)
	}
	return all, nil
}

// mutantsIn returns the mutants of a file.
func mutantsIn(file string, source []byte) (all []*mutant, err error) {
	files := token.NewFileSet()
	tree, err := parser.ParseFile(files, file, source, 0)
	if err != nil {
		return nil, err
	}
	at := func(p token.Pos) int { return files.Position(p).Offset }
	function := ""
	names := make(map[string]int)
	// replace adds a mutant in which a part of the node has another text.
	replace := func(node ast.Node, from, to int, text string) {
		begin, end := at(node.Pos()), at(node.End())
		before := string(source[begin:end])
		after := string(source[begin:from]) + text + string(source[to:end])
		if strings.TrimSpace(after) == "" {
			after = "nothing"
		}
		name := fmt.Sprintf("%s %s: `%s` → `%s`", filepath.Base(file), function, firstLine(before), firstLine(after))
		if names[name]++; names[name] > 1 {
			name += fmt.Sprintf(" (%d)", names[name])
		}
		all = append(all, &mutant{name: name, file: file, source: bytes.Join([][]byte{source[:from], source[to:]}, []byte(text))})
	}
	remove := func(node ast.Node) { replace(node, at(node.Pos()), at(node.End()), "") }
	ast.Inspect(tree, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.FuncDecl:
			function = n.Name.Name
		case *ast.GenDecl:
			if n.Tok == token.CONST || n.Tok == token.IMPORT { // tests use the constants as well
				return false
			}
		case *ast.BinaryExpr:
			for _, other := range others[n.Op] {
				from := at(n.OpPos)
				replace(n, from, from+len(n.Op.String()), other.String())
			}
		case *ast.UnaryExpr:
			if n.Op == token.NOT {
				replace(n, at(n.OpPos), at(n.OpPos)+1, "")
			}
		case *ast.Ident:
			switch n.Name {
			case "true":
				replace(n, at(n.Pos()), at(n.End()), "false")
			case "false":
				replace(n, at(n.Pos()), at(n.End()), "true")
			}
		case *ast.IncDecStmt:
			remove(n)
		case *ast.ExprStmt:
			if call, ok := n.X.(*ast.CallExpr); ok && !locks(call) {
				remove(n)
			}
		case *ast.DeferStmt:
			if !locks(n.Call) {
				remove(n)
			}
		case *ast.GoStmt:
			remove(n)
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				remove(n)
			}
		case *ast.BranchStmt:
			if n.Label == nil && n.Tok == token.BREAK {
				replace(n, at(n.Pos()), at(n.End()), "continue")
			} else if n.Label == nil && n.Tok == token.CONTINUE {
				replace(n, at(n.Pos()), at(n.End()), "break")
			}
		}
		return true
	})
	return all, nil
}

// firstLine returns a text up to its first line break.
func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// locks reports whether a call locks or unlocks a mutex: that one is missing is for the
// race detector to find.
func locks(call *ast.CallExpr) bool {
	f, ok := call.Fun.(*ast.SelectorExpr)
	return ok && (f.Sel.Name == "Lock" || f.Sel.Name == "Unlock")
}

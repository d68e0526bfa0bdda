package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
)

// comments are the doc comments of struct fields, by "Struct.Field".
type comments map[string]string

// readComments reads them from the Go files of a package.
func readComments(dir string) (comments, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	found := comments{}
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			found.add(n)
			return true
		})
	}
	return found, nil
}

func (c comments) add(n ast.Node) {
	spec, ok := n.(*ast.TypeSpec)
	if !ok {
		return
	}
	fields, ok := spec.Type.(*ast.StructType)
	if !ok {
		return
	}
	for _, field := range fields.Fields.List {
		for _, name := range field.Names {
			c[spec.Name.Name+"."+name.Name] = sentence(field.Doc.Text(), name.Name)
		}
	}
}

// sentence makes a comment read well without its field's name in front: "Port is short for" becomes "Short for".
func sentence(doc, field string) string {
	text := strings.Join(strings.Fields(doc), " ")
	rest, ok := strings.CutPrefix(text, field+" ")
	if !ok {
		return text
	}
	for _, verb := range []string{"is ", "are "} {
		rest = strings.TrimPrefix(rest, verb)
	}
	if rest == "" {
		return text
	}
	return strings.ToUpper(rest[:1]) + rest[1:]
}

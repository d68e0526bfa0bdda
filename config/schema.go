package config

import _ "embed"

//go:generate go run ./internal/genschema

//go:embed schema.json
var schema []byte

// Schema returns the JSON Schema (draft 2020-12) of the file, made from the structs of this package.
// The caller must not change it.
func Schema() []byte { return schema }

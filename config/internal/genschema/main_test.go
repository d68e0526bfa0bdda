package main

import (
	"bytes"
	"testing"

	"l7/config"
)

func TestSchemaIsFresh(t *testing.T) {
	want, err := generate("../..")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, config.Schema()) {
		t.Error("config/schema.json is not what the structs say; run: go generate ./config/")
	}
}

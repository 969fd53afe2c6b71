//go:build unix

package main

import (
	"os"
	"strings"
	"testing"
)

func TestStartsAServerOfItsOwn(t *testing.T) {
	if _, err := findPrograms(); err != nil {
		if os.Getenv("GOOSEPLUS_REQUIRE_SERVERS") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	srv, err := openServer(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer srv.close()
	settings, err := srv.settings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, durable := range []string{"fsync=on", "synchronous_commit=on", "full_page_writes=on"} {
		if !strings.Contains(settings, durable) {
			t.Errorf("the server has %s, without %s", settings, durable)
		}
	}
}

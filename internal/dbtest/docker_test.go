package dbtest

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// noDocker skips the test, and `make test` lists it. With GOOSEPLUS_TEST_SERVERS=docker the machine is said to have docker,
// so the test fails. GOOSEPLUS_REQUIRE_SERVERS=1 is about servers, which a machine may have without docker.
func noDocker(t *testing.T, err error) {
	t.Helper()
	if os.Getenv(serversEnv) == "docker" {
		t.Fatal(err)
	}
	if reportErr := reportSkips(&outcome{skipped: 1, err: err}, t.Name()); reportErr != nil {
		t.Error(reportErr)
	}
	t.Skip(err)
}

// testImage returns an image that the docker engine has, so that no test depends on a registry. Without one it skips the
// test, or fails it if docker is forced.
func testImage(t *testing.T, e *engine) string {
	t.Helper()
	if err := dockerAnswers(t.Context()); err != nil {
		noDocker(t, err)
	}
	image := cmp.Or(os.Getenv(e.imageEnv), e.image)
	if _, err := docker(t.Context(), dockerLimit, "image", "inspect", image); err != nil {
		noDocker(t, fmt.Errorf("docker image %s: %w", image, err))
	}
	return image
}

func TestStartContainer(t *testing.T) {
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			image := testImage(t, kind.engine)
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			s, err := startContainer(t.Context(), kind.engine, image)
			if err != nil {
				t.Fatal(err)
			}
			r := &recorder{TB: t, name: t.Name()}
			d := s.NewDatabase(r)
			if !exists(t, s, d.Name) {
				t.Errorf("%s was not created", d.Name)
			}
			r.end()
			if err := s.stop(); err != nil {
				t.Error(err)
			}
			if containerExists(t, s.String()) {
				t.Errorf("the container of %v is still there", s)
			}
		})
	}
}

// containerExists reports whether the engine has a container, running or not, whose name is in the text.
func containerExists(t *testing.T, text string) bool {
	t.Helper()
	name := regexp.MustCompile("gooseplus-test-[a-z0-9]{16}").FindString(text)
	if name == "" {
		t.Fatalf("no container is named in %q", text)
	}
	out, err := docker(t.Context(), dockerLimit, "ps", "--all", "--quiet", "--filter", "name="+name)
	if err != nil {
		t.Fatal(err)
	}
	return out != ""
}

func TestStartContainerOfAnImageThatNobodyHas(t *testing.T) {
	if err := dockerAnswers(t.Context()); err != nil {
		noDocker(t, err)
	}
	start := time.Now()
	// The port answers nothing, as an unreachable registry.
	_, err := startContainer(t.Context(), postgres, "127.0.0.1:1/gooseplus/no-such-image:none")
	if !errors.Is(err, errAbsent) {
		t.Fatalf("error %v, want one that skips", err)
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("it took %v to give up: %v", took, err)
	}
}

// The container has no other guard than the program docker that is attached to it.
func TestContainerEndsWithTheProgramDocker(t *testing.T) {
	image := testImage(t, postgres)
	entrypoint, err := pulled(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	c, err := postgres.runContainer(image, entrypoint)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.stop() }()
	if _, err := c.address(t.Context(), postgres.container.port); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the container is there", func() bool { return containerExists(t, c.name) })
}

// The error has the last lines that the container printed.
func TestStartContainerThatEndsByItself(t *testing.T) {
	image := testImage(t, postgres)
	e := *postgres
	e.container.cmd = []string{"postgres", "--no-such-option"}
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	_, err := startContainer(t.Context(), &e, image)
	if err == nil || errors.Is(err, errAbsent) || !strings.Contains(err.Error(), "no-such-option") {
		t.Errorf("error %v", err)
	}
}

func TestPublished(t *testing.T) {
	const local = "127.0.0.1 127.0.0.1"
	for engine, want := range map[string]string{
		"unix:///var/run/docker.sock": local, "npipe:////./pipe/docker_engine": local, "tcp://127.0.0.1:2375": local, "http://localhost:2375": local,
		"tcp://docker:2375": "0.0.0.0 docker", "https://[2001:db8::1]:2376": "0.0.0.0 2001:db8::1",
	} {
		if address, host := published(engine); address+" "+host != want {
			t.Errorf("%s: %s %s, want %s", engine, address, host, want)
		}
	}
}

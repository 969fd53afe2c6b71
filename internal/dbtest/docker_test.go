package dbtest

import (
	"os"
	"regexp"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// giveUp skips the test or, if docker is forced, fails it.
func giveUp(t *testing.T) func(string, ...any) {
	if os.Getenv(serversEnv) == "docker" {
		return t.Fatalf
	}
	return t.Skipf
}

// testImage returns an image that the docker engine has, so that no test depends on a registry. Without one it skips the
// test, or fails it if docker is forced.
func testImage(t *testing.T, e *engine) string {
	t.Helper()
	pool, err := dockerPool(t.Context())
	if err != nil {
		giveUp(t)("%v", err)
	}
	image := os.Getenv(e.imageEnv)
	if image == "" {
		image = e.image
	}
	if _, err := pool.Client.InspectImage(image); err != nil {
		giveUp(t)("docker image %s: %v", image, err)
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
	pool, err := dockerPool(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, ok := pool.ContainerByName("^/" + name + "$")
	return ok
}

func TestStartContainerOfAnImageThatNobodyHas(t *testing.T) {
	if _, err := dockerPool(t.Context()); err != nil {
		giveUp(t)("%v", err)
	}
	start := time.Now()
	// The port answers nothing, as an unreachable registry.
	_, err := startContainer(t.Context(), postgres, "127.0.0.1:1/gooseplus/no-such-image:none")
	if err == nil {
		t.Fatal("no error")
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("it took %v to give up: %v", took, err)
	}
}

func TestSplitImage(t *testing.T) {
	for image, want := range map[string][2]string{
		"postgres":                  {"postgres", "latest"},
		"postgres:17":               {"postgres", "17"},
		"localhost:5000/a/mariadb":  {"localhost:5000/a/mariadb", "latest"},
		"localhost:5000/mariadb:11": {"localhost:5000/mariadb", "11"},
	} {
		if repository, tag := splitImage(image); repository != want[0] || tag != want[1] {
			t.Errorf("%s: got %s and %s", image, repository, tag)
		}
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

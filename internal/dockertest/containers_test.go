package dockertest

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/lib/pq"
	"github.com/ory/dockertest/v3"
	"github.com/ory/dockertest/v3/docker"
)

// server is a kind of database server.
type server struct {
	driver        string
	dsnEnv        string // the variable that gives its DSN to the tests
	imageEnv      string
	image         string
	port          docker.Port
	env, settings []string
	dsn           func(address string) string
}

const password = "gooseplus"

var servers = []server{
	{
		driver: "postgres", dsnEnv: "GOOSEPLUS_TEST_POSTGRES", imageEnv: "GOOSEPLUS_TEST_POSTGRES_IMAGE", image: "postgres:17", port: "5432/tcp",
		env:      []string{"POSTGRES_USER=gooseplus", "POSTGRES_PASSWORD=" + password},
		settings: []string{"postgres", "-c", "fsync=off", "-c", "max_connections=300"},
		dsn: func(address string) string {
			return "postgres://gooseplus:" + password + "@" + address + "/postgres?sslmode=disable"
		},
	},
	{
		driver: "mysql", dsnEnv: "GOOSEPLUS_TEST_MYSQL", imageEnv: "GOOSEPLUS_TEST_MYSQL_IMAGE", image: "mariadb:11.4", port: "3306/tcp",
		env:      []string{"MARIADB_ROOT_PASSWORD=" + password, "MYSQL_ROOT_PASSWORD=" + password},
		settings: []string{"--max-connections=300", "--skip-log-bin", "--innodb-flush-log-at-trx-commit=0"},
		dsn:      func(address string) string { return "root:" + password + "@tcp(" + address + ")/" },
	},
}

// TestConformance runs a part of the conformance tests on servers in containers.
func TestConformance(t *testing.T) {
	pool, err := dockertest.NewPool("")
	if err == nil {
		err = pool.Client.Ping()
	}
	if err != nil {
		missing(t, fmt.Errorf("docker engine: %w", err))
	}
	cmd := exec.Command("go", "test", "-count=1", "-run", "^(TestMigrate|TestLook|TestReplicas|TestDirty)$", "./internal/conformance")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "GOOSEPLUS_REQUIRE_SERVERS=1")
	for _, s := range servers {
		cmd.Env = append(cmd.Env, s.dsnEnv+"="+s.start(t, pool))
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// missing skips the test, or fails it where servers in containers are asked for.
func missing(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("GOOSEPLUS_TEST_SERVERS") == "docker" {
		t.Fatal(err)
	}
	t.Skip(err)
}

// lifetime is when a container ends by itself, in seconds: nothing else ends it if this process is killed.
const lifetime = "1200"

// start starts the server, which is removed when the test ends, and returns its DSN.
func (s server) start(t *testing.T, pool *dockertest.Pool) string {
	t.Helper()
	image := os.Getenv(s.imageEnv)
	if image == "" {
		image = s.image
	}
	found, err := pool.Client.InspectImage(image)
	if errors.Is(err, docker.ErrNoSuchImage) {
		repository, tag := docker.ParseRepositoryTag(image)
		pull := docker.PullImageOptions{Repository: repository, Tag: tag, OutputStream: io.Discard, InactivityTimeout: 20 * time.Second, Context: t.Context()}
		if err = pool.Client.PullImage(pull, docker.AuthConfiguration{}); err != nil {
			missing(t, fmt.Errorf("pull %s: %w", image, err))
		}
		found, err = pool.Client.InspectImage(image)
	}
	if err != nil {
		t.Fatal(err)
	}
	repository, tag := docker.ParseRepositoryTag(image)
	container, err := pool.RunWithOptions(&dockertest.RunOptions{
		Repository: repository, Tag: tag, Env: s.env, Cmd: s.settings,
		Entrypoint:   slices.Concat([]string{"timeout", lifetime}, found.Config.Entrypoint),
		PortBindings: map[docker.Port][]docker.PortBinding{s.port: {{HostIP: "127.0.0.1"}}},
	}, func(c *docker.HostConfig) { c.AutoRemove = true })
	if err != nil {
		t.Fatalf("%s: %v", image, err)
	}
	t.Cleanup(func() {
		if err := pool.Purge(container); err != nil {
			t.Error(err)
		}
	})
	dsn := s.dsn(container.GetHostPort(string(s.port)))
	db, err := sql.Open(s.driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	pool.MaxWait = 2 * time.Minute
	if err := pool.Retry(db.Ping); err != nil {
		t.Fatalf("%s: %s", image, strings.ReplaceAll(err.Error(), password, "xxxxx"))
	}
	return dsn
}

package dbtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/ory/dockertest/v3"
	"github.com/ory/dockertest/v3/docker"
)

// A container is how to run a server from its docker image.
type container struct {
	port string
	env  func(password string) []string
	cmd  []string
}

// The servers' files lie in memory: the engine's storage may be slow, and nobody wants them afterwards.
const (
	containerData   = "/dev/shm/data"
	containerMemory = 2 << 30
)

// startContainer runs the image in a new container, after pulling it if need be. The error is errAbsent if no docker
// engine answers.
func startContainer(ctx context.Context, e *engine, image string) (Server, error) {
	pool, err := dockerPool(ctx)
	if err != nil {
		return Server{}, err
	}
	repository, tag := splitImage(image)
	if err := pull(ctx, pool, repository, tag); err != nil {
		return Server{}, fmt.Errorf("docker image %s: %w", image, err)
	}
	name := "gooseplus-test-" + randomText(16)
	k, err := startKeeper(name)
	if err != nil {
		return Server{}, fmt.Errorf("watchdog of the docker container: %w", err)
	}
	password := randomText(20)
	at, host := published(pool.Client.Endpoint())
	res, err := pool.RunWithOptions(&dockertest.RunOptions{
		Name: name, Repository: repository, Tag: tag, Env: e.container.env(password), Cmd: e.container.cmd,
		PortBindings: map[docker.Port][]docker.PortBinding{docker.Port(e.container.port): {{HostIP: at}}},
	}, func(c *docker.HostConfig) { c.ShmSize = containerMemory })
	if err != nil {
		return Server{}, errors.Join(fmt.Errorf("docker image %s: %w", image, err), k.stop())
	}
	ep := e.address(net.JoinHostPort(host, res.GetPort(e.container.port)), password)
	err = errors.Join(k.running(), e.await(ctx, ep, func() error { return containerEnded(pool, res) }))
	if err != nil {
		return Server{}, errors.Join(hide(fmt.Errorf("docker image %s: %w", image, err), password), k.stop())
	}
	return Server{engine: e, endpoint: ep, from: "docker image " + image + ", container " + name, stop: k.stop}, nil
}

// published says at which address a container's port is published, and by which name it is reached: on this machine alone,
// unless the engine runs on another one, as a service of a CI job does.
func published(engine string) (address, host string) {
	const local = "127.0.0.1"
	u, err := url.Parse(engine)
	if err != nil || u.Scheme == "unix" || u.Scheme == "npipe" {
		return local, local
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
		return local, local
	}
	return "0.0.0.0", u.Hostname()
}

// dockerPool returns a client of an engine that has just answered.
func dockerPool(ctx context.Context) (*dockertest.Pool, error) {
	pool, err := dockertest.NewPool("")
	if err != nil {
		return nil, fmt.Errorf("docker engine: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := pool.Client.PingWithContext(ctx); err != nil {
		return nil, fmt.Errorf("docker engine %w: %w", errAbsent, err)
	}
	return pool, nil
}

// pull gets the image if the engine does not have it. It gives up when a registry says nothing for a while, as behind a
// firewall that drops packets.
func pull(ctx context.Context, pool *dockertest.Pool, repository, tag string) error {
	if _, err := pool.Client.InspectImage(repository + ":" + tag); err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	return pool.Client.PullImage(docker.PullImageOptions{
		Repository: repository, Tag: tag, Context: ctx, InactivityTimeout: 20 * time.Second,
		OutputStream: io.Discard,
	}, docker.AuthConfiguration{})
}

// splitImage cuts the tag off; a colon before the last slash belongs to a registry's port.
func splitImage(image string) (repository, tag string) {
	if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
		return image[:i], image[i+1:]
	}
	return image, "latest"
}

// containerEnded returns an error with the end of the container's log if its server has ended.
func containerEnded(pool *dockertest.Pool, res *dockertest.Resource) error {
	c, err := pool.Client.InspectContainer(res.Container.ID)
	if err != nil {
		return err
	}
	if c.State.Running {
		return nil
	}
	var log bytes.Buffer
	err = pool.Client.Logs(docker.LogsOptions{
		Container: c.ID, OutputStream: &log, ErrorStream: &log, Stdout: true, Stderr: true, Tail: "20",
	})
	return errors.Join(fmt.Errorf("it ended by itself; its last words: %s", log.String()), err)
}

package dbtest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
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
	containerMemory = "2g"
)

// containerScript runs the server, which its arguments name, for as long as standard input stays open. It is the first
// process of the container, so the server ends with it.
const containerScript = `trap 'exit 0' TERM
exec 3<&0
{ cat <&3 >/dev/null; kill -TERM $$; } &
"$@" </dev/null &
wait $!`

// startContainer runs the image with the program docker, after pulling the image if need be. The error is errAbsent where
// there is no such program, no engine that answers, or no way to the image.
//
// The container never outlives this process. The program docker is attached to it, and reads the pipe whose other end
// this process holds. The kernel closes that end however this process ends. Then the program closes the container's
// standard input, and the container ends. It does so too if the program itself is killed.
func startContainer(ctx context.Context, e *engine, image string) (Server, error) {
	if err := dockerAnswers(ctx); err != nil {
		return Server{}, err
	}
	entrypoint, err := pulled(ctx, image)
	if err != nil {
		return Server{}, err
	}
	c, err := e.runContainer(image, entrypoint)
	if err != nil {
		return Server{}, fmt.Errorf("docker image %s: %w", image, err)
	}
	address, err := c.address(ctx, e.container.port)
	ep := e.address(address, c.password)
	if err == nil {
		err = e.await(ctx, ep, c.ended)
	}
	if err != nil {
		return Server{}, errors.Join(hide(fmt.Errorf("docker image %s: %w", image, err), c.password), c.stop())
	}
	return Server{engine: e, endpoint: ep, from: "docker image " + image + ", container " + c.name, stop: c.stop}, nil
}

// docker runs one of the program's commands and returns what it prints.
func docker(ctx context.Context, limit time.Duration, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker", args...)
	newSession(cmd)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if ctx.Err() != nil {
		err = fmt.Errorf("no answer within %v", limit)
		said.Reset()
	}
	if err != nil {
		return "", fmt.Errorf("docker %s: %s", strings.Join(args[:2], " "), cmp.Or(strings.TrimSpace(said.String()), err.Error()))
	}
	return strings.TrimSpace(string(out)), nil
}

const (
	dockerLimit = 15 * time.Second
	pullLimit   = 5 * time.Minute
)

func dockerAnswers(ctx context.Context) error {
	if _, err := exec.LookPath("docker"); err != nil {
		return absent{errors.New("no program docker in PATH")}
	}
	if _, err := docker(ctx, dockerLimit, "version", "--format", "{{.Server.Version}}"); err != nil {
		return absent{fmt.Errorf("no docker engine answers: %w", err)}
	}
	return nil
}

// pulled gets the image if the engine does not have it, and returns what the image starts before its arguments.
func pulled(ctx context.Context, image string) (entrypoint []string, err error) {
	inspect := []string{"image", "inspect", "--format", "{{json .Config.Entrypoint}}", image}
	out, err := docker(ctx, dockerLimit, inspect...)
	if err != nil {
		if _, err := docker(ctx, pullLimit, "pull", "--quiet", image); err != nil {
			return nil, absent{fmt.Errorf("the docker image %s is not on this machine and can't be pulled: %w", image, err)}
		}
		if out, err = docker(ctx, dockerLimit, inspect...); err != nil {
			return nil, err
		}
	}
	if err := json.Unmarshal([]byte(out), &entrypoint); err != nil {
		return nil, fmt.Errorf("docker image %s: its entrypoint is %q: %w", image, out, err)
	}
	return entrypoint, nil
}

// A running is a container that ends when its pipe is closed, by stop or by the end of this process.
type running struct {
	name, host, password string

	cmd  *exec.Cmd
	pipe *os.File
	log  *os.File // what the container and the program docker say
}

func (e *engine) runContainer(image string, entrypoint []string) (c *running, err error) {
	c = &running{name: "gooseplus-test-" + randomText(16), password: randomText(20)}
	engine, err := docker(context.Background(), dockerLimit, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
	if err != nil {
		return nil, err
	}
	var publish string
	publish, c.host = published(engine)
	args := []string{"run", "--rm", "--interactive", "--name", c.name, "--publish", publish + "::" + e.container.port,
		"--shm-size", containerMemory, "--log-driver", "none", "--entrypoint", "sh"}
	env := e.container.env(c.password)
	for _, variable := range env {
		name, _, _ := strings.Cut(variable, "=")
		args = append(args, "--env", name) // the value is a password, which other users would see among the arguments
	}
	args = slices.Concat(args, []string{image, "-c", containerScript, "sh"}, entrypoint, e.container.cmd)
	c.cmd = exec.Command("docker", args...)
	c.cmd.Env = append(os.Environ(), env...)
	newSession(c.cmd)
	if c.log, err = os.CreateTemp("", "gooseplus-docker-"); err != nil {
		return nil, err
	}
	_ = os.Remove(c.log.Name()) // where an open file can't be removed, stop does it
	read, write, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, c.removeLog())
	}
	defer read.Close()
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr, c.pipe = read, c.log, c.log, write
	if err := c.cmd.Start(); err != nil {
		return nil, errors.Join(err, write.Close(), c.removeLog())
	}
	return c, nil
}

// address waits until the container runs, and returns where its port is published.
func (c *running) address(ctx context.Context, port string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		out, err := docker(ctx, dockerLimit, "port", c.name, port)
		if err == nil {
			first, _, _ := strings.Cut(out, "\n")
			_, number, err := net.SplitHostPort(first)
			return net.JoinHostPort(c.host, number), err
		}
		if ended := c.ended(); ended != nil {
			return "", ended
		}
		select {
		case <-ctx.Done():
			return "", err
		case <-time.After(pollInterval):
		}
	}
}

// ended returns an error with the end of the log if the container has ended: then nobody reads the pipe any more.
func (c *running) ended() error {
	if _, err := c.pipe.Write([]byte{'\n'}); err == nil {
		return nil
	}
	const tail = 2000
	size, err := c.log.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.NewSectionReader(c.log, max(0, size-tail), tail))
	return errors.Join(fmt.Errorf("it ended by itself; its last words: %s", text), err)
}

// stop has the container end and waits until it is removed.
func (c *running) stop() error {
	closed := c.pipe.Close()
	_ = c.cmd.Wait() // its status is the server's, which was killed
	return errors.Join(closed, c.removeLog())
}

func (c *running) removeLog() error {
	err := c.log.Close()
	if gone := os.Remove(c.log.Name()); !errors.Is(gone, os.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
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

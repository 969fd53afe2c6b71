package cli

import (
	"bufio"
	"fmt"
	"strings"
)

// confirm asks before something that can't simply be taken back: a person at a terminal, and anybody else
// for --yes.
func (c *call) confirm(what string) error {
	if c.settings.shared.yes {
		return nil
	}
	if !c.interactive() {
		return usagef("this would %s: confirm it with --yes", what)
	}
	on := ""
	if connected := c.settings.pools.connected; connected != "" {
		on = " on " + connected
	}
	c.out.write(c.out.err, fmt.Sprintf("This will %s%s. Type yes to go on: ", what, on))
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(c.in).ReadString('\n') // its end is an answer too: not yes
		answer <- line
	}()
	select {
	case <-c.ctx.Done():
		return errInterrupted
	case line := <-answer:
		if a := strings.ToLower(strings.TrimSpace(line)); a == "yes" || a == "y" {
			return nil
		}
		return usagef("not confirmed; nothing was done")
	}
}

package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/cli"
)

const reference = "../docs/cli.md"

// inherited are the options that every command has from its parents: they stand once, where they belong.
var inherited = regexp.MustCompile("(?s)### Options inherited from parent commands\n\n```\n.*?```\n\n")

// topics are the titles of the help topics, which come before the commands.
var topics = map[string]string{"exit-codes": "Exit codes", "output": "Output formats", "settings": "Settings"}

// TestReference compares docs/cli.md with the commands. With -update it writes it.
func TestReference(t *testing.T) {
	var contents, b bytes.Buffer
	contents.WriteString("# The command line\n\nThis file is made from the commands' own help: `go test ./cli -run TestReference -update`.\n\n")
	root := cli.Standalone()
	root.InitDefaultCompletionCmd()
	section := func(title, short string) {
		fmt.Fprintf(&contents, "- [%s](#%s): %s\n", title, strings.ReplaceAll(strings.ToLower(title), " ", "-"), short)
	}
	list := commands(root)
	for _, topic := range list {
		if title, ok := topics[topic.Name()]; ok && topic.IsAdditionalHelpTopicCommand() {
			section(title, topic.Short)
			fmt.Fprintf(&b, "## %s\n\nAlso printed by `%s help %s`.\n\n```text\n%s\n```\n\n", title, root.Name(), topic.Name(), strings.TrimRight(topic.Long, "\n"))
		}
	}
	for _, cmd := range list {
		cmd.DisableAutoGenTag = true
		if cmd.IsAdditionalHelpTopicCommand() || cmd.HasParent() && cmd.Parent().Name() == "completion" {
			continue
		}
		section(cmd.CommandPath(), cmd.Short)
		var one bytes.Buffer
		if err := doc.GenMarkdownCustom(cmd, &one, func(name string) string {
			name = strings.ReplaceAll(strings.TrimSuffix(name, ".md"), "_", "-")
			if title, ok := topics[strings.TrimPrefix(name, "gooseplus-")]; ok {
				name = strings.ReplaceAll(strings.ToLower(title), " ", "-")
			} else if strings.HasPrefix(name, "gooseplus-completion-") {
				name = "gooseplus-completion"
			}
			return "#" + name
		}); err != nil {
			t.Fatal(err)
		}
		b.WriteString(strings.TrimRight(inherited.ReplaceAllString(one.String(), ""), "\n") + "\n\n")
	}
	b = *bytes.NewBuffer(append(append(contents.Bytes(), '\n'), b.Bytes()...))
	want := strings.TrimRight(b.String(), "\n") + "\n"
	if *update {
		if err := os.MkdirAll("../docs", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(reference, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != want {
		t.Error("docs/cli.md is not what the commands say: go test ./cli -run TestReference -update")
	}
}

// commands are all below one, with itself, in the order of the help.
func commands(cmd *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{cmd}
	for _, sub := range cmd.Commands() {
		if sub.Name() != "help" {
			list = append(list, commands(sub)...)
		}
	}
	return list
}

// TestHelp wants each command to say what it does, with one example that names it.
func TestHelp(t *testing.T) {
	root := cli.Command(func(context.Context) (*gooseplus.Migrator, error) { return nil, nil })
	for _, tree := range []*cobra.Command{root, cli.Standalone()} {
		for _, cmd := range commands(tree) {
			if cmd.IsAdditionalHelpTopicCommand() {
				continue
			}
			if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
				t.Errorf("%s: short help %q", cmd.CommandPath(), cmd.Short)
			}
			_, path, _ := strings.Cut(cmd.CommandPath(), " ")
			if strings.Count(cmd.Example, "\n") != 0 || !strings.HasPrefix(cmd.Example, "  gooseplus ") || !strings.Contains(cmd.Example, path) {
				t.Errorf("%s: example %q", cmd.CommandPath(), cmd.Example)
			}
			for line := range strings.SplitSeq(cmd.Long, "\n") {
				if len(line) > 120 {
					t.Errorf("%s: a line of %d bytes: %s", cmd.CommandPath(), len(line), line)
				}
			}
		}
	}
}

var (
	aFlag    = regexp.MustCompile(`--[a-z][a-z-]+`)
	aCommand = regexp.MustCompile(`\bgooseplus [a-z-]`)
)

// TestEmbeddedHelp: in a program of another name, the help tells people nothing that they can't type there.
func TestEmbeddedHelp(t *testing.T) {
	host := &cobra.Command{Use: "shop"}
	host.PersistentFlags().String("region", "", "region of the shop")
	migrate := cli.Command(func(context.Context) (*gooseplus.Migrator, error) { return nil, nil })
	migrate.Use = "migrate"
	host.AddCommand(migrate)
	for _, cmd := range commands(migrate) {
		var out bytes.Buffer
		cmd.SetOut(&out)
		if err := cmd.Help(); err != nil {
			t.Fatal(err)
		}
		text := out.String()
		if said := aCommand.FindString(strings.ReplaceAll(text, "gooseplus runs migrations", "")); said != "" {
			t.Errorf("%s: the help says %q:\n%s", cmd.CommandPath(), said, text)
		}
		if cmd.IsAdditionalHelpTopicCommand() {
			continue
		}
		for _, want := range []string{"shop " + "migrate", "--region"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: the help lacks %q:\n%s", cmd.CommandPath(), want, text)
			}
		}
		if !strings.HasPrefix(cmd.Example, "  "+cmd.CommandPath()) && cmd != migrate {
			t.Errorf("%s: example %q", cmd.CommandPath(), cmd.Example)
		}
		known := map[string]bool{"--help": true}
		for _, c := range commands(cmd) {
			c.Flags().VisitAll(func(f *pflag.Flag) { known["--"+f.Name] = true })
			c.InheritedFlags().VisitAll(func(f *pflag.Flag) { known["--"+f.Name] = true })
		}
		for _, name := range aFlag.FindAllString(text, -1) {
			if !known[name] {
				t.Errorf("%s: the help speaks of %s, which there is not", cmd.CommandPath(), name)
			}
		}
	}
}

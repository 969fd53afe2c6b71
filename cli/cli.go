// Package cli is the command line of gooseplus, made with github.com/spf13/cobra. A program that has Go
// migrations or embedded files adds it to its own commands:
//
//	root.AddCommand(cli.Command(func(ctx context.Context) (*gooseplus.Migrator, error) {
//		db, err := sql.Open("pgx", os.Getenv("DATABASE_URL"))
//		return gooseplus.New(db, gooseplus.WithFS(files), gooseplus.WithGlobalLock(true)), err
//	}))
//	err := root.Execute() // the commands have printed it
//	os.Exit(cli.ExitCode(err))
//
// All other programs can use cmd/gooseplus, which is [Standalone] with three drivers.
//
// The help topics "output", "exit-codes" and "settings" describe what the commands print; all help texts are in
// docs/cli.md.
package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gooseplus/gooseplus"
)

// Command returns the command "gooseplus" with all its subcommands, to be added to those of a program; its
// Use may be changed. open is called by each subcommand that needs a Migrator, once or, where there are
// tenants beside a master database, twice (see [ForTenants]). It should not connect: validate calls it too,
// and needs no database. The Migrator's database is not closed.
//
// The commands print their errors themselves, and return them for [ExitCode]. While one of them runs, SIGINT,
// SIGTERM and SIGHUP cancel its context, and it ends when the way back has ended; SIGPIPE is ignored.
func Command(open func(context.Context) (*gooseplus.Migrator, error)) *cobra.Command {
	a := &app{open: open, settings: newSettings(false)}
	return a.root()
}

// Standalone returns the command of cmd/gooseplus, whose flags, environment and .env file say what to
// migrate. Databases are opened with the drivers that the program has: pgx or postgres, mysql, sqlite or sqlite3,
// as they are called by database/sql.
func Standalone() *cobra.Command {
	a := &app{settings: newSettings(true)}
	a.open = a.settings.migrator
	return a.root()
}

// Run executes a command with the program's arguments, and returns the code to exit with. It prints
// errors that the commands of this package have not printed.
func Run(cmd *cobra.Command) int {
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err := cmd.Execute()
	var printed *printedError
	if err != nil && !errors.As(err, &printed) {
		newPrinter(cmd, sharedFlags{}).fail(err)
	}
	return ExitCode(err)
}

type forTenants struct{}

// ForTenants says of the context that open is given whether the Migrator is for the tenants, which can
// have other migrations than their master database: with the tenants commands, and with the second part of
// up --then-tenants.
func ForTenants(ctx context.Context) bool {
	yes, _ := ctx.Value(forTenants{}).(bool)
	return yes
}

// app is one command tree.
type app struct {
	open     func(context.Context) (*gooseplus.Migrator, error)
	settings *settings
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:         "gooseplus",
		Annotations: map[string]string{rootAnnotation: "yes"},
		Short:       "Migrate databases, with a way back",
		Long: "gooseplus runs migrations written for goose or for golang-migrate. A run that fails undoes what it did. One runner\n" +
			"at a time migrates a database. Many tenants can be migrated at once.",
		Example: "  gooseplus up",
	}
	if a.settings.standalone {
		root.Version = version()
		root.Example = "  gooseplus --dsn postgres://app@localhost/shop up"
	}
	a.settings.flags(root.PersistentFlags())
	a.own(root, cobra.ArbitraryArgs, listCommands)
	root.AddGroup(
		&cobra.Group{ID: "run", Title: "Commands that migrate:"},
		&cobra.Group{ID: "look", Title: "Commands that change nothing:"},
		&cobra.Group{ID: "state", Title: "Commands that change what the database remembers:"},
		&cobra.Group{ID: "files", Title: "Commands for files, which leave the database alone:"},
		&cobra.Group{ID: "tenants", Title: "Commands for many schemas or databases:"},
	)
	root.AddCommand(slices.Concat(
		a.navigateCommands(), a.lookCommands(), a.stateCommands(), a.filesCommands(), a.tenantsCommands(), topics(a.settings.standalone),
	)...)
	a.complete(root)
	if a.settings.standalone {
		refuseUnknownHelp(root)
	}
	help := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) { // in a program of another name
		cmd.Example = strings.ReplaceAll(cmd.Example, "  gooseplus ", "  "+program(cmd)+" ")
		help(cmd, args)
		if cmd == root {
			_, _ = io.WriteString(cmd.OutOrStdout(), "\nExit codes:\n"+exitTable()) // as cobra writes the help
		}
	})
	return root
}

// refuseUnknownHelp has help return an error for a name that is neither a command nor a topic. Otherwise cobra takes the name
// for an argument of root, and prints the help of root.
func refuseUnknownHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() != "help" {
			continue
		}
		cmd.Args = func(_ *cobra.Command, args []string) error {
			if found, rest, err := root.Find(args); err == nil && len(rest) > 0 && found.HasSubCommands() {
				return unknownCommand(found, rest[0])
			}
			return nil
		}
		root.RemoveCommand(cmd) // cobra adds it again when root is executed
		return
	}
}

// listCommands runs a command that only has commands below it: it prints the help, or in JSON a list of those commands.
func listCommands(c *call) error {
	if len(c.args) > 0 {
		return unknownCommand(c.cmd, c.args[0])
	}
	if c.out.text() {
		return c.cmd.Help()
	}
	type command struct {
		Name  string `json:"name"`
		Short string `json:"short"`
	}
	list := []command{}
	for _, sub := range c.cmd.Commands() {
		if sub.IsAvailableCommand() {
			list = append(list, command{commandName(sub), sub.Short})
		}
	}
	c.data = map[string]any{"commands": list}
	return nil
}

const rootAnnotation = "root"

// program is how a person calls the commands: gooseplus, or the program that they are hung into and their name there.
func program(cmd *cobra.Command) string {
	for at := cmd; at != nil; at = at.Parent() {
		if at.Annotations[rootAnnotation] != "" {
			return at.CommandPath()
		}
	}
	return "gooseplus"
}

// version is the version of the build.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(unknown)"
	}
	return info.Main.Version
}

// looksAnnotation marks the commands that must not make so much as an empty file.
const looksAnnotation = "looks"

// spec is what a command is made of.
type spec struct {
	group, use, short, long, example string
	looks                            bool // and changes nothing, as all of the group "look"
	args                             cobra.PositionalArgs
	versions                         []string // the arguments are versions, or one of these words; nil if they are none
	run                              func(*call) error
	flags                            func(*cobra.Command)
}

func (a *app) command(s spec) *cobra.Command {
	cmd := &cobra.Command{
		GroupID: s.group, Use: s.use, Short: s.short, Long: s.long, Example: "  " + strings.ReplaceAll(s.example, "\n", "\n  "),
	}
	if s.looks || s.group == "look" {
		cmd.Annotations = map[string]string{looksAnnotation: "yes"}
	}
	if s.args == nil {
		s.args = cobra.NoArgs
	}
	if s.versions != nil {
		s.args = cobra.ExactArgs(1)
		cmd.ValidArgsFunction = a.completeVersions(s.versions)
	}
	a.own(cmd, s.args, s.run)
	if s.flags != nil {
		s.flags(cmd)
	}
	return cmd
}

// own has a command print its errors once, in one way.
func (a *app) own(cmd *cobra.Command, args cobra.PositionalArgs, run func(*call) error) {
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return a.refuse(cmd, err) })
	cmd.Args = func(cmd *cobra.Command, list []string) error {
		if args(cmd, list) != nil {
			_, wanted, _ := strings.Cut(cmd.Use, " ")
			switch {
			case wanted == "":
				wanted = "no argument"
			case strings.HasPrefix(wanted, "-"):
				wanted = "no argument, only " + wanted
			}
			return a.refuse(cmd, fmt.Errorf("%s takes %s, and got %s", cmd.Name(), wanted, counted(len(list), "argument")))
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.call(cmd, args, run) }
}

// refuse is for what is wrong before a command starts.
func (a *app) refuse(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		err = fmt.Errorf("%w%s", err, nearFlag(cmd, unknown.GetSpecifiedName()))
	}
	err = &usageError{fmt.Errorf("%w (%s --help says more)", err, cmd.CommandPath())}
	p := newPrinter(cmd, sharedFlags{})
	if p.json = cmp.Or(changed(cmd, "output"), os.Getenv("GOOSEPLUS_OUTPUT")) == "json"; p.json {
		p.document(commandName(cmd), nil, err)
	}
	p.fail(err)
	return &printedError{err}
}

// changed is the value of a flag that was given, as far as the flags could be parsed.
func changed(cmd *cobra.Command, name string) string {
	if f := cmd.Flags().Lookup(name); f != nil && f.Changed {
		return f.Value.String()
	}
	return ""
}

// nearFlag suggests a flag with a similar name, "" if there is none.
func nearFlag(cmd *cobra.Command, name string) string {
	flags := &cobra.Command{SuggestionsMinimumDistance: 2}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		flags.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
	})
	if near := flags.SuggestionsFor(name); len(name) > 1 && len(near) > 0 {
		return fmt.Sprintf(": did you mean --%s?", near[0])
	}
	return ""
}

func unknownCommand(cmd *cobra.Command, name string) error {
	text := fmt.Sprintf("unknown command %q", name)
	farthest := 2
	if len(name) < 4 { // with two other letters, foo would be goto
		farthest = 1
	}
	for distance := 1; distance <= farthest; distance++ {
		cmd.SuggestionsMinimumDistance = distance
		if near := cmd.SuggestionsFor(name); len(near) > 0 {
			text += fmt.Sprintf(": did you mean %q?", near[0])
			break
		}
	}
	return &usageError{fmt.Errorf("%s (%s --help lists them)", text, cmd.CommandPath())}
}

// call is one execution of one command.
type call struct {
	ctx      context.Context
	cmd      *cobra.Command
	args     []string
	open     func(context.Context) (*gooseplus.Migrator, error)
	settings *settings
	out      *printer
	activity *activity
	opened   *gooseplus.Migrator // of the command's own database; nil until it is needed
	in       io.Reader
	data     any // for the JSON document
}

func (a *app) call(cmd *cobra.Command, args []string, run func(*call) error) error {
	c := &call{cmd: cmd, args: args, open: a.open, settings: a.settings, in: cmd.InOrStdin()}
	a.settings.pools.looks = cmd.Annotations[looksAnnotation] != ""
	err := a.settings.load(cmd)
	c.out = newPrinter(cmd, a.settings.shared)
	c.out.flags, c.out.scope = a.settings.standalone, scope(cmd)
	if err == nil {
		err = c.out.format(a.settings.shared.output, cmd)
	}
	for _, warning := range a.settings.ignored {
		c.out.note("%s %s", paint(c.out.errColour, yellow, "warning:"), clean(warning))
	}
	if err == nil {
		err = c.run(run)
	}
	ways := c.waysOf(err)
	if closeErr := a.settings.pools.close(); err == nil && closeErr != nil {
		c.out.note("warning: the database could not be closed: %s", c.out.sentence(closeErr))
	}
	if c.out.json {
		c.out.document(commandName(c.cmd), c.data, err, ways...)
	}
	if err == nil && cmd.Annotations[looksAnnotation] != "" {
		err = c.out.unwritten()
	}
	if err == nil {
		return nil
	}
	c.out.fail(err, ways...)
	return &printedError{err}
}

// run calls a command's function while signals are listened to.
func (c *call) run(run func(*call) error) error {
	ctx := c.cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	c.activity = newActivity(c.out)
	var stop func()
	c.ctx, stop = c.interruptible(ctx)
	defer stop()
	defer c.activity.watch()()
	return run(c)
}

// commandName is a command's name without that of its root: "tenants up".
func commandName(cmd *cobra.Command) string {
	name := cmd.Name()
	if cmd.HasParent() && cmd.Parent().Name() == "tenants" {
		name = "tenants " + name
	}
	return name
}

// ofTenants says whether a command works on tenants.
func ofTenants(cmd *cobra.Command) bool {
	return strings.HasPrefix(commandName(cmd), "tenants ") || cmd.Flags().Changed("then-tenants")
}

// migrator is what the program, or the settings, say is to be migrated.
func (c *call) migrator(ctx context.Context) (*gooseplus.Migrator, error) {
	m, err := c.open(ctx)
	if err == nil && m == nil {
		err = errors.New("the program that has these commands returned neither a Migrator nor an error")
	}
	if err != nil {
		if ExitCode(err) == exitRefused && !c.settings.standalone {
			err = &usageError{err} // the program's own settings
		}
		return nil, err
	}
	m = m.With(gooseplus.WithObserver(c.activity.observe))
	if name := c.settings.shared.namespace; name != "" {
		m = m.Namespace(name)
	}
	if c.settings.pools.connected != "" {
		c.out.detail("the database is %s", c.settings.pools.connected)
	}
	if sums := c.settings.pools.sums; sums != nil {
		for _, text := range c.out.sentences(sums) {
			c.out.note("%s %s", paint(c.out.errColour, yellow, "warning:"), text)
		}
		c.settings.pools.sums = nil
	}
	c.opened = m
	return m, nil
}

// one is migrator for what means the versions of one namespace.
func (c *call) one(ctx context.Context) (*gooseplus.Migrator, error) {
	m, err := c.migrator(ctx)
	if err != nil {
		return nil, err
	}
	return m, oneNamespace(m)
}

func oneNamespace(m *gooseplus.Migrator) error {
	if names := m.Namespaces(); len(names) > 0 {
		return usagef("each namespace has versions of its own: choose one with --namespace, of %s", strings.Join(names, ", "))
	}
	return nil
}

// interactive says whether a person sits at the terminal.
func (c *call) interactive() bool {
	in, ok := c.in.(*os.File)
	return ok && isTerminal(in) && c.out.errTerminal
}

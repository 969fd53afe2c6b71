package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

type completions = func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective)

// complete sets up shell completion. No argument is the name of a file.
func (a *app) complete(cmd *cobra.Command) {
	if cmd.ValidArgsFunction == nil {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	own := cmd.LocalFlags() // once: cobra collects them at each call
	drivers := []string{"postgres", "mysql", "sqlite"}
	for name, words := range map[string][]string{
		"output": {"text", "json"}, "driver": drivers, "tenants-driver": drivers, "rollback": {"down", "transaction", "none"},
		"foreign-history": {"refuse", "warn", "ignore"}, "unknown-versions": {"refuse", "warn", "ignore"},
		"checksums": {"refuse", "warn", "ignore"},
	} {
		offer(cmd, own, name, func(cmd *cobra.Command, _ string) []string {
			if name == "output" && cmd.Annotations[htmlAnnotation] != "" {
				return append(words, "html")
			}
			return words
		})
	}
	for _, name := range []string{"env", "protected-env", "namespace", "namespaces"} {
		offer(cmd, own, name, func(cmd *cobra.Command, typed string) []string {
			before := ""
			if name != "namespace" {
				before = typed[:strings.LastIndex(typed, ",")+1]
			}
			var list []string
			for _, folder := range a.folders(cmd, strings.HasPrefix(name, "namespace")) {
				list = append(list, before+folder)
			}
			return list
		})
	}
	for _, name := range []string{"dir", "tenants-dir"} {
		if own.Lookup(name) != nil {
			_ = cmd.MarkFlagDirname(name) // it exists
		}
	}
	for _, sub := range cmd.Commands() {
		a.complete(sub)
	}
}

// offer completes the value of a flag, if it is one of the command's own.
func offer(cmd *cobra.Command, own *pflag.FlagSet, name string, words func(cmd *cobra.Command, typed string) []string) {
	if own.Lookup(name) == nil {
		return
	}
	_ = cmd.RegisterFlagCompletionFunc(name, func(cmd *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) { // it exists
		return words(cmd, typed), cobra.ShellCompDirectiveNoFileComp
	})
}

// folders lists the folders of the namespaces, or of the environments in all namespaces.
func (a *app) folders(cmd *cobra.Command, namespaces bool) (names []string) {
	if a.settings.load(cmd) != nil {
		return nil
	}
	dir := a.settings.files.dir
	if f := cmd.Flags().Lookup("dir"); f != nil {
		dir = f.Value.String()
	}
	if namespaces {
		if isFolder(filepath.Join(dir, "base")) || flat(os.DirFS(dir), ".") {
			return nil
		}
		return foldersIn(dir)
	}
	contexts := a.settings.namespaces()
	if len(contexts) == 0 {
		contexts = namespacesIn(dir)
	}
	if len(contexts) == 0 {
		contexts = []string{""}
	}
	for _, context := range contexts {
		names = append(names, foldersIn(filepath.Join(dir, context))...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// foldersIn are the folders in a folder, without hidden ones.
func foldersIn(dir string) (names []string) {
	entries, _ := os.ReadDir(dir) // a missing folder has none
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names
}

// completeVersions offers the versions of the migrations, with their files.
func (a *app) completeVersions(others []string) completions {
	return func(cmd *cobra.Command, args []string, _ string) (list []cobra.Completion, _ cobra.ShellCompDirective) {
		const no = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
		if len(args) > 0 || a.settings.load(cmd) != nil {
			return nil, no
		}
		for _, list := range []*[]string{&a.settings.files.namespaces, &a.settings.files.environments} { // cobra has parsed the flags twice
			slices.Sort(*list)
			*list = slices.Compact(*list)
		}
		ctx := withPurpose(cmd.Context(), noDatabase)
		if cmd.Parent().Name() == "tenants" {
			ctx = tenantsContext(ctx)
		}
		m, err := a.open(ctx)
		if err != nil || m == nil {
			return nil, no
		}
		if name := a.settings.shared.namespace; name != "" {
			m = m.Namespace(name)
		}
		known, _ := m.Describe() // nothing is offered if there is a fault
		for _, migration := range slices.Backward(known.Migrations) {
			list = append(list, cobra.CompletionWithDesc(fmt.Sprint(migration.Version), migration.Source))
		}
		return append(list, others...), no
	}
}

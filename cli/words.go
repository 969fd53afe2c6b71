package cli

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/redact"
)

// words replaces the options and methods in the library's texts by flags and commands.
type words struct {
	program string   // as in the commands that a person is told
	flags   bool     // there are flags for the options
	scope   []string // the flags that say which database and migrations are meant
	tenant  string   // the tenant that is meant, if no flags lead to its database; "" for the database of scope
}

// optionFlags are the flags for the options of the library.
var optionFlags = map[string]string{
	"WithDialect": "driver", "WithFS": "dir", "WithBasePath": "dir", "WithEnvironments": "env", "SetEnvironments": "dir", "WithNamespaces": "namespaces",
	"WithProtectedEnvironments": "protected-env", "WithVersionTable": "table", "WithSchema": "schema", "WithSearchPath": "search-path", "WithRole": "role",
	"WithGlobalLock": "lock", "WithLockWait": "lock-wait", "WithStrictOrder": "strict-order",
	"WithTimeout": "timeout", "WithMigrationTimeout": "migration-timeout", "WithRollbackTimeout": "rollback-timeout",
	"WithRollback": "rollback", "WithForeignHistory": "foreign-history", "WithUnknownVersions": "unknown-versions", "WithChecksums": "checksums", "WithCheckpoints": "checkpoints",
	"WithStatementTimeouts": "statement-timeout", "WithRedactedDetails": "redact-details", "WithStoredDowns": "stored-downs",
	"WithConcurrency": "concurrency", "WithCanary": "canary", "WithMaxFailures": "max-failures", "WithCreateSchema": "create-schema", "WithWayBack": "way-back",
}

var (
	anOption = regexp.MustCompile(`\b(SetEnvironments|With[A-Z]\w*)\b(?:\(([^()]*)\))?`)
	aCall    = regexp.MustCompile(`\b(?:(call )?)(UnlockVersion|Accept)\((\d+)\)`)
	aForce   = regexp.MustCompile(`\b(?:call |Migrator\.)Force\b(?:\((\d+)\))?|\bForce\((\d+)\)|\bgooseplus force (\d+)`)
	aPair    = regexp.MustCompile(`--dir (?:and|or) --dir( say)?\b`)
)

// of translates a text of the library.
func (w words) of(text string) string {
	text = aForce.ReplaceAllStringFunc(text, func(s string) string {
		version := strings.Join(aForce.FindStringSubmatch(s)[1:], "")
		call := ""
		if strings.HasPrefix(s, "call ") {
			call = "run "
		}
		return call + w.force(cmp.Or(version, "VERSION"))
	})
	text = aCall.ReplaceAllStringFunc(text, func(s string) string {
		part := aCall.FindStringSubmatch(s)
		if w.tenant != "" {
			return s // no command does it to a tenant
		}
		command := w.command(map[string]string{"UnlockVersion": "unlock ", "Accept": "accept "}[part[2]] + part[3])
		if part[1] != "" {
			return "run " + command
		}
		return command
	})
	text = strings.NewReplacer("Force is called", w.program+" force is run", "gooseplus sum again", w.command("sum"), "gooseplus checkpoint", w.program+" checkpoint", "gooseplus renumber", w.program+" renumber", "(LockVersion)", "("+w.program+" lock)").Replace(text)
	if !w.flags {
		return text
	}
	text = anOption.ReplaceAllStringFunc(text, func(s string) string {
		part := anOption.FindStringSubmatch(s)
		if s == "SetEnvironments(nil)" {
			return "a --dir that has the migrations directly in it"
		}
		if s == "WithProtectedEnvironments()" {
			return "--protected-env ''"
		}
		if flag, ok := optionFlags[part[1]]; ok {
			return "--" + flag + flagValue(part[2])
		}
		return s
	})
	text = strings.ReplaceAll(text, "is not registered: its package must be imported by the program",
		"is a migration in Go, and "+w.program+" can't run it: add cli.Command to a program of yours that imports the package of the migration")
	return aPair.ReplaceAllStringFunc(text, func(s string) string {
		if strings.HasSuffix(s, " say") {
			return "--dir says"
		}
		return "--dir"
	})
}

// flagValue is the value of a flag for what an option was given: Ignore, RollbackTransaction, true, or names in quotes.
func flagValue(given string) string {
	switch given {
	case "", "true":
		return ""
	case "false":
		return "=false"
	}
	for word, policy := range policies {
		if given == policy.String() {
			return " " + word
		}
	}
	for word, strategy := range strategies {
		if given == strategy.String() {
			return " " + word
		}
	}
	var names []string
	for name := range strings.SplitSeq(given, ",") {
		names = append(names, strings.Trim(strings.TrimSpace(name), `"`))
	}
	return " " + quoted(strings.Join(names, ","))
}

// force is the command that says which version a database, or the tenant, is at.
func (w words) force(version string) string {
	if w.tenant != "" {
		return w.command("tenants force " + version + " --tenant " + quoted(w.tenant))
	}
	return w.command("force " + version)
}

// command is a command line to paste into a shell.
func (w words) command(args string) string {
	return strings.Join(append([]string{w.program, args}, w.scope...), " ")
}

// chosenBy are the flags that say which database and which migrations a command works on.
var chosenBy = []string{"env-file", "dsn", "master-dsn", "master", "driver", "schema", "search-path", "role", "table", "dir", "tenants-dir", "env", "namespaces", "namespace"}

// scope returns the chosenBy flags that a command was given, with passwords replaced by xxxxx.
func scope(cmd *cobra.Command) (list []string) {
	for _, name := range chosenBy {
		f := cmd.Flags().Lookup(name)
		if name == "tenants-dir" && !ofTenants(cmd) {
			continue
		}
		if f == nil || !f.Changed || len(f.Annotations[variablesOf]) == 0 && name != "env-file" && name != "master" {
			continue
		}
		list = append(list, scopeFlag(name, f.Value))
	}
	return list
}

func scopeFlag(name string, v pflag.Value) string {
	switch v := v.(type) {
	case pflag.SliceValue:
		return "--" + name + " " + quoted(strings.Join(v.GetSlice(), ","))
	default:
		if v.Type() == "bool" {
			return "--" + name
		}
		return "--" + name + " " + quoted(redact.Text(v.String()))
	}
}

// forTenant replaces the flags that choose the database by the tenant's: --schema, or --dsn with a placeholder.
func (w words) forTenant(t gooseplus.Tenant, dir string) words {
	w.scope = slices.DeleteFunc(slices.Clone(w.scope), func(s string) bool {
		return strings.HasPrefix(s, "--schema ") || t.Open != nil && (strings.HasPrefix(s, "--dsn ") || strings.HasPrefix(s, "--master")) ||
			dir != "" && strings.HasPrefix(s, "--dir ") || strings.HasPrefix(s, "--tenants-dir ")
	})
	if dir != "" {
		w.scope = append(w.scope, "--dir "+quoted(dir))
	}
	if t.Open != nil {
		w.scope = append(w.scope, "--dsn "+quoted("DSN of "+t.Name))
	} else {
		w.scope = append(w.scope, "--schema "+quoted(t.Schema))
	}
	return w
}

var plainWord = regexp.MustCompile(`^[\w./:@,=+%-]+$`)

// quoted quotes a word for a shell.
func quoted(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(clean(s), "'", `'\''`) + "'"
}

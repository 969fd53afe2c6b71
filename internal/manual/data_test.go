package manual

import (
	"encoding/json"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestData parses the YAML and the JSON of all pages. A command line of gooseplus in it must have commands and flags that exist.
func TestData(t *testing.T) {
	known := readReference(t)
	for _, p := range manual(t) {
		for _, b := range p.blocks {
			var document any
			var err error
			switch b.language {
			case "yaml":
				err = yaml.Unmarshal([]byte(b.text), &document)
			case "json":
				err = json.Unmarshal([]byte(b.text), &document)
			}
			if err != nil {
				t.Errorf("%s: %v", b, err)
			}
			for _, args := range commandLines(document) {
				if !known.commands[args[0]] {
					t.Errorf("%s: there is no command %s", b, args[0])
				}
				for _, arg := range args {
					if strings.HasPrefix(arg, "--") && !known.flags[arg] {
						t.Errorf("%s: there is no flag %s", b, arg)
					}
				}
			}
		}
	}
}

// commandLines are the arguments that a document gives to gooseplus: the args of a container, and the steps of a workflow.
func commandLines(document any) (list [][]string) {
	switch node := document.(type) {
	case []any:
		for _, one := range node {
			list = append(list, commandLines(one)...)
		}
	case map[string]any:
		for key, value := range node {
			args, _ := value.([]any)
			step, _ := value.(string)
			_, given, found := strings.Cut(step, "cmd/gooseplus@latest ")
			switch {
			case key == "args" && len(args) > 0:
				var line []string
				for _, arg := range args {
					text, _ := arg.(string)
					line = append(line, text)
				}
				list = append(list, line)
			case key == "run" && found:
				list = append(list, strings.Fields(given))
			default:
				list = append(list, commandLines(value)...)
			}
		}
	}
	return list
}

// TestCommandLines: those of the pages are found.
func TestCommandLines(t *testing.T) {
	var document any
	const text = "steps: [{ run: go run example.com/cmd/gooseplus@latest sum --check }, { run: go test }]\nspec: { containers: [{ args: [up, --timeout, 3m] }] }\n"
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, line := range commandLines(document) {
		lines = append(lines, strings.Join(line, " "))
	}
	if got := strings.Join(lines, "\n"); got != "sum --check\nup --timeout 3m" && got != "up --timeout 3m\nsum --check" {
		t.Error(got)
	}
}

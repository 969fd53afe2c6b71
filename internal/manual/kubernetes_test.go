package manual

import (
	"regexp"
	"slices"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// overhead is what a run needs beside its two timeouts, generously: to interrupt a statement, to say how it ended, and to give the lock back.
const overhead = 15 * time.Second

var inProgram = map[string]*regexp.Regexp{
	"--timeout":          regexp.MustCompile(`WithTimeout\((?:(\d+) ?\* ?)?time\.Minute\)`),
	"--rollback-timeout": regexp.MustCompile(`WithRollbackTimeout\((?:(\d+) ?\* ?)?time\.Minute\)`),
}

// TestKubernetesLimits: the limits of the manifests leave a run the time for its timeouts, and a pod that is stopped the time for
// its way back.
func TestKubernetesLimits(t *testing.T) {
	page := readPage(t, "docs/locking.md")
	limits := func(args []string) (run, back time.Duration) {
		for i, arg := range args[:len(args)-1] {
			d, err := time.ParseDuration(args[i+1])
			switch {
			case arg != "--timeout" && arg != "--rollback-timeout":
			case err != nil:
				t.Error(err)
			case arg == "--timeout":
				run = d
			default:
				back = d
			}
		}
		return run, back
	}
	var program []string // what the Go program of the page before the manifest sets
	pods, probes, deadlines := 0, 0, 0
	for _, b := range page.blocks {
		if b.language == "go" {
			for flag, called := range inProgram {
				if found := called.FindStringSubmatch(b.text); found != nil {
					program = append(program, flag, found[1]+"m")
					if found[1] == "" {
						program[len(program)-1] = "1m"
					}
				}
			}
		}
		if b.language != "yaml" {
			continue
		}
		var document map[string]any
		if err := yaml.Unmarshal([]byte(b.text), &document); err != nil {
			t.Fatal(err)
		}
		lines := commandLines(document)
		if len(lines) == 0 {
			lines = [][]string{append([]string{"up"}, program...)}
		}
		run, back := limits(slices.Concat(lines...))
		if run == 0 || back == 0 {
			t.Errorf("%s: no timeouts found", b)
		}
		seconds := func(key string) time.Duration { return time.Duration(number(document, key)) * time.Second }
		pods++
		if grace := seconds("terminationGracePeriodSeconds"); grace < back+overhead {
			t.Errorf("%s: a stopped pod is killed after %v, and its way back may take %v", b, grace, back)
		}
		if probe := seconds("periodSeconds") * time.Duration(number(document, "failureThreshold")); probe > 0 {
			if probes++; probe < run+back+overhead {
				t.Errorf("%s: the startup probe gives up after %v, and the run may take %v", b, probe, run+back)
			}
		}
		if deadline := seconds("activeDeadlineSeconds"); deadline > 0 {
			if deadlines++; deadline < run+back+overhead {
				t.Errorf("%s: the job ends after %v, and the run may take %v", b, deadline, run+back)
			}
		}
	}
	if pods != 3 || probes != 1 || deadlines != 1 {
		t.Errorf("%d manifests, %d probes and %d deadlines were found", pods, probes, deadlines)
	}
}

// number is the first number with a key, however deep, or 0.
func number(document any, key string) int {
	switch node := document.(type) {
	case []any:
		for _, one := range node {
			if n := number(one, key); n > 0 {
				return n
			}
		}
	case map[string]any:
		for name, value := range node {
			if n, ok := value.(int); ok && name == key {
				return n
			}
			if n := number(value, key); n > 0 {
				return n
			}
		}
	}
	return 0
}

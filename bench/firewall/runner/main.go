// Runs the core ruleset's own regression tests with go-ftw against a server that writes which rules
// matched into a log, and prints what became of each test as JSON.
//
//	waf-tests -port PORT -log FILE -overrides FILE [-level N]
//
// The server is reached over TLS as `localhost`; SSL_CERT_FILE names whom to trust. With -level only
// tests of rules up to that paranoia level are run.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
	crstests "github.com/corazawaf/coraza-coreruleset/v4/tests"
	schema "github.com/coreruleset/ftw-tests-schema/v2/types"
	"github.com/coreruleset/go-ftw/config"
	"github.com/coreruleset/go-ftw/ftwhttp"
	"github.com/coreruleset/go-ftw/output"
	"github.com/coreruleset/go-ftw/runner"
	"github.com/coreruleset/go-ftw/test"
	"github.com/coreruleset/go-ftw/waflog"
	"github.com/rs/zerolog"
)

const (
	address     = "localhost"
	protocol    = "https"
	readTimeout = 10 * time.Second
)

type settings struct {
	port, level    int
	log, overrides string
}

// failure says of a failed test which rules matched, and why it could not be run if it could not.
type failure struct {
	Test      string   `json:"test"`
	Triggered [][]uint `json:"triggered"`
	Error     string   `json:"error,omitempty"`
}

// result counts; Overridden are the tests, of those run, that expect something else of this server.
type result struct {
	Run        int               `json:"run"`
	Passed     int               `json:"passed"`
	Failed     []failure         `json:"failed"`
	Overridden map[string]string `json:"overridden"`
	Seconds    float64           `json:"seconds"`
}

func main() {
	zerolog.SetGlobalLevel(zerolog.FatalLevel)
	var given settings
	flag.IntVar(&given.port, "port", 0, "the server's port")
	flag.IntVar(&given.level, "level", 4, "the highest paranoia level whose rules are tested")
	flag.StringVar(&given.log, "log", "", "where the server writes what matched")
	flag.StringVar(&given.overrides, "overrides", "", "tests that expect something else here")
	flag.Parse()
	found, err := run(given)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(found)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "waf-tests:", err)
		os.Exit(1)
	}
}

func run(given settings) (*result, error) {
	configuration := config.NewDefaultConfig()
	if err := configuration.LoadPlatformOverrides(given.overrides); err != nil {
		return nil, err
	}
	destination, scheme, port := address, protocol, given.port
	configuration.WithLogfile(given.log)
	configuration.TestOverride.Overrides.DestAddr = &destination
	configuration.TestOverride.Overrides.Protocol = &scheme
	configuration.TestOverride.Overrides.Port = &port
	tests, err := collect(given.level)
	if err != nil {
		return nil, err
	}
	lines, err := waflog.NewFTWLogLines(configuration)
	if err != nil {
		return nil, err
	}
	client, err := ftwhttp.NewClient(ftwhttp.ClientConfig{
		ConnectTimeout: readTimeout,
		ReadTimeout:    readTimeout,
		RateLimiter:    ftwhttp.NewClientConfig().RateLimiter,
	})
	if err != nil {
		return nil, err
	}
	started := time.Now()
	context := &runner.TestRunContext{
		Config:         configuration,
		RunnerConfig:   &runner.RunnerConfig{},
		Output:         output.NewOutput("quiet", io.Discard),
		ShowOnlyFailed: true,
		Stats:          runner.NewRunStats(),
		Client:         client,
		LogLines:       lines,
	}
	found := &result{Failed: []failure{}, Overridden: map[string]string{}}
	for at, each := range tests {
		if at%100 == 0 {
			fmt.Fprintf(os.Stderr, "%d of %d tests\n", at, len(tests))
		}
		found.Run++
		before := len(context.Stats.Success)
		name := each.Tests[0].IdString()
		if why := reason(configuration, &each.Tests[0]); why != "" {
			found.Overridden[name] = why
		}
		err := runner.RunTest(context, each)
		switch {
		case err != nil:
			found.Failed = append(found.Failed, failure{Test: name, Error: err.Error()})
		case len(context.Stats.Success) > before:
			found.Passed++
		default:
			found.Failed = append(found.Failed, failure{
				Test: name, Triggered: context.Stats.TriggeredRules[name],
			})
		}
	}
	found.Seconds = time.Since(started).Seconds()
	return found, nil
}

// collect reads the tests of the request's rules, one by one, so that one that cannot be run takes
// no other with it.
func collect(level int) ([]*test.FTWTest, error) {
	levels, err := paranoia()
	if err != nil {
		return nil, err
	}
	var tests []*test.FTWTest
	err = fs.WalkDir(crstests.FS, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Ext(name) != ".yaml" {
			return err
		}
		if !strings.HasPrefix(name, "REQUEST-") { // the phase under test sees no responses
			return nil
		}
		text, err := fs.ReadFile(crstests.FS, name)
		if err != nil {
			return err
		}
		parsed, err := test.GetTestFromYaml(text, path.Base(name))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if levels[parsed.RuleId] > level {
			return nil
		}
		for _, one := range parsed.Tests {
			single := *parsed
			single.Tests = []schema.Test{one}
			tests = append(tests, &single)
		}
		return nil
	})
	return tests, err
}

var (
	ruleID    = regexp.MustCompile(`(?m)^\s*"?id:'?(\d+)'?,`)
	ruleLevel = regexp.MustCompile(`tag:'paranoia-level/(\d)'`)
)

// paranoia tells the paranoia level of each rule; rules without one only compute.
func paranoia() (map[uint]int, error) {
	levels := map[uint]int{}
	files, err := fs.Glob(coreruleset.FS, "@owasp_crs/*.conf")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := fs.ReadFile(coreruleset.FS, file)
		if err != nil {
			return nil, err
		}
		places := ruleID.FindAllSubmatchIndex(text, -1)
		for at, place := range places {
			end := len(text)
			if at+1 < len(places) {
				end = places[at+1][0]
			}
			id, _ := strconv.ParseUint(string(text[place[2]:place[3]]), 10, 32)
			if level := ruleLevel.FindSubmatch(text[place[0]:end]); level != nil {
				levels[uint(id)], _ = strconv.Atoi(string(level[1]))
			}
		}
	}
	return levels, nil
}

// reason says why a test expects something else here; empty for one that does not.
func reason(configuration *config.FTWConfiguration, tested *schema.Test) string {
	for _, override := range configuration.PlatformOverrides.OverridesMap[tested.RuleId] {
		if slices.Contains(override.TestIds, tested.TestId) {
			return override.Reason
		}
	}
	return ""
}

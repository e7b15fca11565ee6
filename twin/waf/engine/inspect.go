package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"
)

const (
	levelTag       = "paranoia-level/"
	longestName    = 64
	fixedFields    = 6
	unknownAddress = "0.0.0.0"
)

// request is one frame's content: fixed fields, then the headers in pairs, all as they came.
type request struct {
	variables map[string]string // of the rules' TX collection, such as blocking_paranoia_level
	client    string
	method    string
	target    string
	protocol  string
	body      []byte
	headers   [][]byte
}

// match tells of one rule that matched: where, never what. The data may be a card's number.
type match struct {
	ID       int      `json:"id"`
	Message  string   `json:"message"`
	Severity string   `json:"severity"`
	Level    int      `json:"level"`
	Tags     []string `json:"tags"`
	Variable string   `json:"variable"`
}

type verdict struct {
	Rules        []match `json:"rules"`
	Microseconds int64   `json:"microseconds"`
	Error        string  `json:"error,omitempty"`
}

func parse(fields [][]byte) (*request, error) {
	if len(fields) < fixedFields || len(fields)%2 != 0 {
		return nil, fmt.Errorf("a request has %d fields", len(fields))
	}
	parsed := &request{
		client:   string(fields[1]),
		method:   string(fields[2]),
		target:   string(fields[3]),
		protocol: string(fields[4]),
		body:     fields[5],
		headers:  fields[fixedFields:],
	}
	if err := json.Unmarshal(fields[0], &parsed.variables); err != nil {
		return nil, fmt.Errorf("the variables of a request: %w", err)
	}
	return parsed, nil
}

// inspect tells which rules match, in the order of the rules.
func inspect(rules firewall, asked *request) (answer verdict) {
	started := time.Now()
	var halves [len(rules)][]match
	var failed [len(rules)]error
	var running sync.WaitGroup
	running.Go(func() { halves[0], failed[0] = judge(rules[0], asked) })
	halves[1], failed[1] = judge(rules[1], asked)
	running.Wait()
	answer.Rules = append(append([]match{}, halves[0]...), halves[1]...) // never null as JSON
	slices.SortStableFunc(answer.Rules, func(one, other match) int { return one.ID - other.ID })
	if err := errors.Join(failed[:]...); err != nil {
		answer.Error = err.Error()
	}
	answer.Microseconds = time.Since(started).Microseconds()
	return answer
}

func judge(rules coraza.WAF, asked *request) ([]match, error) {
	transaction := rules.NewTransaction()
	defer transaction.Close()
	if state, ok := transaction.(plugintypes.TransactionState); ok {
		for name, value := range asked.variables {
			state.Variables().TX().Set(name, []string{value})
		}
	}
	client := asked.client
	if net.ParseIP(client) == nil {
		client = unknownAddress
	}
	transaction.ProcessConnection(client, 0, "", 0)
	transaction.ProcessURI(asked.target, asked.method, asked.protocol)
	for at := 0; at < len(asked.headers); at += 2 {
		name, value := string(asked.headers[at]), string(asked.headers[at+1])
		transaction.AddRequestHeader(name, value)
		if strings.EqualFold(name, "host") {
			transaction.SetServerName(value)
		}
	}
	transaction.ProcessRequestHeaders()
	if len(asked.body) > 0 {
		if _, _, err := transaction.WriteRequestBody(asked.body); err != nil {
			return nil, err
		}
	}
	if _, err := transaction.ProcessRequestBody(); err != nil {
		return nil, err
	}
	var found []match
	for _, rule := range transaction.MatchedRules() {
		if rule.Message() != "" { // the others only compute
			found = append(found, describe(rule))
		}
	}
	return found, nil
}

func describe(rule types.MatchedRule) match {
	known := rule.Rule()
	found := match{
		ID:       known.ID(),
		Message:  rule.Message(),
		Severity: known.Severity().String(),
		Tags:     known.Tags(),
	}
	for _, tag := range known.Tags() {
		if level, ok := strings.CutPrefix(tag, levelTag); ok {
			found.Level, _ = strconv.Atoi(level)
		}
	}
	if matched := rule.MatchedDatas(); len(matched) > 0 {
		found.Variable = variable(matched[0])
	}
	return found
}

// variable names where a rule matched. A key is the visitor's own text: it is shortened, and left
// out where it is itself what matched.
func variable(matched types.MatchData) string {
	name, key := matched.Variable().Name(), matched.Key()
	if key == "" || strings.HasSuffix(name, "_NAMES") || key == matched.Value() {
		return name
	}
	key = strings.Map(func(letter rune) rune {
		if letter == '-' || letter == '_' || letter == '.' || letter >= '0' && letter <= '9' ||
			letter >= 'A' && letter <= 'Z' || letter >= 'a' && letter <= 'z' {
			return letter
		}
		return '_'
	}, key)
	if len(key) > longestName {
		key = key[:longestName]
	}
	return name + ":" + key
}

package main

import (
	"fmt"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental"
	"github.com/corazawaf/coraza/v3/types"
)

// The largest body that is ever handed over is the Free plan's megabyte; the edge cuts it.
const bodyLimit = 2 << 20

// DetectionOnly: every rule is evaluated and none interrupts, because the edge decides from the
// whole list, by the ruleset that was deployed. Responses are not inspected: the edge's phase is
// the request's. SecRxPreFilter stays off: it is a tenth faster, and with it rules 942220 and 932311
// no longer match what their own tests send (v3.8.1).
var directives = fmt.Sprintf(`
Include @coraza.conf-recommended
SecRuleEngine DetectionOnly
SecAuditEngine Off
SecResponseBodyAccess Off
SecRequestBodyLimit %d
SecRequestBodyInMemoryLimit %d
SecRequestBodyLimitAction ProcessPartial
Include @crs-setup.conf.example
Include @owasp_crs/REQUEST-*.conf
`, bodyLimit, bodyLimit)

// firewall is the core ruleset in two halves, which judge a request at the same time.
type firewall [2]coraza.WAF

// left is what each half does without: attacks whose files know nothing of each other, as each is
// written so that it can be left out. What they share (901, 905, 949) stands in both. One thing
// passes between two of them: 920480, which matches an odd charset, lets rules see the raw body;
// beside a body that is parsed, those of its half do.
//
// A page's request costs about the same in both; the first is the lighter one, because its thread
// has to wake up first.
var left = [len(firewall{})]string{"933000-948999", "910000-932999"}

// newFirewall reads the rules that are built into the program; returns how many there are.
func newFirewall() (firewall, int, error) {
	var halves firewall
	rules := map[int]struct{}{}
	config := experimental.WAFConfigWithRuleObserver(
		coraza.NewWAFConfig().WithRootFS(coreruleset.FS),
		func(rule types.RuleMetadata) { rules[rule.ID()] = struct{}{} },
	)
	for half := range halves {
		var err error
		halves[half], err = coraza.NewWAF(
			config.WithDirectives(directives + "SecRuleRemoveById " + left[half]),
		)
		if err != nil {
			return halves, 0, err
		}
	}
	return halves, len(rules), nil
}

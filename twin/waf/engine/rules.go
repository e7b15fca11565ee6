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

// newFirewall reads the rules that are built into the program; returns how many there are.
func newFirewall() (coraza.WAF, int, error) {
	rules := 0
	config := experimental.WAFConfigWithRuleObserver(
		coraza.NewWAFConfig().WithRootFS(coreruleset.FS),
		func(types.RuleMetadata) { rules++ },
	)
	firewall, err := coraza.NewWAF(config.WithDirectives(directives))
	return firewall, rules, err
}

//go:build tools

// Package toxiproxy pins the proxy's modules; the program that is built is theirs.
package toxiproxy

import _ "github.com/Shopify/toxiproxy/v2"

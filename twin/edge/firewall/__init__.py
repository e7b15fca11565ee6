"""The edge's firewall: what the deployed rules do to a request before it reaches an origin."""

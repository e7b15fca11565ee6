"""The gateways that take money for us, behind one protocol."""

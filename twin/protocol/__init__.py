"""The Pulumi provider protocol, served: everything between the engine's gRPC and a `Resource`."""

"""The local clouds: provider doubles, machines, managed services, edge and payment gateways.

The twin speaks protocols only (Pulumi provider gRPC, HTTP, S3, SSH); it imports neither
`components` nor `app`, so that whatever it accepts was really deployed.
"""

"""Read-only HTTP views of the clouds, in the shape of their public APIs."""

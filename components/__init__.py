"""What the platform is made of; each component knows Pulumi and its own arguments, nothing else."""

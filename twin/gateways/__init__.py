"""Payment gateways as their clients see them: stateful simulators, one package per dialect."""

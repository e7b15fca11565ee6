"""The provider doubles: one module or package per provider, each with `package()`."""

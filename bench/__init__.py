"""Benchmarks: where the platform stands against the figures it promises.

`make bench` runs them; the tests never do. Each writes its figures, with the day and the machine's
size, to `bench/results/`. Machines are noisy: where two things are compared they run in turn, and
the ratio is taken pair by pair.
"""

"""The worker: jobs that follow from requests, and the checks that run by the clock."""

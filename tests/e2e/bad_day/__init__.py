"""A bad day: faults on a cluster of hosts, one after another, under load all the time. `make bad-day` runs it."""

"""The life of one pod on a node, as a state machine: events in, instructions out, no I/O and no clock.

What may enter: decisions. `machine.PodLifecycle` is the door; everything it needs to know arrives as an event.
"""

"""What a cluster would look like after changes: computed on a copy of it, by the scheduler's own decisions.

What may enter: changes, what controllers and admission would make of them, and the report. No I/O, no clock; a seed
decides the ties. `tiphys.scheduler.what_if` is the door.
"""

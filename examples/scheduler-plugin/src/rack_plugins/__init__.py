"""Scheduler plugins of an imaginary data centre."""

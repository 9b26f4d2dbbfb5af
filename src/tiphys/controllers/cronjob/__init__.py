"""Starts Jobs when their CronJob's schedule says so, and tidies up after them.

What may enter: when a schedule is due (`schedule`), and what then happens under which policy (`reconcile`).
"""

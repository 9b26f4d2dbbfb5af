"""Keeps the number of pods of what can be scaled at what their measured use asks for.

What may enter: replica counts from metrics (`replicas`), how fast they may change (`behavior`), what is decided and
told (`reconcile`), where metrics come from (`metrics`).
"""

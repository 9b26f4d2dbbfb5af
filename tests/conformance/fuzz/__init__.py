"""Requests at random against a running server: whatever is asked, it answers soon, and what it answers is no 5xx."""

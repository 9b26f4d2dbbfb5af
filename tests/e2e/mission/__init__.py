"""The mission's lines, each shown on three hosts as a client sees it."""

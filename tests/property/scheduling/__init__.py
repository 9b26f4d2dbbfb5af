"""The scheduler's rules once more, a plugin a module, one node and one pod at a time: slow, and easy to check."""

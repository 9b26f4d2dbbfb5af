"""`tiphys simulate` against a running apiserver."""

"""`tiphys why` against a running cluster of hollow nodes."""

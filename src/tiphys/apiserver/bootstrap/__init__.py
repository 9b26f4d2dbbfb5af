"""What every cluster has from its first moment: namespaces, the `kubernetes` Service, roles, priority classes."""

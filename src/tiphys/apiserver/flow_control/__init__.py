"""Who waits when there is too much to do: upstream's priority and fairness. FlowSchemas sort requests into flows,
PriorityLevelConfigurations divide the server's seats between them; `controller` follows those objects."""

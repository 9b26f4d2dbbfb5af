"""HTTP extenders: other programs that are asked about pods, by upstream's protocol (k8s.io/kube-scheduler/extender/v1).

    scheduler ──pod that one wants to see──► lane ──asking──► transport ──HTTP──► the extender
                                              │ ◄── opinion ──┘
                                              └──choosing, on the cluster as it is then──► the scheduler goes on

What may enter: settings, the wire's forms, the calls, and the lane in which pods wait for answers. No plugin.
"""

"""Several hosts on one machine: network namespaces joined by a bridge, each with processes and a disk of its own.

    machine ── bridge .1 ─┬─ veth ── namespace tiphys-<id>-node-1     .11   <data-dir>/hosts/node-1
                          ├─ veth ── namespace tiphys-<id>-node-2     .12   <data-dir>/hosts/node-2
                          └─ veth ── namespace tiphys-<id>-control-1  .2    <data-dir>/hosts/control-1

The machine itself is outside: a client, and where the control plane runs unless it has hosts of its own. A host is
what another machine would be: it has its address, supervisor, containerd and node processes, joins by a token, can lose
its power or its link, and boots again from its directory. Mounts and cgroups are the machine's, told apart by name.
"""

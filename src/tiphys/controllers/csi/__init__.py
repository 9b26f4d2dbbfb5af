"""The controllers beside a CSI driver: what upstream's sidecars external-provisioner, -attacher and -resizer do.

What may enter: claims, volumes and attachments of one driver, and calls to its controller service. They run in a
process of their own next to the driver (``tiphys csi-controller``), never in the controller manager.
"""

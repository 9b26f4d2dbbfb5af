"""All controllers in one process over one set of informers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Final

from tiphys.base.clock import Clock, SystemClock
from tiphys.base.logging import get_logger
from tiphys.base.tasks import Supervisor
from tiphys.client import Client, ElectionConfig, LeaderElector, SharedInformers
from tiphys.controllers.config import ControllerManagerConfig
from tiphys.controllers.runtime import Controller, ControllerFactory, Environment

_logger = get_logger(__name__)

# Garbage collection comes last, for it uses the informers that others have asked for.
CONTROLLERS: Final[Mapping[str, str]] = {
    "deployment-controller": "deployment.controller:DeploymentController",
    "replicaset-controller": "replicaset.controller:ReplicaSetController",
    "replicationcontroller-controller": "replicaset.controller:ReplicationControllerController",
    "daemonset-controller": "daemonset.controller:DaemonSetController",
    "statefulset-controller": "statefulset.controller:StatefulSetController",
    "job-controller": "job.controller:JobController",
    "cronjob-controller": "cronjob.controller:CronJobController",
    "horizontal-pod-autoscaler-controller": "horizontalpodautoscaler.controller:HorizontalPodAutoscalerController",
    "ttl-after-finished-controller": "ttlafterfinished.controller:TTLAfterFinishedController",
    "endpoints-controller": "endpoints.controller:EndpointsController",
    "endpointslice-controller": "endpointslice.controller:EndpointSliceController",
    "endpointslice-mirroring-controller": "endpointslicemirroring.controller:EndpointSliceMirroringController",
    "namespace-controller": "namespace.controller:NamespaceController",
    "serviceaccount-controller": "serviceaccount.controller:ServiceAccountController",
    "root-ca-certificate-publisher-controller": "rootca.controller:RootCAPublisher",
    "node-lifecycle-controller": "nodelifecycle.controller:NodeLifecycleController",
    "persistentvolume-attach-detach-controller": "attachdetach.controller:AttachDetachController",
    "taint-eviction-controller": "tainteviction.controller:TaintEvictionController",
    "device-taint-eviction-controller": "devicetainteviction.controller:DeviceTaintEvictionController",
    "node-ipam-controller": "nodeipam.controller:NodeIPAMController",
    "pod-garbage-collector-controller": "podgc.controller:PodGCController",
    "clusterrole-aggregation-controller": "clusterroleaggregation.controller:ClusterRoleAggregationController",
    "disruption-controller": "disruption.controller:DisruptionController",
    "resourcequota-controller": "resourcequota.controller:ResourceQuotaController",
    "certificatesigningrequest-approving-controller": (
        "certificateapproving.controller:CertificateApprovingController"
    ),
    "certificatesigningrequest-signing-controller": "certificatesigning.controller:CertificateSigningController",
    "certificatesigningrequest-cleaner-controller": "certificatecleaner.controller:CertificateCleanerController",
    "bootstrap-signer-controller": "bootstrapsigner.controller:BootstrapSigner",
    "token-cleaner-controller": "tokencleaner.controller:TokenCleaner",
    "persistentvolume-binder-controller": "persistentvolume.controller:PersistentVolumeController",
    "persistentvolumeclaim-protection-controller": "volumeprotection.controller:ClaimProtectionController",
    "persistentvolume-protection-controller": "volumeprotection.controller:VolumeProtectionController",
    "volumeattributesclass-protection-controller": "volumeprotection.controller:AttributesClassProtectionController",
    "persistentvolume-expander-controller": "volumeexpand.controller:VolumeExpandController",
    "ephemeral-volume-controller": "ephemeralvolume.controller:EphemeralVolumeController",
    "resource-claim-controller": "resourceclaim.controller:ResourceClaimController",
    "local-path-provisioner-controller": "localpath.controller:LocalPathController",
    "service-lb-controller": "serviceloadbalancer.controller:ServiceLoadBalancerController",
    "ingress-controller": "ingress.controller:IngressController",
    "garbage-collector-controller": "garbagecollector.controller:GarbageCollector",
}
"""Upstream's names of controllers, and where each is made. Imported when run, so that one alone starts fast."""


def enabled(asked: Iterable[str]) -> list[str]:
    """The names of the controllers to run, in order; raises ValueError for a name that is none."""
    wanted = list(asked)
    unknown = [name for name in wanted if name != "*" and name.removeprefix("-") not in CONTROLLERS]
    if unknown:
        raise ValueError(f"no controller named {', '.join(unknown)}")
    return [name for name in CONTROLLERS if f"-{name}" not in wanted and (name in wanted or "*" in wanted)]


def factory(name: str) -> ControllerFactory:
    """What makes the controller called `name`."""
    module, _, attribute = CONTROLLERS[name].partition(":")
    found: ControllerFactory = getattr(import_module(f"tiphys.controllers.{module}"), attribute)
    return found


class ControllerManager:
    """``await ControllerManager(client, config).run()``: runs the enabled controllers until cancelled."""

    def __init__(
        self, client: Client, config: ControllerManagerConfig | None = None, *, clock: Clock | None = None
    ) -> None:
        self.config = config or ControllerManagerConfig()
        self._client = client
        self._clock = clock or SystemClock()
        self._names = enabled(self.config.controllers)

    async def run(self) -> None:
        """Run until cancelled; with leader election, also until the lease is lost (LeadershipLost)."""
        if not self.config.leader_elect:
            await self._run_controllers()
            return
        election = ElectionConfig("kube-controller-manager", self.config.identity)
        await LeaderElector(self._client, election, clock=self._clock).run(self._run_controllers)

    async def _run_controllers(self) -> None:
        informers = SharedInformers(self._client, clock=self._clock)
        environment = Environment(self._client, informers, self.config, self._clock)
        controllers = [factory(name)(environment) for name in self._names]
        try:
            async with Supervisor("kube-controller-manager") as supervisor:
                for informer in informers.all():
                    supervisor.spawn(informer.run, f"informer/{informer.view.resource.qualified}")
                await informers.wait_synced()
                _logger.info("controllers start", count=len(controllers))
                for controller in controllers:
                    supervisor.spawn(controller.run, controller.name)
                await supervisor.wait()
        finally:
            await environment.close()


def controllers_of(environment: Environment, names: Iterable[str]) -> list[Controller]:
    """The controllers called `names`, made but not run; their informers are `environment`'s to run."""
    return [factory(name)(environment) for name in names]

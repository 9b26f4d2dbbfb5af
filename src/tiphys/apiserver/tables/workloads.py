"""Tables of what keeps pods running: apps, batch and autoscaling."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api.types import autoscaling_v1, autoscaling_v2
from tiphys.api.types.apps_v1 import ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet
from tiphys.api.types.batch_v1 import CronJob, Job
from tiphys.api.types.core_v1 import PodTemplate, PodTemplateSpec, ReplicationController
from tiphys.apiserver.tables import text
from tiphys.apiserver.tables.ages import age, duration, seconds_of
from tiphys.apiserver.tables.text import NONE, UNSET

_UNKNOWN: Final = "<unknown>"
_METRICS_SHOWN: Final = 2
_JOB_STATES: Final = ("FailureTarget", "SuccessCriteriaMet")


def pod_template(obj: PodTemplate, now: float) -> list[Any]:
    return [
        obj.metadata.name,
        *text.containers(obj.template.spec.containers),
        text.labels(obj.template.metadata.labels),
    ]


def replication_controller(obj: ReplicationController, now: float) -> list[Any]:
    spec, status = obj.spec, obj.status
    counts = [spec.replicas or 0, status.replicas, status.ready_replicas or 0]
    template = spec.template or PodTemplateSpec()
    wide = [*text.containers(template.spec.containers), text.labels(spec.selector)]
    return [obj.metadata.name, *counts, age(obj.metadata.creation_timestamp, now), *wide]


def replica_set(obj: ReplicaSet, now: float) -> list[Any]:
    spec, status = obj.spec, obj.status
    counts = [spec.replicas or 0, status.replicas, status.ready_replicas or 0]
    wide = [*text.containers(spec.template.spec.containers), text.selector(spec.selector)]
    return [obj.metadata.name, *counts, age(obj.metadata.creation_timestamp, now), *wide]


def deployment(obj: Deployment, now: float) -> list[Any]:
    spec, status = obj.spec, obj.status
    return [
        obj.metadata.name,
        f"{status.ready_replicas or 0}/{spec.replicas or 0}",
        status.updated_replicas or 0,
        status.available_replicas or 0,
        age(obj.metadata.creation_timestamp, now),
        *text.containers(spec.template.spec.containers),
        text.selector(spec.selector),
    ]


def stateful_set(obj: StatefulSet, now: float) -> list[Any]:
    ready = f"{obj.status.ready_replicas or 0}/{obj.spec.replicas or 0}"
    wide = text.containers(obj.spec.template.spec.containers)
    return [obj.metadata.name, ready, age(obj.metadata.creation_timestamp, now), *wide]


def daemon_set(obj: DaemonSet, now: float) -> list[Any]:
    spec, status = obj.spec, obj.status
    return [
        obj.metadata.name,
        status.desired_number_scheduled,
        status.current_number_scheduled,
        status.number_ready,
        status.updated_number_scheduled or 0,
        status.number_available or 0,
        text.labels(spec.template.spec.node_selector),
        age(obj.metadata.creation_timestamp, now),
        *text.containers(spec.template.spec.containers),
        text.selector(spec.selector),
    ]


def controller_revision(obj: ControllerRevision, now: float) -> list[Any]:
    owner = NONE
    for reference in obj.metadata.owner_references:
        if reference.controller:
            group = reference.api_version.rpartition("/")[0]
            kind = reference.kind.lower()
            owner = f"{kind}.{group}/{reference.name}" if group else f"{kind}/{reference.name}"
    return [obj.metadata.name, owner, obj.revision, age(obj.metadata.creation_timestamp, now)]


def job(obj: Job, now: float) -> list[Any]:
    spec, status = obj.spec, obj.status
    succeeded = status.succeeded or 0
    if spec.completions is not None:
        completions = f"{succeeded}/{spec.completions}"
    else:
        parallelism = spec.parallelism or 0
        completions = f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"
    took = ""
    if status.start_time:
        ended = seconds_of(status.completion_time) if status.completion_time else now
        took = duration(ended - seconds_of(status.start_time))
    return [
        obj.metadata.name,
        _job_status(obj),
        completions,
        took,
        age(obj.metadata.creation_timestamp, now),
        *text.containers(spec.template.spec.containers),
        text.selector(spec.selector),
    ]


def _job_status(obj: Job) -> str:
    true = {condition.type for condition in obj.status.conditions if condition.status == "True"}
    for final in ("Complete", "Failed"):
        if final in true:
            return final
    if obj.metadata.deletion_timestamp:
        return "Terminating"
    if "Suspended" in true:
        return "Suspended"
    return next((state for state in _JOB_STATES if state in true), "Running")


def cron_job(obj: CronJob, now: float) -> list[Any]:
    spec, status = obj.spec, obj.status
    template = spec.job_template.spec
    return [
        obj.metadata.name,
        spec.schedule,
        spec.time_zone or NONE,
        text.boolean(spec.suspend),
        len(status.active),
        age(status.last_schedule_time, now) if status.last_schedule_time else NONE,
        age(obj.metadata.creation_timestamp, now),
        *text.containers(template.template.spec.containers),
        text.selector(template.selector),
    ]


def autoscaler_v1(obj: autoscaling_v1.HorizontalPodAutoscaler, now: float) -> list[Any]:
    spec, status = obj.spec, obj.status
    targets = NONE
    if spec.target_cpu_utilization_percentage is not None:
        current = status.current_cpu_utilization_percentage
        shown = _UNKNOWN if current is None else f"{current}%"
        targets = f"cpu: {shown}/{spec.target_cpu_utilization_percentage}%"
    return _autoscaler(obj, targets, status.current_replicas, now)


def autoscaler_v2(obj: autoscaling_v2.HorizontalPodAutoscaler, now: float) -> list[Any]:
    current = obj.status.current_metrics
    targets = [
        _metric(spec, current[index] if index < len(current) else None) for index, spec in enumerate(obj.spec.metrics)
    ]
    shown = text.some(targets, NONE, _METRICS_SHOWN, ", ")
    return _autoscaler(obj, shown, obj.status.current_replicas or 0, now)


def scale(obj: autoscaling_v1.Scale, now: float) -> list[Any]:
    created = age(obj.metadata.creation_timestamp, now)
    return [obj.metadata.name, obj.spec.replicas or 0, obj.status.replicas, created]


def _autoscaler(
    obj: autoscaling_v1.HorizontalPodAutoscaler | autoscaling_v2.HorizontalPodAutoscaler,
    targets: str,
    replicas: int,
    now: float,
) -> list[Any]:
    spec = obj.spec
    minimum = UNSET if spec.min_replicas is None else str(spec.min_replicas)
    target = f"{spec.scale_target_ref.kind}/{spec.scale_target_ref.name}"
    created = age(obj.metadata.creation_timestamp, now)
    return [obj.metadata.name, target, targets, minimum, spec.max_replicas, replicas, created]


def _metric(spec: autoscaling_v2.MetricSpec, status: autoscaling_v2.MetricStatus | None) -> str:
    kinds = {
        "External": ("external", ""),
        "Pods": ("pods", ""),
        "Object": ("object", ""),
        "Resource": ("resource", "name"),
        "ContainerResource": ("container_resource", "name"),
    }
    if spec.type not in kinds:
        return "<unknown type>"
    attribute, named = kinds[spec.type]
    source = getattr(spec, attribute)
    if source is None:
        return "<unknown type>"
    reported = getattr(status, attribute) if status is not None else None
    current = getattr(reported, "current", None)
    target = source.target
    prefix = f"{source.name}: " if named else ""
    if target.average_value is not None:
        average = "" if named or spec.type == "Pods" else " (avg)"
        return f"{prefix}{_value(current, 'average_value')}/{target.average_value}{average}"
    if named:
        used = getattr(current, "average_utilization", None)
        wanted = target.average_utilization
        shown = _UNKNOWN if used is None else f"{used}%"
        return f"{prefix}{shown}/{'<auto>' if wanted is None else f'{wanted}%'}"
    return f"{_value(current, 'value')}/{target.value}"


def _value(current: object, attribute: str) -> str:
    found = getattr(current, attribute, None)
    return _UNKNOWN if found is None else str(found)


PRINTERS: Final = {
    ("", "podtemplates"): ("Name|Containers|Images|Pod Labels", pod_template),
    ("", "replicationcontrollers"): (
        "Name|Desired:integer|Current:integer|Ready:integer|Age|Containers*1|Images*1|Selector*1",
        replication_controller,
    ),
    ("apps", "replicasets"): (
        "Name|Desired:integer|Current:integer|Ready:integer|Age|Containers*1|Images*1|Selector*1",
        replica_set,
    ),
    ("apps", "deployments"): ("Name|Ready|Up-to-date|Available|Age|Containers*1|Images*1|Selector*1", deployment),
    ("apps", "statefulsets"): ("Name|Ready|Age|Containers*1|Images*1", stateful_set),
    ("apps", "daemonsets"): (
        "Name|Desired:integer|Current:integer|Ready:integer|Up-to-date:integer|Available:integer|Node Selector|Age"
        "|Containers*1|Images*1|Selector*1",
        daemon_set,
    ),
    ("apps", "controllerrevisions"): ("Name|Controller|Revision|Age", controller_revision),
    ("batch", "jobs"): ("Name|Status|Completions|Duration|Age|Containers*1|Images*1|Selector*1", job),
    ("batch", "cronjobs"): (
        "Name|Schedule|Timezone|Suspend:boolean|Active:integer|Last Schedule|Age|Containers*1|Images*1|Selector*1",
        cron_job,
    ),
    ("autoscaling/v1", "scales"): ("Name|Desired:integer|Available:integer|Age", scale),
    ("autoscaling/v1", "horizontalpodautoscalers"): (
        "Name|Reference|Targets|MinPods|MaxPods|Replicas|Age",
        autoscaler_v1,
    ),
    ("autoscaling/v2", "horizontalpodautoscalers"): (
        "Name|Reference|Targets|MinPods|MaxPods|Replicas|Age",
        autoscaler_v2,
    ),
}

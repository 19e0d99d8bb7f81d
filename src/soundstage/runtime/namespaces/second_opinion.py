"""What Netflix's published capacity models would rent for a workload, by the package service-capacity-modeling.

It takes a second to load and half of one to answer, both in a thread.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from soundstage.core.errors import InvalidArgument, Unavailable
from soundstage.core.provisioning import Workload
from soundstage.runtime.namespaces.api import Cluster, SecondOpinion

_GIB = 2**30

CALLS_MAX, THROUGHPUT_MAX, STATE_MAX = 1e6, 1e10, 1e15
"""Calls per second, their bytes per second, and bytes kept, up to which the models answer within seconds.

They try numbers of machines one after the other, and hold the interpreter meanwhile.
"""


def second_opinion(
    model: str | None, workload: Workload, region: str, arguments: Mapping[str, Any] | None = None
) -> SecondOpinion:
    """The cheapest plan of `model`, which is given those `arguments` of its own.

    Raises `Unavailable` without the package, `InvalidArgument` for what it knows not.

    The models are for a workload of at least one read and one write a second, and so are the numbers given to them.
    """
    if model is None:
        raise InvalidArgument("no published model is about such a system", field="second_opinion", hint="leave it out")
    _check(workload)
    planner = _planner()
    known = sorted(planner.hardware_shapes.hardware.regions)
    if region not in known:
        raise InvalidArgument(
            f"no prices are known of the region {region!r}", field="region", hint=f"known are {', '.join(known)}"
        )
    plans = planner.plan_certain(
        model_name=model,
        region=region,
        desires=_desires(workload),
        num_results=1,
        extra_model_arguments=dict(arguments or {}),
    )
    if not plans:
        raise InvalidArgument(
            f"{model} finds no machines for this workload", field="workload", hint="divide it among several namespaces"
        )
    return _opinion(model, region, plans[0].candidate_clusters)


def _check(workload: Workload) -> None:
    reads, writes = workload.reads_per_second, workload.writes_per_second
    throughput = max(reads * workload.items_per_read, writes * workload.items_per_write) * workload.item_bytes
    for what, found, most in (
        ("calls per second", max(reads, writes), CALLS_MAX),
        ("bytes read or written per second", throughput, THROUGHPUT_MAX),
        ("bytes kept", workload.items * workload.item_bytes, STATE_MAX),
    ):
        if found > most:
            raise InvalidArgument(
                f"a second opinion is for {what} up to {most:,.0f}, and these are {found:,.0f}",
                field="workload",
                hint="divide the workload among several namespaces, or leave `second_opinion` out",
            )


def _planner() -> Any:
    try:
        with warnings.catch_warnings():
            # How it finds its own price lists is deprecated in Python.
            warnings.simplefilter("ignore", DeprecationWarning)
            from service_capacity_modeling.capacity_planner import planner

            _ = planner.hardware_shapes.hardware
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"a second opinion needs the package {error.name!r}",
            hint='pip install "soundstage[capacity]", with a Python below 3.13, or ask without `second_opinion`',
            retryable=False,
            outcome="not_applied",
        ) from None
    return planner


def _desires(workload: Workload) -> Any:
    from service_capacity_modeling import interface as models

    reads, writes = max(1.0, workload.reads_per_second), max(1.0, workload.writes_per_second)
    level = models.AccessConsistency.eventual if workload.stale_reads else models.AccessConsistency.read_your_writes
    amounts = {
        "estimated_read_per_second": reads,
        "estimated_write_per_second": writes,
        "estimated_mean_read_size_bytes": float(workload.items_per_read * workload.item_bytes),
        "estimated_mean_write_size_bytes": float(workload.items_per_write * workload.item_bytes),
    }
    state_gib = models.certain_float(workload.items * workload.item_bytes / _GIB)
    return models.CapacityDesires.model_validate(
        {
            "service_tier": 1,
            "query_pattern": {
                **{name: models.certain_float(amount) for name, amount in amounts.items()},
                "access_consistency": {"same_region": {"target_consistency": level}},
            },
            "data_shape": {"estimated_state_size_gib": state_gib},
        }
    )


def _opinion(model: str, region: str, candidate: Any) -> SecondOpinion:
    clusters = [*_clusters(candidate.zonal), *_clusters(candidate.regional)]
    return SecondOpinion(
        model=model, region=region, clusters=clusters, annual_cost=round(float(candidate.total_annual_cost), 2)
    )


def _clusters(found: Iterable[Any]) -> list[Cluster]:
    """Those alike in several zones as one."""
    alike: dict[tuple[str, str, int], list[float]] = {}
    for each in found:
        key = (str(each.cluster_type), str(each.instance.name), int(each.count))
        alike.setdefault(key, []).append(float(each.annual_cost))
    return [
        Cluster(kind=kind, instance=instance, count=count, zones=len(costs), annual_cost=round(sum(costs), 2))
        for (kind, instance, count), costs in alike.items()
    ]

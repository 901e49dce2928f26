"""Ansible filters: what the cards of this checkout come to on a host, read by the package itself.

So a wrong card is refused with file, line and key under plain ansible-playbook as well.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from ansible.errors import AnsibleFilterError

_PROJECT = Path(__file__).resolve().parents[2]
if str(_PROJECT) not in sys.path:
    sys.path.insert(0, str(_PROJECT))

from wrklab.catalogue import deployment as deployments  # noqa: E402
from wrklab.catalogue import routing_filter  # noqa: E402
from wrklab.catalogue.application_stack import read_stack_text  # noqa: E402
from wrklab.catalogue.unit import HostGrant  # noqa: E402
from wrklab.errors import WrklabError  # noqa: E402  the package is found only from here on
from wrklab.hosts.backend_urls import lab_password  # noqa: E402

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def _told_by_ansible(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """The function, with errors of ours as a filter's error: their text without a traceback."""

    @functools.wraps(function)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return function(*args, **kwargs)
        except WrklabError as error:
            raise AnsibleFilterError(str(error)) from None  # Ansible would print the cause's text after ours

    return call


@_told_by_ansible
def wrklab_port_ranges(project: str) -> str:
    """The TCP ports that the stacks of a checkout listen on, as the kernel writes them."""
    return deployments.port_ranges(Path(project))


@_told_by_ansible
def wrklab_node_files(project: str) -> list[dict[str, str]]:
    """The scripts that run on hosts and the protocol they speak, as path and content."""
    return deployments.node_files(Path(project))


@_told_by_ansible
def wrklab_provisioned_files(project: str) -> list[dict[str, str]]:
    """What says on a host that it was provisioned, as path and content."""
    return deployments.provisioned_files(Path(project))


@_told_by_ansible
def wrklab_deployment(  # noqa: PLR0913  named arguments of a filter stand where a value object cannot be written
    project: str,
    *,
    variants: str | Sequence[str],
    cpus: Sequence[int],
    cpus_allowed: Sequence[int],
    descriptors_count: int,
    user: str,
    clients: Sequence[str] | None,
    backends: Sequence[str],
    looked_up: Sequence[Mapping[str, Any]] = (),
    application: str = "",
    archives_dir: str = "",
) -> dict[str, Any]:
    """What the server host holds after a deploy; see wrklab.catalogue.deployment. No clients: no filter.

    `looked_up` are the results of ansible.builtin.getent for the names among clients and backends.
    """
    words = [variants] if isinstance(variants, str) else [str(word) for word in variants]
    grant = HostGrant(
        cpus_count=len(cpus) or len(cpus_allowed),
        cpus=tuple(int(cpu) for cpu in cpus),
        descriptors_count=int(descriptors_count),
        user=user,
    )
    known = {found["item"]: tuple(found.get("ansible_facts", {}).get("getent_ahosts", ())) for found in looked_up}
    rules = None if clients is None else deployments.FilterRules(tuple(clients), tuple(backends), known)
    own = read_stack_text(Path(application)) if application else None
    return deployments.deployment(Path(project), words, grant, rules=rules, application=own, archives_dir=archives_dir)


def wrklab_host_names(hosts: Sequence[str]) -> list[str]:
    """Those that are names, not addresses."""
    return routing_filter.names_in(hosts)


def wrklab_load_addresses(names: Sequence[str], values: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Where hosts are reached, and where their load goes; `values` are Ansible's hostvars."""
    return routing_filter.load_addresses(names, values)


@_told_by_ansible
def wrklab_backend_password(lab: str) -> str:
    """The password of a lab's backends; made at first need, in a file for this user alone."""
    return lab_password(lab)


def wrklab_masks(units: Sequence[str]) -> list[dict[str, str]]:
    """The links that mask units below /etc/systemd/system, as file_set takes them."""
    return [{"path": unit, "link": "/dev/null"} for unit in units]


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by the names that playbooks use."""
        return {
            "wrklab_backend_password": wrklab_backend_password,
            "wrklab_deployment": wrklab_deployment,
            "wrklab_host_names": wrklab_host_names,
            "wrklab_load_addresses": wrklab_load_addresses,
            "wrklab_masks": wrklab_masks,
            "wrklab_node_files": wrklab_node_files,
            "wrklab_port_ranges": wrklab_port_ranges,
            "wrklab_provisioned_files": wrklab_provisioned_files,
        }

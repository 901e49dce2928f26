"""Before a bench: the lab is up, its hosts are provisioned, what the catalogue says is deployed."""

from __future__ import annotations

import json
from hashlib import sha256

from rich.console import Console

from wrklab.catalogue.deployment import NODE_ROOT, node_files
from wrklab.catalogue.fingerprint import fingerprint
from wrklab.hosts import container_lab, vagrant
from wrklab.hosts.ansible import PlaybookResult, run_playbook
from wrklab.hosts.inventory import read_hosts
from wrklab.hosts.remote import RemoteHost
from wrklab.hosts.session import Session
from wrklab.paths import PROJECT_DIR
from wrklab.progress import doing

DEPLOYED_FILE = "/opt/wrklab/deployed.json"
#: How fast the hosts are is not known yet.
_READ_LIMIT_S = 60.0
#: sshd of an emulated machine, busy with something else.
_GREETING_LIMIT_S = 20.0


def ensure_lab(lab: str, kind: str, console: Console, *, server_takes_all_cpus: bool = False) -> None:
    """A lab that is made on this machine, up; other labs are not ours to start. Raises LabError.

    `server_takes_all_cpus` concerns the container lab: other servers have the CPUs that they have.
    """
    if kind == vagrant.LAB and not all(
        container_lab.greets(host.address, host.port, _GREETING_LIMIT_S) for host in read_hosts(lab).all
    ):
        with doing(console, f"lab {lab}: up") as step:
            vagrant.up(step.at)
    if kind != container_lab.LAB:
        return
    with doing(console, f"lab {lab}: up") as step:
        if not container_lab.up(on_task=step.at, server_takes_all_cpus=server_takes_all_cpus).changed:
            step.outcome = "as it was"


def ensure_deployed(session: Session, console: Console) -> None:
    """Provision and deploy unless the hosts hold just what this checkout would put there; end what a dead bench left.

    Raises ProvisionError.
    """
    if deployed_fingerprint(session.server) == fingerprint() and _scripts_are_everywhere(session):
        console.print("deploy: as this checkout has it already")
    else:
        for name in ("provision", "deploy"):
            play(name, session.hosts.lab, console)
    session.clean_up()


def _scripts_are_everywhere(session: Session) -> bool:
    """Whether every host has our scripts as they are here: a generator may have been made again since the deploy."""
    files = node_files(PROJECT_DIR)
    wanted = [sha256(file["content"].encode()).hexdigest() for file in files]

    def has_all(host: RemoteHost) -> bool:
        paths = [f"{NODE_ROOT}/{file['path']}" for file in files]
        found = host.run(["sha256sum", *paths], limit_s=_READ_LIMIT_S, check=False)
        return found.exit_code == 0 and [line.split()[0] for line in found.stdout.splitlines()] == wanted

    return all(session.on_all(has_all).values())


def play(name: str, lab: str, console: Console, extra_vars: dict[str, object] | None = None) -> PlaybookResult:
    """Run one playbook and say what it changed. Raises ProvisionError."""
    with doing(console, name) as step:
        result = run_playbook(name, lab, extra_vars=extra_vars, on_task=step.at)
        step.outcome = f"changed={result.changed_count}"
    return result


def deployed_fingerprint(server: RemoteHost) -> str | None:
    """What the server says was deployed there; None where nothing was, or only a part."""
    result = server.run(["cat", DEPLOYED_FILE], limit_s=_READ_LIMIT_S, check=False)
    if result.exit_code != 0:
        return None
    try:
        found = json.loads(result.stdout).get("fingerprint")
    except ValueError:
        return None
    return str(found) if found else None

#!/usr/bin/python
"""Ansible module: servers built from Go sources, each only once for its sources and toolchain."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ansible.module_utils import module_lock
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: go_builds
short_description: Builds Go stacks, and links each server to where its unit looks for it
description:
  - A build is put into a folder that its digest names, complete or not at all. One that is there is not made again.
  - Everybody may read and run what was built, whatever the umask is.
options:
  builds:
    description: The stacks to build.
    type: list
    elements: dict
    required: true
    suboptions:
      stack_dir: {description: Folder of the stack; its sources are in app/ below it., type: path, required: true}
      toolchain: {description: Virtual environment that holds go., type: path, required: true}
      digest: {description: What changes when the sources or the toolchain do., type: str, required: true}
  proxy: {description: URL of the proxy that modules come through; empty for none., type: str, default: ''}
"""

EXAMPLES = r"""
- name: Build the servers
  go_builds:
    builds: [{stack_dir: /opt/wrklab/stacks/go, toolchain: /opt/wrklab/stacks/go/toolchain, digest: 0a1b}]
"""

RETURN = r"""
built_paths: {description: Servers that were built., type: list, elements: str, returned: always}
"""

#: No build takes longer; a module proxy that hangs does.
_LIMIT_S = 900.0
_TAIL_LINES = 30
_MODE = 0o755


class BuildError(Exception):
    """A server could not be built; the text says which and what go said."""


@dataclass(frozen=True)
class Build:
    """One server."""

    stack_dir: Path
    toolchain: Path
    digest: str

    @property
    def folder(self) -> Path:
        """Where the build is."""
        return self.stack_dir / "builds" / self.digest

    @property
    def link(self) -> Path:
        """Where the unit looks for the server."""
        return self.stack_dir / "app/server"

    def is_built(self) -> bool:
        """Whether it is there, for everybody."""
        places = (self.folder.parent, self.folder, self.folder / "server")
        return all(place.exists() and place.stat().st_mode & _MODE == _MODE for place in places)

    def is_linked(self) -> bool:
        """Whether the unit finds just this build."""
        return self.link.is_symlink() and self.link.readlink() == self.folder / "server"

    def make(self) -> None:
        """Build it. Raises BuildError."""
        if not (self.folder / "server").exists():
            unfinished = self.folder.with_name(f"making-{self.digest}")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            run([str(self.toolchain / "bin/go"), "build", "-trimpath", "-o", str(unfinished / "server"), "."], self)
            shutil.rmtree(self.folder, ignore_errors=True)
            unfinished.rename(self.folder)
        for place in (self.folder.parent, self.folder, self.folder / "server"):
            place.chmod(_MODE)

    def put_link(self) -> None:
        """Lead the unit to it, in one step."""
        new = self.link.with_name(f".server.{os.getpid()}.new")
        new.unlink(missing_ok=True)
        new.symlink_to(self.folder / "server")
        new.replace(self.link)


def run(command: list[str], build: Build) -> None:
    """Run go in the folder of the sources. Raises BuildError with the end of what it wrote."""
    try:
        done = subprocess.run(
            command,
            cwd=build.stack_dir / "app",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{build.stack_dir}: {error}") from error
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-_TAIL_LINES:])
        raise BuildError(f"{build.stack_dir}: exit status {done.returncode} of: {' '.join(command)}\n{tail}")


def main() -> None:
    """Build what is missing, link what is linked to something else, say what was built."""
    options = {
        "stack_dir": {"type": "path", "required": True},
        "toolchain": {"type": "path", "required": True},
        "digest": {"type": "str", "required": True},
    }
    builds = {"type": "list", "elements": "dict", "required": True, "options": options}
    proxy = {"type": "str", "default": "", "no_log": True}
    module = AnsibleModule(argument_spec={"builds": builds, "proxy": proxy}, supports_check_mode=True)
    os.umask(0o022)
    if module.params["proxy"]:
        os.environ.update(http_proxy=module.params["proxy"], https_proxy=module.params["proxy"])
    wanted = [
        Build(Path(entry["stack_dir"]), Path(entry["toolchain"]), entry["digest"]) for entry in module.params["builds"]
    ]
    try:
        missing = [build for build in wanted if not build.is_built()]
        unlinked = [build for build in wanted if not build.is_linked()]
        if not module.check_mode and (missing or unlinked):
            with module_lock.held("go_builds", "go_builds"):
                for build in missing:
                    build.make()
                for build in unlinked:
                    build.put_link()
    except (BuildError, OSError, module_lock.LockedError) as error:
        module.fail_json(msg=f"go_builds: {error}")
    module.exit_json(changed=bool(missing or unlinked), built_paths=[str(build.folder / "server") for build in missing])


if __name__ == "__main__":
    main()

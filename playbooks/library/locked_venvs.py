#!/usr/bin/python
"""Ansible module: virtual environments that hold just what their hash-locked requirements say."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: locked_venvs
short_description: Makes virtual environments from hash-locked requirements, each only once
description:
  - A stamp in each environment keeps the digest of its lock, the interpreter and the installer. Where that is the same,
    nothing is run, so that a call without changes costs one read an environment.
  - An environment with another stamp is made afresh, so that nothing of an older lock stays in it.
options:
  venvs:
    description: The environments.
    type: list
    elements: dict
    required: true
    suboptions:
      path: {description: Its folder., type: path, required: true}
      requirements: {description: 'The text of the lock, a hash for each package.', type: str, required: true}
  uv: {description: The uv program. Empty takes the interpreter's own venv and pip., type: str, default: ''}
  python: {description: The interpreter., type: path, default: /usr/bin/python3}
  proxy: {description: URL of the proxy that packages come through; empty for none., type: str, default: ''}
"""

EXAMPLES = r"""
- name: Make the stacks' environments
  locked_venvs:
    uv: /opt/wrklab/uv/bin/uv
    venvs: [{path: /opt/wrklab/stacks/flask/venv, requirements: "flask==3.1.2 --hash=sha256:..."}]
"""

RETURN = r"""
made_paths: {description: Environments that were made., type: list, elements: str, returned: always}
"""

_STAMP = ".wrklab_lock"
_LOCK = "requirements.lock"
_TAIL_LINES = 30
#: No lock takes longer; a mirror that hangs does.
_STEP_LIMIT_S = 900


class StepFailedError(Exception):
    """A program that makes an environment failed; the text says which and how."""


@dataclass(frozen=True)
class Venv:
    """One environment, and what it is to hold."""

    path: Path
    requirements: str
    uv: str
    python: str

    @property
    def digest(self) -> str:
        """What the stamp must say."""
        interpreter = Path(self.python).resolve()
        installer = Path(self.uv).resolve().parents[1] / _STAMP if self.uv else None
        parts = [self.requirements, str(interpreter), installer.read_text() if installer and installer.exists() else ""]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def is_made(self) -> bool:
        """Whether it stands there with just this lock."""
        stamp = self.path / _STAMP
        return stamp.exists() and stamp.read_text().strip() == self.digest and (self.path / "bin/python").exists()

    def make(self) -> None:
        """Make it afresh. Raises StepFailedError."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = self.path / _LOCK
        if self.uv:
            run([self.uv, "venv", "--quiet", "--no-project", "--python", self.python, str(self.path)])
            lock.write_text(self.requirements, encoding="utf-8")
            interpreter = str(self.path / "bin/python")
            run(
                [
                    self.uv,
                    "pip",
                    "sync",
                    "--quiet",
                    "--require-hashes",
                    "--compile-bytecode",
                    "--python",
                    interpreter,
                    str(lock),
                ]
            )
        else:
            run([self.python, "-m", "venv", str(self.path)])
            lock.write_text(self.requirements, encoding="utf-8")
            run([str(self.path / "bin/pip"), "install", "--quiet", "--no-deps", "--require-hashes", "-r", str(lock)])
        (self.path / _STAMP).write_text(self.digest + "\n", encoding="utf-8")


def run(command: list[str]) -> None:
    """Run one step. Raises StepFailedError with the end of what it wrote."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_STEP_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StepFailedError(f"{' '.join(command)}: {error}") from error
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-_TAIL_LINES:])
        raise StepFailedError(f"exit status {done.returncode} of: {' '.join(command)}\n{tail}")


def main() -> None:
    """Read the options, make what is missing, say what was made."""
    venv = {"path": {"type": "path", "required": True}, "requirements": {"type": "str", "required": True}}
    module = AnsibleModule(
        argument_spec={
            "venvs": {"type": "list", "elements": "dict", "required": True, "options": venv},
            "uv": {"type": "str", "default": ""},
            "python": {"type": "path", "default": "/usr/bin/python3"},
            "proxy": {"type": "str", "default": "", "no_log": True},
        },
        supports_check_mode=True,
    )
    os.umask(0o022)
    if module.params["proxy"]:
        os.environ.update(http_proxy=module.params["proxy"], https_proxy=module.params["proxy"])
    wanted = [
        Venv(Path(entry["path"]), entry["requirements"], module.params["uv"], module.params["python"])
        for entry in module.params["venvs"]
    ]
    # Without the locks, which would be printed at -v.
    invocation = {"module_args": {"venvs": [str(venv.path) for venv in wanted], "uv": module.params["uv"]}}
    missing = [venv for venv in wanted if not venv.is_made()]
    try:
        for venv_missing in [] if module.check_mode else missing:
            venv_missing.make()
    except (StepFailedError, OSError) as error:
        module.fail_json(msg=f"locked_venvs: {error}", invocation=invocation)
    module.exit_json(changed=bool(missing), made_paths=[str(venv.path) for venv in missing], invocation=invocation)


if __name__ == "__main__":
    main()

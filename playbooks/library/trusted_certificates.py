#!/usr/bin/python
"""Ansible module: the host trusts just those certificates of a file that are in it now."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from ansible.module_utils import module_lock
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: trusted_certificates
short_description: Runs update-ca-certificates unless its result stands already
description:
  - Depends on nothing but the bundle that programs read. So it makes up for a run that was interrupted after it copied
    the certificates, which a handler does not.
options:
  path:
    description: File below /usr/local/share/ca-certificates. Where it is gone, its certificates are no longer trusted.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Trust the certificates
  trusted_certificates:
    path: /usr/local/share/ca-certificates/wrklab.crt
"""

RETURN = r"""
missing_count: {description: Certificates of the file that were not trusted yet., type: int, returned: always}
"""

BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
LINKS = Path("/etc/ssl/certs")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----(?P<body>.*?)-----END CERTIFICATE-----", re.DOTALL)
_LIMIT_S = 300.0


class TrustError(Exception):
    """The certificates are not trusted; the text says why."""


def certificates(text: str) -> set[str]:
    """The bodies of the certificates in a text, without blanks."""
    return {"".join(found["body"].split()) for found in _CERTIFICATE.finditer(text)}


def missing(path: Path) -> set[str]:
    """Certificates of the file that the bundle lacks."""
    wanted = certificates(path.read_text(encoding="ascii", errors="replace")) if path.is_file() else set()
    trusted = certificates(BUNDLE.read_text(encoding="ascii", errors="replace")) if BUNDLE.is_file() else set()
    return wanted - trusted


def is_left_over(path: Path) -> bool:
    """Whether the file is gone and what update-ca-certificates made of it is not."""
    return not path.exists() and (LINKS / f"{path.stem}.pem").is_symlink()


def update(path: Path) -> None:
    """Make the bundle again. Raises TrustError."""
    try:
        done = subprocess.run(["update-ca-certificates"], capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TrustError(f"update-ca-certificates: {error}; is the package ca-certificates installed?") from error
    if done.returncode != 0:
        raise TrustError(f"update-ca-certificates: exit status {done.returncode}, said: {done.stderr.strip()[-1000:]}")
    if missing(path):
        raise TrustError(
            f"update-ca-certificates ended well, and {BUNDLE} lacks {len(missing(path))} certificates of {path}"
        )


def main() -> None:
    """Look, and update where it is needed."""
    module = AnsibleModule(argument_spec={"path": {"type": "path", "required": True}}, supports_check_mode=True)
    path = Path(module.params["path"])
    os.environ["PATH"] = f"/usr/sbin:/sbin:{os.environ.get('PATH', '/usr/bin:/bin')}"
    os.umask(0o022)
    try:
        found = missing(path)
        changed = bool(found) or is_left_over(path)
        if changed and not module.check_mode:
            with module_lock.held("modules", "trusted_certificates"):
                update(path)
    except (TrustError, OSError, module_lock.LockedError) as error:
        module.fail_json(msg=f"trusted_certificates: {error}")
    module.exit_json(changed=changed, missing_count=len(found))


if __name__ == "__main__":
    main()

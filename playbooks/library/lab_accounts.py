#!/usr/bin/python
"""Ansible module: the accounts that programs of the lab run as. Those of others are refused, never changed."""

from __future__ import annotations

import grp
import os
import pwd
import re
import subprocess
from collections.abc import Callable

from ansible.module_utils import module_lock
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: lab_accounts
short_description: Makes the accounts that programs of the lab run as, and removes only those that it made
description:
  - An account that this module makes says so in its full name, in the same step in which it comes to be. One of that
    name without these words is somebody else's, and the module fails before it changes anything.
  - An account with these words that is no longer listed is removed. With no names, all of them are.
options:
  names: {description: Names of the accounts that are wanted., type: list, elements: str, required: true}
"""

EXAMPLES = r"""
- name: Create the accounts
  lab_accounts:
    names: [wrklab_app]
"""

RETURN = r"""
made: {description: Accounts that were made., type: list, elements: str, returned: always}
removed: {description: Accounts that were removed., type: list, elements: str, returned: always}
"""

#: The full name in /etc/passwd: what the host records about who made an account.
MADE_BY = "made by wrklab"
_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
_LIMIT_S = 60.0


class AccountError(Exception):
    """An account cannot be made or removed; the text says which and why."""


def ours() -> set[str]:
    """The accounts of this host that were made by this module."""
    return {entry.pw_name for entry in pwd.getpwall() if entry.pw_gecos == MADE_BY and entry.pw_uid != 0}


def check(names: list[str]) -> None:
    """Raise AccountError for a name that somebody else has on this host, as an account or as a group."""
    made = ours()
    for name in names:
        if not _NAME.fullmatch(name):
            raise AccountError(f"{name!r} is no name of an account: lower-case letters, digits, _ and - are expected")
        if name not in made and _is_there(pwd.getpwnam, name):
            raise AccountError(
                f"the host has an account {name!r} that wrklab did not make; it was left alone. Set lab_app_user to a "
                f"name that is free, or remove the account if nobody needs it (userdel {name})"
            )
        if name not in made and _is_there(grp.getgrnam, name):
            raise AccountError(
                f"the host has a group {name!r} that wrklab did not make; it was left alone. Set lab_app_user to a "
                f"name that is free, or remove the group if nobody needs it (groupdel {name})"
            )


def difference(wanted: list[str]) -> tuple[list[str], list[str]]:
    """The accounts to make and those to remove. Raises AccountError as `check`."""
    check(wanted)
    return [name for name in wanted if name not in ours()], sorted(ours() - set(wanted))


def _is_there(find: Callable[[str], object], name: str) -> bool:
    try:
        find(name)
    except KeyError:
        return False
    return True


def make(name: str) -> None:
    """Make one that cannot log in, owns nothing and has a group of its own. Raises AccountError."""
    options = ["--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"]
    run(["useradd", "--system", "--user-group", *options, "--comment", MADE_BY, "--", name])


def run(command: list[str]) -> None:
    """Run a program that changes accounts. Raises AccountError with what it said."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AccountError(f"{' '.join(command)}: {error}") from error
    if done.returncode != 0:
        raise AccountError(f"{' '.join(command)}: exit status {done.returncode}, said: {done.stderr.strip()[-500:]}")


def main() -> None:
    """Check, then make what is missing and remove what is no longer wanted."""
    names = {"type": "list", "elements": "str", "required": True}
    module = AnsibleModule(argument_spec={"names": names}, supports_check_mode=True)
    wanted = list(dict.fromkeys(module.params["names"]))
    os.environ["PATH"] = f"/usr/sbin:/sbin:{os.environ.get('PATH', '/usr/bin:/bin')}"
    try:
        made, removed = difference(wanted)
        # A look leaves no trace on a host, and nothing to do needs no lock.
        if (made or removed) and not module.check_mode:
            with module_lock.held("modules", "lab_accounts"):
                made, removed = difference(wanted)
                for name in made:
                    make(name)
                for name in removed:
                    run(["userdel", "--", name])
    except (AccountError, OSError, module_lock.LockedError) as error:
        module.fail_json(msg=f"lab_accounts: {error}")
    module.exit_json(changed=bool(made or removed), made=made, removed=removed)


if __name__ == "__main__":
    main()

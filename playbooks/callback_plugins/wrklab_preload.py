"""Loads what the filters need before Ansible forks a process for each task and host: there it would take 0.3 s each."""

from __future__ import annotations

import sys
from pathlib import Path

from ansible.plugins.callback import CallbackBase

_PROJECT = Path(__file__).resolve().parents[2]
if str(_PROJECT) not in sys.path:
    sys.path.insert(0, str(_PROJECT))

import wrklab.catalogue.deployment  # noqa: E402  the package is found only from here on
import wrklab.hosts.backend_urls  # noqa: E402, F401

DOCUMENTATION = """
name: wrklab_preload
type: aggregate
short_description: Loads wrklab's package once
description: It says nothing.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]  # Ansible ships no types
    """Hears nothing."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "wrklab_preload"

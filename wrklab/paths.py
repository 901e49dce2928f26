"""Where the parts of a checkout lie."""

from __future__ import annotations

from pathlib import Path

#: The checkout that this package lies in.
PROJECT_DIR = Path(__file__).resolve().parents[1]
INVENTORY_DIR = PROJECT_DIR / "inventory"
#: The scripts that run on hosts.
SCRIPTS_DIR = PROJECT_DIR / "wrklab" / "node"
PLAYBOOKS_DIR = PROJECT_DIR / "playbooks"
RESULTS_DIR = PROJECT_DIR / "results"
#: Transient files of the controller (logs of playbooks); git-ignored.
CACHE_DIR = PROJECT_DIR / ".cache"

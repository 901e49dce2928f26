"""An inventory's files as they are written, before Ansible reads them: it drops what it cannot parse with a warning.

Told with file, line and key: what is no YAML, groups that are missing, keys that nothing reads.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from wrklab.catalogue.cards import read_yaml
from wrklab.errors import CardError, InventoryError, UnknownNameError

#: Keys of ours that something reads: roles' defaults, the container lab's and Vagrant's own files, hosts/inventory.py.
LAB_KEYS = frozenset(
    {
        "lab_app_user",
        "lab_apt_sources",
        "lab_backends",
        "lab_ca_bundle",
        "lab_cpus",
        "lab_egress",
        "lab_filter",
        "lab_http_proxy",
        "lab_jump_host",
        "lab_jump_key",
        "lab_kind",
        "lab_known_hosts",
        "lab_load_address",
        "lab_name",
        "lab_pip_index_url",
    }
)
_ANSIBLE_NAMES = """
    become become_exe become_flags become_method become_pass become_password become_user
    connection control_path control_path_dir host host_key_checking module_compression password pipelining port
    private_key private_key_file private_key_passphrase python_interpreter remote_tmp
    scp_executable scp_extra_args sftp_batch_mode sftp_executable sftp_extra_args shell_executable shell_type
    ssh_args ssh_common_args ssh_executable ssh_extra_args ssh_host ssh_host_key_checking ssh_pass ssh_password
    ssh_password_mechanism ssh_pipelining ssh_pkcs11_provider ssh_port ssh_private_key ssh_private_key_file
    ssh_private_key_passphrase ssh_retries ssh_timeout ssh_transfer_method ssh_use_tty ssh_user ssh_verbosity
    sshpass_prompt sudo_chdir sudo_exe sudo_flags sudo_pass sudo_user timeout user
    """
#: Of Ansible's many, those read for hosts over ssh (of its plugins ssh, sudo and sh, and of itself); only what is
#: nearly one of them is refused.
ANSIBLE_KEYS = frozenset(f"ansible_{name}" for name in _ANSIBLE_NAMES.split())
_NEARLY = 0.85
_GROUPS = ("server", "loadgen", "backend")
#: Tags that only Ansible can read.
_FOREIGN_TAGS = ("!vault", "!unsafe")
_YAML_SUFFIXES = (".yml", ".yaml", ".json")
_INI_GROUP = re.compile(r"^\[([^\]:]+)", re.MULTILINE)
_INI_KEY = re.compile(r"(?<![\w.])((?:lab|ansible)_\w+)\s*=")


def check_files(lab: str, folder: Path) -> None:
    """Raises InventoryError telling all that is wrong in the files of a lab's inventory."""
    texts = _texts(folder)
    everything = "\n".join(texts.values())
    wrong: list[str] = []
    for path, text in texts.items():
        if not text.strip("-\n ") or any(tag in text for tag in _FOREIGN_TAGS):
            continue
        try:
            keys, groups = _read(path, text)
        except CardError as error:
            wrong.append(str(error).replace(str(folder), f"inventory/{lab}"))
            continue
        where = f"inventory/{lab}/{path.relative_to(folder)}"
        wrong += [f"{where}:{line}: {name}: {said}" for name, line in keys if (said := _why_unread(name, everything))]
        if path.stem == "hosts":
            wrong += [f"{where}:{said}" for said in _misnamed_groups(groups)]
    if wrong:
        raise InventoryError("\n".join(wrong))


def check_variables(lab: str, folder: Path, host: str, names: Iterable[str]) -> None:
    """The same for the variables that Ansible resolved for a host: they may come from a script or a plugin."""
    everything = "\n".join(_texts(folder).values())
    wrong = [f"inventory/{lab}: {host}: {name}: {said}" for name in names if (said := _why_unread(name, everything))]
    if wrong:
        raise InventoryError("\n".join(wrong))


def place_of(lab: str, folder: Path, key: str) -> str:
    """The file and line where a key is given a value; only the folder where that is nowhere, or at several places."""
    given = re.compile(rf"(?<![\w.]){re.escape(key)}[\"']?\s*[:=]")
    found = [
        f"inventory/{lab}/{path.relative_to(folder)}:{number}"
        for path, text in _texts(folder).items()
        for number, line in enumerate(text.splitlines(), 1)
        if given.search(line.partition("#")[0])
    ]
    return found[0] if len(found) == 1 else f"inventory/{lab}"


def _texts(folder: Path) -> dict[Path, str]:
    """What Ansible reads of an inventory's folder as text, scripts included."""
    paths = [path for pattern in ("*", "group_vars/**/*", "host_vars/**/*") for path in folder.glob(pattern)]
    return {
        path: path.read_text(encoding="utf-8", errors="replace")
        for path in sorted(set(paths))
        if path.is_file() and not path.name.startswith(".") and path.suffix in (*_YAML_SUFFIXES, "", ".ini", ".py")
    }


_Lines = list[tuple[str, int]]


def _read(path: Path, text: str) -> tuple[_Lines, _Lines]:
    """Names of keys and of groups, with their lines. Raises CardError."""
    if path.suffix == ".py" or text.startswith("#!"):
        return [], []
    if path.suffix == ".ini" or (not path.suffix and _INI_GROUP.search(text)):
        return _read_ini(text)
    _, node = read_yaml(path)
    keys = [(str(key.value), key.start_mark.line + 1) for key in _keys(node)]
    top = node.value if isinstance(node, yaml.MappingNode) else []
    return keys, [(str(key.value), key.start_mark.line + 1) for key, _ in top]


def _read_ini(text: str) -> tuple[_Lines, _Lines]:
    lines = [(line, number) for number, line in enumerate(text.splitlines(), 1) if not line.startswith(("#", ";"))]
    keys = [(str(name), number) for line, number in lines for name in _INI_KEY.findall(line)]
    return keys, [(found[1], number) for line, number in lines if (found := _INI_GROUP.match(line))]


def _why_unread(name: str, everything: str) -> str:
    """Why nothing reads a key; empty where something does, or where it is none of ours."""
    # A key of the user's own is read where another value fills it in.
    if name.startswith("lab_") and name not in LAB_KEYS and not _is_filled_in(name, everything):
        return str(UnknownNameError("key", name, LAB_KEYS))
    if name.startswith("ansible_") and name not in ANSIBLE_KEYS:
        near = difflib.get_close_matches(name, sorted(ANSIBLE_KEYS), n=1, cutoff=_NEARLY)
        return f"no such key. Did you mean {near[0]}?" if near else ""
    return ""


def _is_filled_in(name: str, everything: str) -> bool:
    return any(name in part.partition("}}")[0] for part in everything.split("{{")[1:])


def _misnamed_groups(groups: _Lines) -> Iterator[str]:
    found = dict(groups)
    for wanted in _GROUPS:
        near = difflib.get_close_matches(wanted, [name for name in found if name not in _GROUPS], n=1, cutoff=_NEARLY)
        if wanted not in found and near:
            yield f"{found[near[0]]}: {near[0]}: no group of ours. Did you mean {wanted}?"


def _keys(node: yaml.Node) -> Iterator[yaml.Node]:
    """Those of variables: what holds a mapping is a host, a group, or one of Ansible's own words about them."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if not isinstance(value, yaml.MappingNode):
                yield key
            yield from _keys(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _keys(item)

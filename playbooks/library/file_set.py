#!/usr/bin/python
"""Ansible module: many files, links and folders below one root in one call, and away with those no longer wanted."""

from __future__ import annotations

import functools
import json
import os
import pwd
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ansible.module_utils import module_lock
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: file_set
short_description: Puts a set of files, links and folders below one folder, and removes what it put there before
description:
  - One call for what would be a template or file task for each item, because a task costs a third of a second.
  - A manifest on the host lists what the set placed. What stands in the manifest and is no longer wanted is removed.
    Nothing else below the root is touched.
options:
  root: {description: Folder that every path lies below., type: path, required: true}
  manifest: {description: JSON file on the host that lists what this set placed., type: path, required: true}
  files:
    description: Files to write (content) and symbolic links to make (link).
    type: list
    elements: dict
    default: []
    suboptions:
      path: {description: Path below root., type: str, required: true}
      content: {description: The file's text., type: str}
      link: {description: What the symbolic link points to., type: str}
      mode: {description: 'The file mode, as an octal string; default the option mode.', type: str}
  folders:
    description: Folders to make, also when nothing lies in them.
    type: list
    elements: dict
    default: []
    suboptions:
      path: {description: Path below root., type: str, required: true}
      owner: {description: User name., type: str, default: root}
      mode: {description: Octal string., type: str, default: '0755'}
  owner: {description: User and group that own the files., type: str, default: root}
  mode: {description: Mode of files that name none., type: str, default: '0644'}
  whole_subfolders:
    description:
      - The folders right below root belong to this set. One that holds nothing wanted is removed with all that lies
        in it, also what others put there. All folders of the set are for everybody to enter.
    type: bool
    default: false
  keep_former:
    description:
      - What stands at a path when the set first takes it is kept in a folder beside the manifest. Whenever the set
        gives such a path up, it is put back instead of removed.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Install the units
  file_set:
    root: /etc/systemd/system
    manifest: /var/lib/wrklab/file_sets/units.json
    files:
      - {path: wrklab-flask_dev_sync.service, content: "[Service]\n..."}
"""

RETURN = r"""
written_paths: {description: Paths that were written or corrected., type: list, elements: str, returned: always}
removed_paths: {description: Paths that were removed., type: list, elements: str, returned: always}
"""

_TEXT_LIMIT = 100_000


@dataclass(frozen=True)
class Owner:
    """A user and its first group, as numbers."""

    uid: int
    gid: int

    @classmethod
    def named(cls, name: str) -> Owner:
        """The user of that name. Raises KeyError."""
        found = pwd.getpwnam(name)
        return cls(found.pw_uid, found.pw_gid)


@dataclass(frozen=True)
class Item:
    """One file, link or folder that is wanted."""

    path: Path
    owner: Owner
    mode: int
    content: bytes | None = None
    link: str | None = None

    @property
    def is_folder(self) -> bool:
        """Neither a file nor a link."""
        return self.content is None and self.link is None

    def is_in_place(self) -> bool:
        """Whether the host has it just so."""
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            return False
        if self.link is not None:
            return stat.S_ISLNK(found.st_mode) and str(self.path.readlink()) == self.link
        kind_is_right = stat.S_ISDIR(found.st_mode) if self.is_folder else stat.S_ISREG(found.st_mode)
        if not kind_is_right or (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) != (
            self.mode,
            self.owner.uid,
            self.owner.gid,
        ):
            return False
        return self.is_folder or (found.st_size == len(self.content or b"") and self.path.read_bytes() == self.content)

    def put(self) -> None:
        """Put it there, in one step: a reader sees the old file or the new one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.is_folder:
            self.path.mkdir(exist_ok=True)
            os.chown(self.path, self.owner.uid, self.owner.gid)
            self.path.chmod(self.mode)
            return
        temporary = temporary_beside(self.path)
        if self.link is not None:
            temporary.symlink_to(self.link)
        else:
            temporary.write_bytes(self.content or b"")
            os.chown(temporary, self.owner.uid, self.owner.gid)
            temporary.chmod(self.mode)
        temporary.replace(self.path)

    def text_before(self) -> str:
        """What stands there now, for a diff."""
        if self.path.is_symlink():
            return f"link to {self.path.readlink()}\n"
        if self.path.is_dir():
            return f"folder {stat.S_IMODE(self.path.stat().st_mode):04o}\n"
        if not self.path.exists():
            return ""
        return self.path.read_bytes()[:_TEXT_LIMIT].decode(errors="replace")

    def text_after(self) -> str:
        """What is wanted, for a diff."""
        if self.link is not None:
            return f"link to {self.link}\n"
        if self.content is None:
            return f"folder {self.mode:04o}\n"
        return self.content[:_TEXT_LIMIT].decode(errors="replace")


@dataclass
class Work:
    """What there is to do, with how it looks in a diff."""

    written: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    diff: list[dict[str, str]] = field(default_factory=list)
    steps: list[Callable[[], None]] = field(default_factory=list)


def below(root: Path, path: str) -> Path:
    """The path below root. Raises ValueError for one that would lead out."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts:
        raise ValueError(f"{path!r} is not a path below {root}: write it relative, without '..'")
    return root.joinpath(*pure.parts)


def wanted_items(params: dict[str, Any]) -> list[Item]:
    """The items that the options ask for, folders first. Raises ValueError and KeyError."""
    root = Path(params["root"])
    owner = Owner.named(params["owner"])
    items = [
        Item(below(root, entry["path"]), Owner.named(entry["owner"]), int(entry["mode"], 8))
        for entry in params["folders"]
    ]
    for entry in params["files"]:
        if (entry["content"] is None) == (entry["link"] is None):
            raise ValueError(f"{entry['path']}: exactly one of content and link is needed")
        content = None if entry["content"] is None else entry["content"].encode()
        mode = int(entry["mode"] or params["mode"], 8)
        items.append(Item(below(root, entry["path"]), owner, mode, content, entry["link"]))
    if params["whole_subfolders"]:
        return [*_folders_above(items, root, owner), *items]
    return items


def _folders_above(items: list[Item], root: Path, owner: Owner) -> list[Item]:
    """The folders between root and the items that are no items themselves, for everybody to enter."""
    given = {item.path for item in items}
    above = {parent for path in given for parent in path.parents if root in parent.parents}
    return [Item(path, owner, 0o755) for path in sorted(above - given)]


def temporary_beside(path: Path) -> Path:
    """Where to write what then takes a path's place; nothing stands there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.wrklab_new")
    temporary.unlink(missing_ok=True)
    return temporary


def copy_as_it_is(source: Path, target: Path) -> None:
    """A file or link with its owner and mode, there in one step."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = temporary_beside(target)
    shutil.copy2(source, temporary, follow_symlinks=False)
    owner = source.lstat()
    os.chown(temporary, owner.st_uid, owner.st_gid, follow_symlinks=False)
    temporary.replace(target)


def put_back(former: Path, path: Path) -> None:
    """What stood at a path before the set took it, instead of the set's own."""
    copy_as_it_is(former, path)
    former.unlink()


def former_place(path: Path, root: Path, manifest: Path) -> Path:
    """Where what stood at a path before is kept."""
    return manifest.with_suffix(".former") / path.relative_to(root)


def read_manifest(path: Path) -> list[str]:
    """The paths that were placed before; none where there is no manifest yet."""
    try:
        placed = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    return [str(entry) for entry in placed]


def plan(
    items: list[Item], root: Path, manifest: Path, *, whole_subfolders: bool = False, keep_former: bool = False
) -> Work:
    """What there is to do to bring the host from what it holds to what is wanted."""
    work = Work()
    for item in _others(items, manifest) if keep_former else []:
        former = former_place(item.path, root, manifest)
        # One that is there is of an attempt that did not come to its end.
        if not os.path.lexists(former):
            work.steps.append(functools.partial(copy_as_it_is, item.path, former))
    for item in items:
        if not item.is_in_place():
            work.written.append(str(item.path))
            work.diff.append({**_headers(item.path), "before": item.text_before(), "after": item.text_after()})
            work.steps.append(item.put)
    for path in _foreign_subfolders(items, root) if whole_subfolders else []:
        work.removed.append(str(path))
        work.diff.append({**_headers(path), "before": "a folder of nothing wanted\n", "after": ""})
        work.steps.append(functools.partial(shutil.rmtree, path))
    for path in _unwanted(items, root, manifest):
        former = former_place(path, root, manifest)
        if os.path.lexists(former):
            work.written.append(str(path))
            work.diff.append({**_headers(path), "before": "placed before\n", "after": "what stood there before that\n"})
            work.steps.append(functools.partial(put_back, former, path))
            continue
        work.removed.append(str(path))
        work.diff.append({**_headers(path), "before": "placed before, no longer wanted\n", "after": ""})
        work.steps.append(functools.partial(remove, path, root))
    placed = sorted(str(item.path) for item in items)
    if placed != read_manifest(manifest):
        text = json.dumps(placed, indent=1) + "\n"
        work.steps.append(Item(manifest, Owner(0, 0) if os.geteuid() == 0 else _self(), 0o644, text.encode()).put)
    return work


def _self() -> Owner:
    return Owner(os.geteuid(), os.getegid())


def _headers(path: Path) -> dict[str, str]:
    return {"before_header": str(path), "after_header": str(path)}


def _others(items: list[Item], manifest: Path) -> list[Item]:
    """Files and links that are wanted where something stands that this set has not put there."""
    placed = set(read_manifest(manifest))
    return [
        item
        for item in items
        if not item.is_folder and str(item.path) not in placed and (item.path.is_file() or item.path.is_symlink())
    ]


def _foreign_subfolders(items: list[Item], root: Path) -> list[Path]:
    kept = {item.path.relative_to(root).parts[0] for item in items}
    return [path for path in sorted(root.iterdir()) if path.is_dir() and path.name not in kept] if root.is_dir() else []


def _unwanted(items: list[Item], root: Path, manifest: Path) -> Iterator[Path]:
    wanted = {item.path for item in items}
    # Deepest first, so that a folder is empty when its turn comes.
    for text in sorted(read_manifest(manifest), key=lambda entry: (-entry.count("/"), entry)):
        path = Path(text)
        if path not in wanted and root in path.parents and (path.is_symlink() or path.exists()):
            yield path


def remove(path: Path, root: Path) -> None:
    """Take one path away, and folders above it that are empty now, but never the root."""
    if path.is_dir() and not path.is_symlink():
        if not any(path.iterdir()):
            path.rmdir()
    else:
        path.unlink(missing_ok=True)  # a folder that went as a whole took it along
    for parent in path.parents:
        if parent == root or root not in parent.parents or (parent.exists() and any(parent.iterdir())):
            return
        if parent.exists():
            parent.rmdir()


def argument_spec() -> dict[str, Any]:
    """The options, as Ansible checks them."""
    entry = {"path": {"type": "str", "required": True}}
    texts = {"content": {"type": "str"}, "link": {"type": "str"}, "mode": {"type": "str"}}
    folder = {"owner": {"type": "str", "default": "root"}, "mode": {"type": "str", "default": "0755"}}
    return {
        "root": {"type": "path", "required": True},
        "manifest": {"type": "path", "required": True},
        "files": {"type": "list", "elements": "dict", "default": [], "options": entry | texts},
        "folders": {"type": "list", "elements": "dict", "default": [], "options": entry | folder},
        "owner": {"type": "str", "default": "root"},
        "mode": {"type": "str", "default": "0644"},
        "whole_subfolders": {"type": "bool", "default": False},
        "keep_former": {"type": "bool", "default": False},
    }


def main() -> None:
    """Read the options, do the work, say what changed."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    root, manifest = Path(module.params["root"]), Path(module.params["manifest"])
    # Without the contents, which would be printed at -v.
    invocation = {"module_args": {"root": str(root), "manifest": str(manifest)}}
    os.umask(0o022)
    try:
        options = {name: module.params[name] for name in ("whole_subfolders", "keep_former")}
        work = plan(wanted_items(module.params), root, manifest, **options)
        # A look leaves no trace on a host, and nothing to do needs no lock.
        if work.steps and not module.check_mode:
            with module_lock.held("modules", f"file_set below {root}"):
                work = plan(wanted_items(module.params), root, manifest, **options)
                for step in work.steps:
                    step()
    except (ValueError, KeyError, OSError, module_lock.LockedError) as error:
        module.fail_json(msg=f"file_set below {root}: {error}", invocation=invocation)
    module.exit_json(
        changed=bool(work.written or work.removed),
        written_paths=work.written,
        removed_paths=work.removed,
        diff=work.diff,
        invocation=invocation,
    )


if __name__ == "__main__":
    main()

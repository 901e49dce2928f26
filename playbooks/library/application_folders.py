#!/usr/bin/python
"""Ansible module: users' applications unpacked from their archives, each only once for its content."""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ansible.module_utils import module_lock
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: application_folders
short_description: Unpacks archives of applications, each into app/ of its stack's folder
description:
  - An archive of the same digest is not unpacked again. One that is replaces the whole folder, complete or not at all.
  - It holds files, and links that stay within it. Anything else is refused. All of it belongs to root.
options:
  applications:
    description: The applications to unpack.
    type: list
    elements: dict
    required: true
    suboptions:
      archive: {description: The tar archive on this host., type: path, required: true}
      stack_dir: {description: Folder of the stack; the files go to app/ below it., type: path, required: true}
      digest: {description: What changes when the files do., type: str, required: true}
"""

EXAMPLES = r"""
- name: Unpack the application
  application_folders:
    applications: [{archive: /var/cache/wrklab/shop.tar, stack_dir: /opt/wrklab/stacks/shop, digest: 0a1b}]
"""

RETURN = r"""
unpacked_paths: {description: Folders that were replaced., type: list, elements: str, returned: always}
"""

_FOLDER_MODE = 0o755


class ArchiveError(Exception):
    """An archive cannot be unpacked; the text says which and why."""


@dataclass(frozen=True)
class Application:
    """One application."""

    archive: Path
    stack_dir: Path
    digest: str

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return self.stack_dir / "app"

    @property
    def stamp(self) -> Path:
        """It says which files these are."""
        return self.stack_dir / "app.digest"

    def is_unpacked(self) -> bool:
        """Whether just these files are there."""
        return self.folder.is_dir() and self.stamp.is_file() and self.stamp.read_text().strip() == self.digest

    def unpack(self) -> None:
        """Replace the folder. Raises ArchiveError, OSError."""
        new, former = self.stack_dir / ".app.new", self.stack_dir / ".app.former"
        for left in (new, former):
            shutil.rmtree(left, ignore_errors=True)
        new.mkdir(mode=_FOLDER_MODE)
        try:
            with tarfile.open(self.archive) as tar:
                for member in _checked(tar):
                    _put(tar, member, new)
        except tarfile.TarError as error:
            raise ArchiveError(f"{self.archive}: {error}") from error
        self.stamp.unlink(missing_ok=True)
        if self.folder.exists():
            self.folder.rename(former)
        new.rename(self.folder)
        self.stamp.write_text(f"{self.digest}\n", encoding="utf-8")
        shutil.rmtree(former, ignore_errors=True)


def _checked(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members of an archive, files before links: nothing is written through a link. Raises ArchiveError."""
    members = sorted(tar.getmembers(), key=lambda member: member.issym())
    for member in members:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise ArchiveError(f"{member.name!r} is no path within the application")
        if not member.isfile() and not member.issym():
            raise ArchiveError(f"{member.name!r} is neither a file nor a link")
        if member.issym() and _leads_out(path, PurePosixPath(member.linkname)):
            raise ArchiveError(f"{member.name!r} leads to {member.linkname!r}, out of the application")
        yield member


def _leads_out(path: PurePosixPath, target: PurePosixPath) -> bool:
    if target.is_absolute():
        return True
    depth = len(path.parts) - 1
    for part in target.parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False


def _put(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    path = folder / member.name
    path.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    if member.issym():
        path.symlink_to(member.linkname)
        return
    source = tar.extractfile(member)
    if source is None:
        raise ArchiveError(f"{member.name!r} has no content")
    with source, path.open("xb") as stream:
        shutil.copyfileobj(source, stream)
    path.chmod(0o755 if member.mode & 0o100 else 0o644)


def main() -> None:
    """Read the options, unpack what is not there, say what was."""
    entry = {
        "archive": {"type": "path", "required": True},
        "stack_dir": {"type": "path", "required": True},
        "digest": {"type": "str", "required": True},
    }
    module = AnsibleModule(
        argument_spec={"applications": {"type": "list", "elements": "dict", "required": True, "options": entry}},
        supports_check_mode=True,
    )
    os.umask(0o022)
    wanted = [
        Application(Path(found["archive"]), Path(found["stack_dir"]), found["digest"])
        for found in module.params["applications"]
    ]
    missing = [application for application in wanted if not application.is_unpacked()]
    try:
        if missing and not module.check_mode:
            with module_lock.held("modules", "application_folders"):
                for application in missing:
                    application.unpack()
    except (ArchiveError, OSError, module_lock.LockedError) as error:
        module.fail_json(msg=f"application_folders: {error}")
    module.exit_json(changed=bool(missing), unpacked_paths=[str(application.folder) for application in missing])


if __name__ == "__main__":
    main()

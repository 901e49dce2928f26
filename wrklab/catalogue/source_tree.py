"""The files of a user's application, and its Python modules as they would be imported; nothing of them is."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from wrklab.catalogue.application_files import find_files
from wrklab.catalogue.python_code import SOURCE_MAX_BYTES, ModuleFindings, read_module

#: Folders and files that are no part of what is served.
_NOT_SERVED = re.compile(
    r"(^|/)(tests?|docs?|examples?|migrations|alembic|scripts|bin|benchmarks?)/|(^|/)(test_|conftest|setup\.py)"
)


class SourceTree:
    """One folder, read once."""

    def __init__(self, folder: Path) -> None:
        """Raises CardError as find_files does."""
        files = find_files(folder).files
        self.folder = folder
        self.paths = frozenset(file.path for file in files)
        #: By path. Only files that are a part of what is served.
        self.modules: dict[str, ModuleFindings] = {
            file.path: read_module(self.text(file.path))
            for file in files
            if file.path.endswith(".py") and file.size_bytes <= SOURCE_MAX_BYTES and not _NOT_SERVED.search(file.path)
        }
        #: Every name that some module imports from, with all packages above it.
        self._imported = {
            ".".join(parts[:count])
            for module in self.modules.values()
            for name in module.imported
            for parts in [name.split(".")]
            for count in range(1, len(parts) + 1)
        }

    def text(self, path: str) -> str:
        """A file's text; empty where it is not there."""
        try:
            return (self.folder / path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def root_of(self, path: str) -> str:
        """The folder that a module is imported from: the lowest that is no package, unless code says a higher one.

        `.` is the application's own folder.
        """
        folder = PurePosixPath(path).parent
        while folder.as_posix() != "." and f"{folder}/__init__.py" in self.paths:
            folder = folder.parent
        parts = folder.parts
        # A folder without __init__.py is a package too where other modules import from it by its name.
        for count in range(len(parts)):
            if ".".join(parts[count:]) in self._imported:
                return PurePosixPath(*parts[:count]).as_posix()
        return folder.as_posix()

    def module_name(self, path: str) -> str:
        """`shop.wsgi` for src/shop/wsgi.py below src."""
        below = PurePosixPath(path).relative_to(self.root_of(path))
        parts = [*below.parts[:-1], *([] if below.stem == "__init__" else [below.stem])]
        return ".".join(parts) or "__init__"

    def absolute(self, path: str, name: str) -> str:
        """A full name for one that may begin with dots, as the module at `path` means it."""
        dots = len(name) - len(name.lstrip("."))
        if not dots:
            return name
        package = PurePosixPath(path).relative_to(self.root_of(path)).parts[:-1]
        return ".".join([*package[: len(package) - dots + 1], name.lstrip(".")])

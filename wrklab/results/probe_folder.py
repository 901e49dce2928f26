"""results/probe_<id>/: plan.json, environment.json, a file a probe, what the hosts said, and the report."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from wrklab.errors import StoreError
from wrklab.protocol.blanking import without_known_secrets
from wrklab.results.probe_record import ProbePlan, ProbeRecord
from wrklab.results.records import RunEnvironment
from wrklab.results.run_folder import fill_folder, new_run_id, read_attachment, whole_folder, write_file

Model = TypeVar("Model", bound=BaseModel)

_PREFIX = "probe_"
_FOLDER = re.compile(r"probe_\d{8}T\d{6}Z_[0-9a-f]{4}")


def new_probe_id() -> str:
    """A name for probes that begin now; names sort by time, and no run has such a name."""
    return f"{_PREFIX}{new_run_id()}"


class ProbeFolder:
    """One folder of probes. A probe is in it completely or not at all. Every method raises StoreError."""

    def __init__(self, path: Path, plan: ProbePlan) -> None:
        """Use create or open."""
        self.path = path
        self.plan = plan

    @classmethod
    def create(
        cls,
        results_dir: Path,
        plan: ProbePlan,
        environment: RunEnvironment,
        attachments: Mapping[str, str] = MappingProxyType({}),
    ) -> ProbeFolder:
        """A new folder named by plan.probe_id. Under that name it is complete or not there at all.

        `attachments` are further files, name -> text, that only their writer understands.
        """
        path = results_dir / plan.probe_id
        with whole_folder(path) as unfinished:
            fill_folder(unfinished, plan, environment, attachments)
            (unfinished / "probes").mkdir()
        return cls(path, plan)

    @classmethod
    def open(cls, path: Path) -> ProbeFolder:
        """An earlier folder, or one that is being written."""
        return cls(path, _read(path / "plan.json", ProbePlan))

    def add(self, record: ProbeRecord, raw: Mapping[str, Any]) -> None:
        """A probe that ended: first what the hosts said, then its record."""
        text = json.dumps(raw, separators=(",", ":"))
        path = self.path / "raw" / f"{record.variant}.json.gz"
        try:
            path.write_bytes(gzip.compress(without_known_secrets(text).encode(), 5))
        except OSError as error:
            raise StoreError(f"{path} cannot be written: {error.strerror}; is the disk full?") from error
        write_file(self.path / "probes" / f"{record.variant}.json", record.model_dump_json(indent=1))

    def attachment(self, name: str) -> str | None:
        """The text of a file that the folder was created with; None where it was created without it."""
        return read_attachment(self.path / name)

    def records(self) -> list[ProbeRecord]:
        """Every probe that ended, in the plan's order."""
        paths = (self.path / "probes" / f"{variant}.json" for variant in self.plan.variants)
        return [_read(path, ProbeRecord) for path in paths if path.is_file()]


def newest_probe(
    results_dir: Path, variant: str, lab: str, digest: str | None = None, server_cpus_count: int | None = None
) -> ProbeRecord | None:
    """The newest probe of a variant that was measured on a lab; None where there is none.

    Another lab's hosts may have other CPUs, and other limits with them. Folders that cannot be read are passed over.
    With a digest (catalogue.deployment.variant_digest) and a number of CPUs, so are probes of another server than that.
    """
    for path in probe_folders(results_dir):
        found = path / "probes" / f"{variant}.json"
        if not found.is_file():
            continue
        try:
            if _read(path / "plan.json", ProbePlan).lab != lab:
                continue
            record = _read(found, ProbeRecord)
        except StoreError:
            continue  # written by another wrklab; an older one may do
        if record.state == "measured" and _is_of(record, digest, server_cpus_count):
            return record
    return None


def _is_of(record: ProbeRecord, digest: str | None, server_cpus_count: int | None) -> bool:
    """Whether a probe is of the server that is meant; None means any."""
    return digest in (None, record.variant_digest) and server_cpus_count in (None, record.server_cpus_count)


def probe_folders(results_dir: Path) -> Iterator[Path]:
    """All folders of probes, newest first."""
    if results_dir.is_dir():
        yield from sorted((path for path in results_dir.iterdir() if _FOLDER.fullmatch(path.name)), reverse=True)


def _read(path: Path, model: type[Model]) -> Model:
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}; remove its folder") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise StoreError(f"{path}: {where}: {first['msg']}; read it with the checkout that wrote it") from error

"""The module trusted_certificates, with a stand-in for update-ca-certificates, in folders of the test."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

import pytest

from tests.unit.ansible_parts import load_plugin
from wrklab.paths import PLAYBOOKS_DIR

#: Puts the file's text behind the host's own, with a link for it, and takes away the link of a file that is gone.
UPDATE = """#!/bin/sh
cd "$(dirname "$0")"
echo run >> runs
cp own bundle
if [ -f local/wrklab.crt ]; then cat local/wrklab.crt >> bundle; ln -sf ../local/wrklab.crt links/wrklab.pem
else rm -f links/wrklab.pem; fi
"""


def pem(body: str) -> str:
    """A certificate, as far as its form goes."""
    return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, whose host is a folder that trusts one certificate of its own."""
    found = load_plugin(PLAYBOOKS_DIR / "library/trusted_certificates.py")
    for name in ("local", "links"):
        (tmp_path / name).mkdir()
    (tmp_path / "own").write_text(pem("OWN"))
    (tmp_path / "bundle").write_text(pem("OWN"))
    (tmp_path / "update-ca-certificates").write_text(UPDATE)
    (tmp_path / "update-ca-certificates").chmod(0o755)
    monkeypatch.setattr(found, "BUNDLE", tmp_path / "bundle")
    monkeypatch.setattr(found, "LINKS", tmp_path / "links")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return found


def needs_update(module: ModuleType, path: Path) -> bool:
    """Whether the module would run update-ca-certificates."""
    return bool(module.missing(path)) or module.is_left_over(path)


def test_a_file_that_was_copied_before_an_interruption_is_trusted_by_the_next_run(
    module: ModuleType, tmp_path: Path
) -> None:
    """The file stands as it should, so nothing is notified; the bundle says that it is not trusted."""
    path = tmp_path / "local/wrklab.crt"
    assert not needs_update(module, path)
    path.write_text(pem("FIRST\nLINE") + "# a comment\n" + pem("SECOND"))

    assert len(module.missing(path)) == 2
    module.update(path)
    assert not needs_update(module, path)
    assert (tmp_path / "runs").read_text() == "run\n"


def test_a_file_that_was_removed_before_an_interruption_is_no_longer_trusted(
    module: ModuleType, tmp_path: Path
) -> None:
    """What stands in the folder of links tells that it was."""
    path = tmp_path / "local/wrklab.crt"
    path.write_text(pem("FIRST"))
    module.update(path)
    path.unlink()

    assert needs_update(module, path)
    module.update(path)
    assert not needs_update(module, path)
    assert "FIRST" not in (tmp_path / "bundle").read_text()


def test_an_update_that_did_not_do_it_is_an_error(module: ModuleType, tmp_path: Path) -> None:
    """Whatever its exit status."""
    path = tmp_path / "local/wrklab.crt"
    path.write_text(pem("FIRST"))
    (tmp_path / "update-ca-certificates").write_text("#!/bin/sh\n")
    with pytest.raises(module.TrustError, match="lacks 1 certificates"):
        module.update(path)

    (tmp_path / "update-ca-certificates").write_text("#!/bin/sh\necho no room >&2; exit 3\n")
    with pytest.raises(module.TrustError, match="exit status 3, said: no room"):
        module.update(path)

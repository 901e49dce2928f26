"""A broken or hostile host defeats neither deadlines nor memory: commands over a real ssh connection."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest

from tests.unit.hosts.ssh_server import run_here, ssh_server
from wrklab.errors import HostError
from wrklab.hosts import channel, remote
from wrklab.hosts.remote import ConnectionLostError, RemoteHost

#: How much later than its limit a call may end on a busy machine.
_SLACK_S = 1.5


def test_a_command_has_both_streams_its_lines_and_its_exit_code(tmp_path: Path) -> None:
    """Lines come one by one, also one that was cut into parts; the last one may have no end."""
    heard: list[str] = []
    script = "printf one; sleep 0.1; printf ' more\\ntwo\\nthree'; echo trouble >&2; exit 4"
    with ssh_server(tmp_path) as host, RemoteHost(host) as opened:
        result = opened.run(["sh", "-c", script], limit_s=10, check=False, on_line=heard.append)

    assert (result.stdout, result.stderr, result.exit_code) == ("one more\ntwo\nthree", "trouble\n", 4)
    assert heard == ["one more", "two"]


def test_the_deadline_passes_while_data_flows(tmp_path: Path) -> None:
    """A command that prints on and on, slowly enough to stay below every limit of size."""
    with ssh_server(tmp_path) as host, RemoteHost(host) as opened:
        started_s = time.monotonic()
        with pytest.raises(HostError, match=r"server: no end of `.*` within 1 s"):
            opened.run(["sh", "-c", "while :; do echo y; sleep 0.005; done"], limit_s=1)
        assert time.monotonic() - started_s < 1 + _SLACK_S
        # The connection is as good as before.
        assert opened.run(["echo", "well"], limit_s=10).stdout == "well\n"


@pytest.mark.parametrize(
    ("command", "what"), [("yes", "stdout"), ("yes >&2", "stderr"), ("tr '\\0' y </dev/zero", "stdout")]
)
def test_output_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, what: str
) -> None:
    """Over the limit is an error that says so, long before the deadline."""
    monkeypatch.setattr(channel, "STDOUT_MAX_BYTES", 1 << 20)
    with ssh_server(tmp_path) as host, RemoteHost(host) as opened:
        started_s = time.monotonic()
        with pytest.raises(HostError, match=rf"server: `.*`: {what} has more than 1,048,576 bytes, which is the limit"):
            opened.run(["sh", "-c", command], limit_s=60)
        assert time.monotonic() - started_s < 30


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where lines are handed on, one of them has a limit of its own."""
    monkeypatch.setattr(channel, "LINE_MAX_BYTES", 1 << 18)
    with (
        ssh_server(tmp_path) as host,
        RemoteHost(host) as opened,
        pytest.raises(HostError, match="a line has more than 262,144 bytes"),
    ):
        opened.run(["sh", "-c", "tr '\\0' y </dev/zero"], limit_s=60, on_line=lambda line: None)


def test_much_stderr_does_not_keep_a_command_from_its_end(tmp_path: Path) -> None:
    """Both streams share one window: whoever reads them one after the other waits for ever."""
    script = "head -c 900000 /dev/zero | tr '\\0' e >&2; head -c 5000000 /dev/zero | tr '\\0' o"
    with ssh_server(tmp_path) as host, RemoteHost(host) as opened:
        result = opened.run(["sh", "-c", script], limit_s=30)

    assert (len(result.stderr), len(result.stdout)) == (900_000, 5_000_000)


def test_a_host_that_never_starts_the_command_meets_the_deadline(tmp_path: Path) -> None:
    """It opens the channel and answers nothing more."""
    with ssh_server(tmp_path, accepts_commands=False) as host, RemoteHost(host) as opened:
        started_s = time.monotonic()
        with pytest.raises(HostError, match="no end of `echo` within 1 s"):
            opened.run(["echo"], limit_s=1)
        assert time.monotonic() - started_s < 1 + _SLACK_S


def _trickle(one: paramiko.Channel, _command: str) -> None:
    """Every byte comes before a time-out between bytes would pass."""
    try:
        while True:
            one.sendall(b"y")
            time.sleep(0.05)
    except OSError:
        pass


def _count_line(channel: paramiko.Channel, _command: str) -> None:
    """Reads a line as a script does, and says how long it was."""
    line = channel.makefile("rb").readline()
    channel.sendall(f"{len(line)} {line[-4:]!r}".encode())
    channel.send_exit_status(0)
    channel.close()


def test_a_command_reads_a_line_of_any_length(tmp_path: Path) -> None:
    """Longer than a word of a command line may be, and than ssh takes at once."""
    with ssh_server(tmp_path, _count_line) as host, RemoteHost(host) as opened:
        result = opened.run(["read"], limit_s=20, stdin_line="x" * 5_000_000 + "end")

    assert (result.stdout, result.exit_code) == ("5000004 b'end\\n'", 0)


def test_an_answer_that_trickles_meets_the_deadline(tmp_path: Path) -> None:
    """A conversation's answer has its limit as a whole."""
    with ssh_server(tmp_path, _trickle) as host, RemoteHost(host) as opened:
        started_s = time.monotonic()
        with (
            pytest.raises(ConnectionLostError, match="did not answer: TimeoutError"),
            opened.talk(["cat"], limit_s=1) as ask,
        ):
            ask("hello")
        assert time.monotonic() - started_s < 1 + _SLACK_S


def test_an_answer_without_end_is_refused(tmp_path: Path) -> None:
    """Answers are short JSON objects."""
    with (
        ssh_server(tmp_path, run_here) as host,
        RemoteHost(host) as opened,
        pytest.raises(HostError, match="an answer has more than 65,536 bytes"),
        opened.talk(["sh", "-c", "tr '\\0' y </dev/zero"], limit_s=30) as ask,
    ):
        ask("hello")


def test_a_host_on_the_way_that_opens_no_way_on_meets_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """paramiko alone would wait for an hour; the text says by way of which host."""
    monkeypatch.setattr(remote, "CONNECT_LIMIT_S", 1.0)
    with ssh_server(tmp_path) as gate:
        host = replace(gate, address="192.0.2.9", jump_host=f"root@127.0.0.1:{gate.port}", jump_key_path=gate.key_path)
        started_s = time.monotonic()
        with pytest.raises(HostError, match=rf"by way of root@127\.0\.0\.1:{gate.port}\): not reachable: Timeout"):
            RemoteHost(host).open()
        assert time.monotonic() - started_s < 1 + 2 * _SLACK_S

"""A host for one controller at a time: a lease there, renewed by a thread, taken again after a lost connection."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from wrklab.errors import HostError, ParseError
from wrklab.hosts.node_calls import carried, pack_spec
from wrklab.hosts.remote import Lease, RemoteHost, answered_object

#: How long a lease lasts that nobody renews: longer than a connection is given to come back.
LEASE_S = 30.0
#: Where a host keeps it: gone with a reboot, as what it guards.
FOLDER = "/run/wrklab"
RENEW_EVERY_S = 5.0
#: A late answer ends the connection that everything shares: slow hosts get their time.
_ANSWER_LIMIT_S = 30.0
#: At the end nobody waits longer: a lease that is not let go of runs out.
_LETTING_GO_LIMIT_S = 10.0
_TRY_AGAIN_S = 1.0
_DAMAGE_SHOWN_CHARS = 200

Ask = Callable[[str], str]


class LockHolder(BaseModel):
    """Who holds a host, as the host reports it."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    token: str = Field(max_length=1000)
    #: User, machine and process, for people.
    owner: str = Field(max_length=1000)
    #: `this_process()` of the controller.
    process: str = Field(default="", max_length=1000)
    run: str = Field(default="", max_length=1000)
    #: The host's wall clock; as far as a calendar of ours goes.
    since_at: float = Field(ge=0, le=7.3e9)
    expires_in_s: float = Field(ge=0, le=3600)

    def __str__(self) -> str:
        """For whoever finds the host taken."""
        since = datetime.fromtimestamp(self.since_at, UTC)
        run = f", run {self.run}" if self.run else ""
        return (
            f"{self.owner}{run}, since {since:%Y-%m-%d %H:%M:%S} UTC; expires in {self.expires_in_s:.0f} s "
            "unless it is renewed"
        )

    @property
    def is_dead(self) -> bool:
        """Whether it was a process of this machine that is not there any more; False where that cannot be told."""
        here, _, what = self.process.rpartition(" ")
        pid, _, started = what.partition("@")
        if here != _this_machine() or not pid.isdecimal():
            return False
        return _started_ticks(int(pid)) != started


def this_process() -> str:
    """This process, told from any other of this boot: machine, process id and when it was started."""
    return f"{_this_machine()} {os.getpid()}@{_started_ticks(os.getpid())}"


def _this_machine() -> str:
    """This boot of this kernel, and the space that its process ids are of: containers have their own."""
    boot_id = Path("/proc/sys/kernel/random/boot_id")
    if not boot_id.exists():
        return ""
    return f"{boot_id.read_text(encoding='ascii').strip()} {Path('/proc/self/ns/pid').readlink()}"


def _started_ticks(pid: int) -> str:
    """Clock ticks from the boot to the start of a process; empty where there is none."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state in "ZX" else fields[18]


class TakenHostError(HostError):
    """Another controller holds a host; the text names it."""


@dataclass(frozen=True)
class LockLook:
    """The lock on a host as it is found there."""

    #: The controller that has the host for itself; None where none has.
    holder: LockHolder | None
    #: Why the record there counts as none; empty where nothing is wrong with it.
    damage: str = ""


def look_at_lock(host: RemoteHost) -> LockLook:
    """Who holds a host. Raises HostError, ParseError."""
    text = host.run(carried("host_lock.py", "show", FOLDER), limit_s=_ANSWER_LIMIT_S).stdout
    found = answered_object(host.name, "host_lock.py", text)
    if "damaged" in found:
        return LockLook(None, str(found["damaged"])[:_DAMAGE_SHOWN_CHARS])
    try:
        return LockLook(LockHolder.model_validate(found) if found else None)
    except ValueError as error:
        raise ParseError(f"{host.name}: host_lock.py answered {text[:200]!r}: {error}") from error


def holder_of(host: RemoteHost) -> LockHolder | None:
    """Who holds a host; None where nobody does. Raises HostError, ParseError."""
    return look_at_lock(host).holder


class HeldHosts:
    """The locks on all hosts of a lab."""

    def __init__(self, locks: Sequence[_HostLock]) -> None:
        """All taken."""
        self._locks = locks

    @property
    def token(self) -> str:
        """Shows whoever checks a lease on a host that it is this controller's."""
        return self._locks[0].token

    @property
    def notes(self) -> tuple[str, ...]:
        """What was wrong with the records found on the hosts, a sentence each."""
        return tuple(
            f"{lock.host.name}: the lease record found there is damaged ({lock.damage}), and was taken for none"
            for lock in self._locks
            if lock.damage
        )

    @property
    def taken_from(self) -> tuple[str, ...]:
        """Whose work ends because a host was taken by force, a sentence each."""
        return tuple(
            f"{lock.host.name}: taken by force; what it did there ends for {lock.taken_from}"
            for lock in self._locks
            if lock.taken_from
        )

    def note_run(self, run_id: str) -> None:
        """Tell whoever finds the hosts taken for which run."""
        for lock in self._locks:
            lock.run = run_id

    def note_gone(self) -> None:
        """The hosts were removed: nobody waits for them at the end."""
        for lock in self._locks:
            lock.is_gone = True

    def check(self) -> None:
        """Asks every host now. Raises HostError where another controller has it, or had it since we last asked.

        What was measured since may be disturbed. A host that is silent for as long as a lease lasts counts as lost too:
        until then nobody else gets it, afterwards nobody knows whose it is.
        """
        for lock in self._locks:
            lock.ask_now()
        asked_s = time.monotonic()
        for lock in self._locks:
            if why := lock.why_lost(asked_s):
                raise HostError(f"{lock.host.name}: {why}")

    @property
    def are_ours(self) -> bool:
        """Whether each is ours as far as we know: one that is silent is, until it says otherwise."""
        return not any(lock.lost_because for lock in self._locks)


@contextmanager
def hold_hosts(hosts: Sequence[RemoteHost], owner: str, *, by_force: bool = False) -> Iterator[HeldHosts]:
    """The hosts for one controller alone. Raises TakenHostError naming the holder of a host that is taken.

    A holder that was a process of this machine and has died is no hindrance; one of another machine lets go when its
    lease has run out. `by_force` takes a host from whoever holds it.
    """
    with ExitStack() as held:
        # One token: where two of the names are one machine, its lock is taken twice by the same controller.
        token = secrets.token_hex(8)
        locks = [_HostLock(host, owner, token, by_force=by_force) for host in hosts]
        for lock in locks:
            held.enter_context(lock.held())
        yield HeldHosts(locks)


@dataclass(frozen=True)
class _Refused:
    """Another controller holds the host, or had it since we did: None where it has let go of it again."""

    holder: LockHolder | None


class _HostLock:
    """One host's lock and the thread that renews it."""

    def __init__(self, host: RemoteHost, owner: str, token: str, *, by_force: bool) -> None:
        self.host = host
        self.token = token
        #: Why the record that was there counted as none; empty where nothing was wrong with it.
        self.damage = ""
        #: The living holder that it was taken from; None where there was none.
        self.taken_from: LockHolder | None = None
        self._by_force = by_force
        self._spec = {
            "folder": FOLDER,
            "token": token,
            "owner": owner,
            "process": this_process(),
            "lease_s": LEASE_S,
        }
        #: The host's name for where we hold it; empty before we do.
        self._held_in = ""
        self._taken: Future[None] = Future()
        self._end = threading.Event()
        #: How often somebody wanted to know at once, and which of these questions has its answer.
        self._asked_count = 0
        self._answered_count = 0
        self._changed = threading.Condition()
        #: What last kept us from renewing it.
        self._trouble = ""
        #: The run that it is held for.
        self.run = ""
        #: The host was removed while it was held: there is nothing to let go of.
        self.is_gone = False
        #: Why it is not ours any more; empty while nothing says so.
        self.lost_because = ""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Taken at the beginning of the block, let go of at its end. Raises TakenHostError."""
        thread = threading.Thread(target=self._keep, name=f"lock of {self.host.name}", daemon=True)
        thread.start()
        try:
            self._taken.result()
            yield
        finally:
            self._end.set()
            self._notify_changed()
            thread.join(0.0 if self.is_gone else _LETTING_GO_LIMIT_S)
            self.host.lease = None

    def ask_now(self) -> None:
        """Renew without waiting for the time to do so."""
        with self._changed:
            self._asked_count += 1
            self._changed.notify_all()

    def why_lost(self, asked_s: float) -> str:
        """Waits for the answer to `ask_now`, of `asked_s` (monotonic); empty where it is that the host is ours."""
        # A slow host needs longer for a new connection. What it says then still counts: it knows who had it meanwhile.
        limit_s = LEASE_S * max(1.0, self.host.timeout_scale)
        with self._changed:
            wanted = self._asked_count
            is_answered = self._changed.wait_for(
                lambda: self._answered_count >= wanted or self.lost_because,
                max(0.0, asked_s + limit_s - time.monotonic()),
            )
        if self.lost_because or is_answered:
            return self.lost_because
        trouble = f" ({self._trouble})" if self._trouble else ""
        return f"silent for {limit_s:g} s, in which our lock on it ran out: it may be another's by now{trouble}"

    def _notify_changed(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _is_time_to_renew(self) -> bool:
        """Waits for that; False at the end."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._end.is_set() or self._asked_count > self._answered_count, RENEW_EVERY_S
            )
        return not self._end.is_set()

    def _keep(self) -> None:
        """Until the end: take it, renew it; where the connection ends, take it again over a new one."""
        try:
            while not self._end.is_set() and self._is_kept_once():
                pass
        except BaseException as error:  # noqa: BLE001  this thread's end is silent: who waits for it must hear of it
            self._fail(error)

    def _is_kept_once(self) -> bool:
        """One conversation; whether another is to follow it."""
        try:
            refused = self._once()
        except (HostError, ParseError) as error:
            if not self._taken.done():
                self._taken.set_exception(error)
                return False
            self._trouble = str(error)
            self._end.wait(_TRY_AGAIN_S)
            return True
        if refused is not None:
            self._report(refused)
        return refused is None

    def _fail(self, error: BaseException) -> None:
        """Nobody renews the lock from here on, so nothing may rest on it."""
        if self._taken.done():
            self._lose(f"our lock on it is not renewed any more: {error!r}")
        else:
            self._taken.set_exception(error)

    def _lose(self, why: str) -> None:
        with self._changed:
            self.lost_because = why
            self._changed.notify_all()

    def _report(self, refused: _Refused) -> None:
        if self._taken.done():
            self._lose(f"lost to another controller: {refused.holder or 'one that has let go of it again'}")
        else:
            text = f"{self.host.name}: taken by another controller: {refused.holder}. Wait for its end; "
            self._taken.set_exception(TakenHostError(f"{text}`invoke cleanup --force` ends what it does there"))

    def _once(self) -> _Refused | None:
        """One conversation with the host, from taking to letting go. Raises HostError where it breaks off."""
        take_over = ""
        while True:
            spec = {**self._spec, "run": self.run, "take_over": take_over, "held_in": self._held_in}
            words = carried("host_lock.py", "hold", pack_spec(spec))
            with self.host.talk(words, limit_s=_ANSWER_LIMIT_S) as ask:
                refused = self._ask(ask, "renew")
                if refused is None:
                    return self._renew(ask)
            holder = refused.holder
            # A second try at most: by then the token that it takes over from is the holder's.
            if holder is None or take_over or not (self._by_force or holder.is_dead) or self._taken.done():
                return refused
            take_over = holder.token
            self.taken_from = None if holder.is_dead else holder

    def _renew(self, ask: Ask) -> _Refused | None:
        if not self._taken.done():
            self._taken.set_result(None)
        while self._is_time_to_renew():
            refused = self._ask(ask, f"run {self.run}" if self.run else "renew")
            if refused is not None:
                return refused
        self._ask(ask, "release")
        return None

    def _ask(self, ask: Ask, line: str) -> _Refused | None:
        """None where the lock is ours, else who has it."""
        asked_count = self._asked_count
        answer = ask(line)
        found = answered_object(self.host.name, "host_lock.py", answer)
        try:
            if "error" in found:
                raise HostError(f"{self.host.name}: {found['error']}")
            if found["held"]:
                self._note_held(found)
                self._answered_count = asked_count
                self._notify_changed()
                return None
            return _Refused(LockHolder.model_validate(found["holder"]) if found["holder"] else None)
        except (ValueError, KeyError) as error:
            raise ParseError(f"{self.host.name}: host_lock.py answered {answer[:200]!r}: {error!r}") from error

    def _note_held(self, found: Mapping[str, object]) -> None:
        self._held_in = str(found.get("held_in", self._held_in))
        # From here on the host refuses what is asked of it in our name once another controller has it.
        self.host.lease = Lease(self.token, self._held_in)
        if "damaged" in found:
            self.damage = str(found["damaged"])[:_DAMAGE_SHOWN_CHARS]

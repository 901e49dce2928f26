"""TCP as /proc/net/netstat counts it: full accept queues, SYN cookies, time-outs."""

from __future__ import annotations

from collectors.base import Sample, Source, header_and_numbers, pick

NAME = "tcp_extended"
SOURCE = Source(kind="file", path="/proc/net/netstat", prefixes=("TcpExt:",))

_KEYS = {
    "ListenOverflows": "tcp.listen_overflows",
    "ListenDrops": "tcp.listen_drops",
    "TCPReqQFullDrop": "tcp.syn_queue_full_drops",
    "SyncookiesSent": "tcp.syn_cookies_sent",
    "TCPTimeouts": "tcp.timeouts",
    "TCPSynRetrans": "tcp.syn_retransmitted",
    # What this host sent again, and the other end already had: late acknowledgements, no loss (RFC 2883).
    "TCPDSACKRecv": "tcp.duplicates_reported",
    "TCPAbortOnData": "tcp.aborts_on_data",
}


def parse(text: str) -> tuple[Sample, ...]:
    """Counts since boot. Raises SourceError."""
    numbers = header_and_numbers(text, "TcpExt:", "netstat")
    return tuple(Sample(metric, pick(numbers, key, "netstat"), "count") for key, metric in _KEYS.items())

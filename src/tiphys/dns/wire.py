"""DNS messages: questions read, answers written (RFC 1035, 6891 for larger UDP)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dnslib import CLASS, CNAME, PTR, QTYPE, RCODE, RR, SOA, SRV, TXT, A, DNSHeader, DNSQuestion, DNSRecord

from tiphys.dns.records import Answer, Record

CLASSIC_UDP_BYTES: Final = 512
MAX_UDP_BYTES: Final = 1232  # what DNS operators agreed fits every path unfragmented


@dataclass(frozen=True, slots=True)
class Question:
    """What a message asks: `name` in lower case without the final dot; `size_bytes` the largest answer over UDP."""

    message: DNSRecord
    name: str
    type: str
    size_bytes: int


class Malformed(ValueError):
    """Not a question that can be answered at all; it is dropped."""


def read(data: bytes) -> Question:
    """Parse a query with exactly one question; raises Malformed."""
    try:
        message = DNSRecord.parse(data)
    except Exception as error:  # dnslib raises its own and a few builtin errors on hostile bytes
        raise Malformed(str(error)) from error
    if message.header.qr or len(message.questions) != 1:
        raise Malformed("not a query with one question")
    question = message.q
    size = CLASSIC_UDP_BYTES
    for extra in message.ar:
        if extra.rtype == QTYPE.OPT:
            size = max(CLASSIC_UDP_BYTES, min(int(extra.rclass), MAX_UDP_BYTES))
    name = str(question.qname).rstrip(".").lower()
    kind = QTYPE.forward.get(question.qtype, "") if question.qclass == CLASS.IN else ""
    return Question(message, name, kind, size)


def answer(question: Question, found: Answer, domain: str, ttl_seconds: int) -> DNSRecord:
    """The reply with authority: records, NODATA or NXDOMAIN (both with the zone's SOA, RFC 2308)."""
    reply = _reply(question, authoritative=True)
    if not found.exists:
        reply.header.rcode = RCODE.NXDOMAIN
    for record in found.records:
        reply.add_answer(_rr(record, ttl_seconds))
    for record in found.additional:
        reply.add_ar(_rr(record, ttl_seconds))
    if not found.records:
        times = (1, 7200, 1800, 86400, ttl_seconds)
        reply.add_auth(
            RR(domain, QTYPE.SOA, ttl=ttl_seconds, rdata=SOA(f"ns.dns.{domain}", f"hostmaster.{domain}", times))
        )
    return reply


def failure(question: Question, code: str) -> DNSRecord:
    """An empty reply with a code such as ``SERVFAIL`` or ``REFUSED``."""
    reply = _reply(question, authoritative=False)
    reply.header.rcode = getattr(RCODE, code)
    return reply


def query(question: Question, name: str) -> bytes:
    """The same question about another name."""
    asked = question.message.header
    message = DNSRecord(DNSHeader(id=asked.id, rd=1), q=DNSQuestion(name, question.message.q.qtype))
    return bytes(message.pack())


def extend(reply: DNSRecord, other: bytes) -> None:
    """Add another answer's records to the reply; one that cannot be read adds nothing."""
    try:
        message = DNSRecord.parse(other)
    except Exception:  # dnslib raises its own and a few builtin errors on hostile bytes
        return
    for record in message.rr:
        reply.add_answer(record)


def fit(reply: DNSRecord, size_bytes: int) -> bytes:
    """The reply's bytes; over the size it is cut to an empty, truncated one, so that the client asks again by TCP."""
    data = bytes(reply.pack())
    return data if len(data) <= size_bytes else bytes(reply.truncate().pack())


def _reply(question: Question, *, authoritative: bool) -> DNSRecord:
    asked = question.message.header
    header = DNSHeader(id=asked.id, qr=1, aa=int(authoritative), ra=1, rd=asked.rd)
    return DNSRecord(header, q=question.message.q)


def _rr(record: Record, ttl_seconds: int) -> RR:
    make = {"A": A, "CNAME": CNAME, "PTR": PTR, "TXT": TXT}
    if isinstance(record.data, tuple):
        priority, weight, port, target = record.data
        return RR(record.name, QTYPE.SRV, ttl=ttl_seconds, rdata=SRV(priority, weight, port, target))
    return RR(record.name, getattr(QTYPE, record.type), ttl=ttl_seconds, rdata=make[record.type](record.data))

# SPDX-License-Identifier: Apache-2.0
"""The part of CBOR (RFC 8949) that the agent's messages are made of."""

import struct

WIDTHS = ((1 << 8, '>B'), (1 << 16, '>H'), (1 << 32, '>I'), (1 << 64, '>Q'))


def head(major, n):
    if n < 24:
        return bytes([major << 5 | n])
    for i, (limit, fmt) in enumerate(WIDTHS):
        if n < limit:
            return bytes([major << 5 | 24 + i]) + struct.pack(fmt, n)
    raise ValueError(n)


def encode(item):
    if isinstance(item, int):
        return head(0, item)
    if isinstance(item, bytes):
        return head(2, len(item)) + item
    if isinstance(item, str):
        return head(3, len(item.encode())) + item.encode()
    return head(4, len(item)) + b''.join(map(encode, item))


def decode(data, at=0):
    """The item at that place, and the next one's; IndexError: there is more
    to come."""
    major, n = data[at] >> 5, data[at] & 31
    at += 1
    if n > 23:
        fmt = WIDTHS[n - 24][1]
        size = struct.calcsize(fmt)
        if at + size > len(data):
            raise IndexError
        n, at = struct.unpack_from(fmt, data, at)[0], at + size
    if major == 0:
        return n, at
    if major in (2, 3):
        if at + n > len(data):
            raise IndexError
        text = bytes(data[at:at + n])
        return text if major == 2 else text.decode(), at + n
    if major == 4:
        items = []
        for _ in range(n):
            item, at = decode(data, at)
            items.append(item)
        return items, at
    raise ValueError('major type %d' % major)

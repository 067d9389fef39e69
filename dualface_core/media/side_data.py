"""What a packet has beside its payload.

Belongs here: finding it quickly, since all packets of a file are asked and few have any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # PyAV's packets are generic in its type stubs only
    from av.packet import Packet


def side_data(packet: Packet[Any], kind: str) -> bytes | None:
    """What a packet has of a kind, by FFmpeg's name for that; None if it has none.

    PyAV's `has_sidedata` looks its argument up first, also for a packet that has none at all.
    """
    return next((bytes(each) for each in packet.iter_sidedata() if each.data_type == kind), None)

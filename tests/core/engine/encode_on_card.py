"""Renders a plan with NVENC and a card: `python -m tests.core.engine.encode_on_card VIDEO PLAN OUTPUT FINGERPRINTS`."""

from __future__ import annotations

import sys
from pathlib import Path

from dualface_core.encoding.settings import EncoderSettings, nvenc_encoder
from dualface_core.media.probe import probe
from dualface_core.rendering.stream import render_stream
from dualface_core.system.cuda import Card
from dualface_core.tables.tile_plan import TilePlan

video, plan, output, fingerprints = map(Path, sys.argv[1:])
render_stream(
    probe(video),
    TilePlan.read(plan),
    output,
    nvenc_encoder(EncoderSettings()),
    card=Card(),
    fingerprints=fingerprints,
)

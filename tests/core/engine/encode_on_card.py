"""Renders a plan with NVENC and a card: `encode_on_card VIDEO PLAN OUTPUT FINGERPRINTS DECODERS`, as a module."""

from __future__ import annotations

import sys
from pathlib import Path

from dualface_core.encoding.settings import EncoderSettings, nvenc_encoder
from dualface_core.engine.spans import spans
from dualface_core.media.probe import probe
from dualface_core.rendering.stream import render_stream
from dualface_core.system.cuda import Card
from dualface_core.tables.tile_plan import TilePlan

video, plan, output, fingerprints = map(Path, sys.argv[1:5])
source = probe(video)
render_stream(
    source,
    TilePlan.read(plan),
    output,
    nvenc_encoder(EncoderSettings()),
    card=Card(),
    turns=spans(source, seconds=0.4) if sys.argv[5] == "2" else (),
    fingerprints=fingerprints,
)

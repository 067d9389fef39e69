"""A process that says as JSON what it finds out about the GPU: run on an emulated host, or on a machine without any."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from dualface_core.encoding.sessions import NvencSessions
from dualface_core.gpu.nvml import encoder_sessions, find_gpus, load_reader, nvdec_ability, nvenc_ability


def main(question: str, folder: Path) -> object:
    inventory = find_gpus()
    gpu = inventory.gpus[0] if inventory.gpus else None
    sessions = NvencSessions(folder / "run", gpu=gpu.uuid if gpu else 0, limit=2, timeout=0.2)
    match question:
        case "gpus":
            return asdict(inventory)
        case "sessions":
            return [asdict(session) for session in encoder_sessions(gpu)]
        case "nvenc":
            answer = nvenc_ability("h264", gpu=gpu, cache=folder / "cache", sessions=sessions)
            return json.loads(answer.model_dump_json()) | {"opened": sessions.status().counters.opened}
        case "nvdec":
            return json.loads(nvdec_ability("h264", gpu=gpu, cache=folder / "cache").model_dump_json())
        case "load":
            with load_reader(gpu) as load:
                return asdict(load())
    raise ValueError(question)


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]))))

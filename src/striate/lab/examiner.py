"""The process that looks at single units: it holds up no step and draws on no chance of others."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from multiprocessing.connection import Connection

from striate.lab.frames import frame, topic_of, unframed

WAITING = 4  # questions; of more the newest are answered
NICE = 5  # training goes first


def examine(questions: Connection, out: Connection) -> None:
    """Answer until nobody can ask any more: what the process runs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's to hear
    with suppress(AttributeError, OSError):
        os.nice(NICE)
    waiting: dict[str, bytes] = {}
    with suppress(EOFError, OSError):  # the lab has gone
        while True:
            while questions.poll(0 if waiting else None):
                content = questions.recv_bytes()
                topic = topic_of(content)
                waiting.pop(topic, None)
                waiting[topic] = content
            for topic in [*waiting][:-WAITING]:
                del waiting[topic]
                out.send_bytes(frame(topic, {"failed": "others were asked for meanwhile"}, {}))
            topic, content = waiting.popitem()
            out.send_bytes(_answered(topic, content))


def _answered(topic: str, content: bytes) -> bytes:
    import torch  # with the first question: whoever asks none waits for nothing

    from striate.lab.unit import answer

    torch.set_num_threads(1)
    return frame(topic, *answer(*unframed(content)))

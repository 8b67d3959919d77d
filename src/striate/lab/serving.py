"""A page and two processes behind it: one trains, one looks at units. Ctrl-C ends all."""

from __future__ import annotations

import multiprocessing
import os
import socket
import webbrowser
from contextlib import suppress
from threading import Timer

import uvicorn

from striate.errors import StriateError
from striate.lab.examiner import NICE, examine
from striate.lab.guard import Guard, new_token
from striate.lab.server import server
from striate.lab.trainer import Wanted, work
from striate.web import unheard

HOST = "127.0.0.1"
LINGER = 1.0  # seconds
GRACE = 5.0  # seconds that a process has to end


def serve(wanted: Wanted, *, port: int = 0, browser: bool = True) -> None:
    """Serve the lab on this machine alone, until Ctrl-C.

    Args:
        port: 0 takes a free one.
        browser: open the page.

    Raises:
        StriateError: the port is taken, or the lab cannot begin: no such network, no such images.
    """
    listening = listening_at(port)
    port = listening.getsockname()[1]
    spawn = multiprocessing.get_context("spawn")  # a forked PyTorch may hang
    commands, asks = spawn.Pipe(duplex=False)
    frames, tells = spawn.Pipe(duplex=False)
    questions, wonders = spawn.Pipe(duplex=False)
    findings, finds = spawn.Pipe(duplex=False)
    trainer = spawn.Process(target=work, args=(commands, tells, wonders, wanted), daemon=True)
    examiner = spawn.Process(target=examine, args=(questions, finds), daemon=True)
    with unheard():
        trainer.start()
        examiner.start()
    for theirs in (commands, tells, questions, wonders, finds):
        theirs.close()
    token = new_token()
    address = f"http://{HOST}:{port}/?token={token}"
    reasons: list[str] = []

    def failed(reason: str) -> None:
        """End, once an open page has had time to say why as well."""
        reasons.append(reason)
        Timer(LINGER, setattr, [serving, "should_exit", True]).start()

    serving = page_server(server(port, token, asks, [frames, findings], failed))
    try:
        with suppress(KeyboardInterrupt):
            print(f"striate lab: {address}\nCtrl-C ends it.", flush=True)
            if browser:
                Timer(0.3, webbrowser.open, [address]).start()
            serving.run(sockets=[listening])
    finally:
        if not reasons:
            print("Ending, after the step under way.", flush=True)
        asks.close()
        for process in (trainer, examiner):
            process.join(GRACE)
            process.kill()
    if reasons:
        raise StriateError(reasons[0])


def page_server(app: Guard) -> uvicorn.Server:
    """What serves the page, in a process that from here on lets training go first."""
    with suppress(AttributeError, OSError):
        os.nice(NICE)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, ws_max_size=2**20, server_header=False
    )
    return uvicorn.Server(config)


def listening_at(port: int) -> socket.socket:
    """A socket of this machine alone.

    Raises:
        StriateError: the port is taken.
    """
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((HOST, port))
    except OSError as reason:
        made.close()
        raise StriateError(f"port {port} cannot be used: {reason.strerror}") from None
    made.listen(128)
    return made

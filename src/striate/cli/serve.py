"""`striate serve`: a network behind an address."""

from __future__ import annotations

from typing import Any

import click


@click.command("serve")
@click.argument("source", metavar="RUN|FILE.onnx")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: a free one."
)
@click.option(
    "--token", envvar="STRIATE_TOKEN", help="Ask for it, but for /health; also STRIATE_TOKEN."
)
@click.option("--name", "names", multiple=True, metavar="NAME", help="A proxy's; see the docs.")
@click.option("--workers", type=click.IntRange(1, 256), default=1, show_default=True, metavar="N")
@click.option("--threads", type=click.IntRange(0, 1024), default=0, metavar="N", help="A worker's.")
@click.option("--engine", default="auto", show_default=True, help="What computes the network.")
@click.option("--queue", type=click.IntRange(1), metavar="N", help="Images that may wait.")
@click.option("--body", metavar="BYTES", help="Of a request, at most: 16MiB, or a number.")
@click.option("--images", type=click.IntRange(1), metavar="N", help="In a request, at most.")
@click.option("--pixels", type=click.IntRange(1), metavar="N", help="Of an image, at most.")
@click.option("--seconds", type=click.FloatRange(0.1), metavar="N", help="For an answer, at most.")
def command(source: str, **options: Any) -> None:
    """Answer over HTTP what a network says of images.

    RUN is a run folder; FILE.onnx is what `striate export` wrote. POST /predict takes images; a
    browser shows a page to drop them on. Ctrl-C finishes what was accepted and ends it.
    """
    from striate.account import parse_memory
    from striate.serve.opening import Opening
    from striate.serve.serving import serve
    from striate.serve.settings import Limits, Settings

    given = {
        name: options[of]
        for name, of in (
            ("queue", "queue"),
            ("images", "images"),
            ("pixels", "pixels"),
            ("answer", "seconds"),
        )
        if options[of] is not None
    }
    if options["body"] is not None:
        given["body"] = parse_memory(options["body"])
    settings = Settings(
        host=options["host"],
        port=options["port"],
        token=options["token"],
        names=tuple(name.lower() for name in options["names"]),
        workers=options["workers"],
        threads=options["threads"],
        limits=Limits(**given),
    )
    if not settings.alone and settings.token is None:
        click.echo("whoever can reach this machine can ask: --token lets in only some", err=True)
    serve(Opening(source, options["engine"], settings.threads), settings)

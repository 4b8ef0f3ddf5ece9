"""`demo`: the page to draw on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from agents.cli.common import tell


def demo(
    host: Annotated[str, typer.Option(help="Address to listen at; another than this lets other machines in.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0 for any that is free.")] = 8000,
    index: Annotated[str, typer.Option(help="Index to search: a shipped name or a path.")] = "emoji",
    selector: Annotated[
        str | None, typer.Option(help="A shipped selector (emoji), a path or fixed:64; default: the shipped ones.")
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option(help="A further host name under which browsers may ask; repeatable.")
    ] = None,
    rate: Annotated[float, typer.Option(help="Searches a second for each client, in the long run.")] = 10.0,
) -> None:
    """Serve a page to draw on (extra 'demo').

    It shows the canvas chosen, what that cost and the photos found.

    Example: sketchcanvas demo --port 8080
    """
    try:
        from agents.web.app import LOOPBACK, create_app
        from agents.web.limits import Limits
        from agents.web.server import ANY, listen, serve, url_of
    except ModuleNotFoundError as error:
        raise ImportError(f"the page needs {error.name}: pip install 'sketchcanvas[demo]'") from None
    import torch

    from agents.search.pipeline import Pipeline

    limits = Limits(rate=rate, burst=max(2 * rate, 1.0))
    # First of all, so that a port that is taken is told at once.
    listening = listen(host, port)
    # Several people search at once: a thread each, and milliseconds that compare with those of the reports.
    torch.set_num_threads(1)
    app = create_app(Pipeline.load(index, selector), limits, [*LOOPBACK, host, *(name or ())])
    if host not in LOOPBACK:
        tell(_who_can_ask([one for one in (host, *(name or ())) if one not in ANY]))
    tell(f"Draw at {url_of(listening)} (Ctrl+C ends it).")
    serve(app, listening)


def _who_can_ask(names: Sequence[str]) -> str:
    """What to say to somebody who lets other machines in."""
    asked = f"under {', '.join(names)}" if names else "under no name yet"
    return f"Other machines can search now, {asked}; allow a further name or address with --name, or it is refused."

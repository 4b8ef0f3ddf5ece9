"""Pictures of the page, made by a real browser: `python -m tests.tools.screenshot OUT.png` makes the README's.

It needs the extra `test` (playwright) and a Chromium on the PATH; playwright's own downloads are not used.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sketchcanvas_env.storage.files import atomic_write

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
"""Names that a Chromium goes by."""

EXAMPLE = "Example: four leaf clover"
"""How the label of the example begins that is shown."""

WIDTH, HEIGHT = 1200, 1000
SECONDS = 30.0
"""What a page may take to answer."""


def find_browser() -> str | None:
    """The path of a Chromium, None where there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """A Chromium without a window.

    Raises:
        FileNotFoundError: there is none on the PATH.
        ModuleNotFoundError: playwright is not installed.
    """
    from playwright.sync_api import sync_playwright

    path = find_browser()
    if path is None:
        raise FileNotFoundError(f"no browser: none of {', '.join(BROWSERS)} is on the PATH")
    with sync_playwright() as playwright:
        # Root, as in a container, has no sandbox to run a browser in; it opens our own page only.
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield opened
        finally:
            opened.close()


def wait_for_answer(page: Page) -> None:
    """Until the page shows what was found, every photo included, and has said so."""
    page.wait_for_function(
        """() => {
            const photos = [...document.querySelectorAll("#answer img")];
            const told = document.querySelector("#status").textContent.includes(" pixels, ");
            return told && photos.length && photos.every((photo) => photo.complete && photo.naturalWidth);
        }""",
        timeout=1e3 * SECONDS,
    )


def wait_for_fixed(page: Page) -> None:
    """Until the page says what the answer took beside a search on the fixed canvas."""
    page.wait_for_function(
        "() => document.querySelector('#milliseconds-fixed').textContent.includes('% of a fixed')",
        timeout=1e3 * SECONDS,
    )


def take(path: str | Path, opened: Browser, url: str) -> None:
    """A picture of the whole page with the answer to an example.

    Args:
        path: the PNG file.
        opened: takes it.
        url: of the page.

    Raises:
        playwright.sync_api.Error: the page did not answer.
    """
    with opened.new_page(viewport={"width": WIDTH, "height": HEIGHT}) as page:
        page.goto(url)
        example = page.get_by_label(EXAMPLE).first
        example.click()
        wait_for_answer(page)
        page.wait_for_timeout(1e3)
        # The browser is done with loading by now and leaves the processor to the search that is shown.
        with page.expect_response("**/api/search"):
            example.click()
        wait_for_answer(page)
        wait_for_fixed(page)
        page.wait_for_timeout(1e3)
        with atomic_write(path) as temporary:
            temporary.write_bytes(page.screenshot(full_page=True, animations="disabled"))


def main(arguments: list[str]) -> None:
    """The command line."""
    from agents.search.pipeline import Pipeline
    from agents.web.app import create_app
    from tests.agents.web.serving import running

    if len(arguments) != 1:
        raise SystemExit("usage: python -m tests.tools.screenshot OUT.png")
    with running(create_app(Pipeline.load(threads=1))) as url, browser() as opened:
        take(arguments[0], opened, url)


if __name__ == "__main__":
    main(sys.argv[1:])

"""A page to draw on: `sketchcanvas demo` serves it.

`app` joins the page with a `agents.pipeline.Pipeline`; `messages` reads what a browser sends and writes what it gets
back; `limits` says what one request, one client and all of them together may cost; `server` runs it; `screenshot`
makes the README's picture of it. The page itself is `page.html`, `page.css` and `page.js`, as they stand.
"""

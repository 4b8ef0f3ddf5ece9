"""A page to draw on: `sketchcanvas demo` serves it.

`app` joins the page with an `agents.search.pipeline.Pipeline`; `messages` reads what a browser sends and writes what it
gets back; `limits` caps the cost of requests, `connections` what is held open; `server` runs it. The page itself is
`page.html`, `page.css` and `page.js`.
"""

"""A page to draw on: `sketchcanvas demo` serves it.

`app` connects the page with an `agents.search.pipeline.Pipeline`; `messages` parses requests and writes answers;
`limits` bounds the cost of requests, `connections` their number; `server` runs it. The page itself is `page.html`,
`page.css` and `page.js`.
"""

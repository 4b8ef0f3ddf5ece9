// The page's only script: a drawing as strokes, sent while it grows, and what comes back. No library, no build step.

const WAIT = 150; // milliseconds from a change to its search, and between searches
const QUIET = 600; // milliseconds without a change until the result is read out and the fixed canvas is timed
const INK = 0.0125; // line width as a share of the board, as the rasteriser has it
const STEP = 0.02; // of the pen that the arrow keys move, as a share of the board
const FAR = 0.1; // the same with Shift
const MAX_HISTORY = 500;

const at = (id) => document.getElementById(id);
const board = at("board");
const slider = at("tradeoff");

// What the server says when the page opens.
let server = { fixed_canvas: 256, max_strokes: 400, max_points: 4000, max_svg: 1 << 20, spacing: 1 / 256 };

// --- the drawing: an array of strokes, each an array of [x, y] from 0 to 1; a change makes a new array

let strokes = [];
let history = [];
let current = null; // the stroke that is being drawn, the last of `strokes`

function change(next) {
  history.push(strokes);
  if (history.length > MAX_HISTORY) history.shift();
  strokes = next;
  changed();
}

function changed() {
  at("undo").disabled = history.length === 0;
  at("clear").disabled = strokes.length === 0;
  at("hint").hidden = strokes.length > 0;
  redraw();
  searchSoon();
}

function undo() {
  if (!history.length) return;
  current = null;
  strokes = history.pop();
  complain("");
  changed();
}

function full(more) {
  const points = strokes.reduce((sum, stroke) => sum + stroke.length, 0);
  if (points + more <= server.max_points && strokes.length + (current ? 0 : 1) <= server.max_strokes) return false;
  complain(`The drawing is full: ${server.max_strokes} strokes and ${server.max_points} points at most.`);
  return true;
}

function penDown(point) {
  if (full(1)) return;
  current = [point];
  change([...strokes, current]);
}

function penTo(points) {
  let grown = false;
  for (const [x, y] of points) {
    const [lastX, lastY] = current[current.length - 1];
    if (Math.hypot(x - lastX, y - lastY) < server.spacing) continue;
    if (full(1)) break;
    current.push([x, y]);
    grown = true;
  }
  if (grown) changed();
}

function penUp() {
  current = null;
}

const unit = (value) => Math.round(Math.min(1, Math.max(0, value)) * 1e4) / 1e4;

// --- drawing with mouse, pen or finger

let pointer = null; // which one draws

function place(event) {
  const box = board.getBoundingClientRect();
  return [unit((event.clientX - box.left) / box.width), unit((event.clientY - box.top) / box.height)];
}

board.addEventListener("pointerdown", (event) => {
  if (pointer !== null || event.button !== 0) return;
  event.preventDefault(); // no selection; the focus is set by hand
  board.focus({ preventScroll: true });
  cross = null;
  pointer = event.pointerId;
  board.setPointerCapture(pointer);
  penDown(place(event));
});

board.addEventListener("pointermove", (event) => {
  if (event.pointerId !== pointer || !current) return;
  const between = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
  penTo((between.length ? between : [event]).map(place));
});

for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
  board.addEventListener(end, (event) => {
    if (event.pointerId !== pointer) return;
    pointer = null;
    penUp();
  });
}

// --- drawing with the keyboard

let cross = null; // where the pen is; null while a pointer is used
let home = [0.5, 0.5];

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

board.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || pointer !== null) return;
  const arrow = ARROWS[event.key];
  if (arrow) {
    const step = event.shiftKey ? FAR : STEP;
    cross = cross ?? home;
    cross = home = [unit(cross[0] + arrow[0] * step), unit(cross[1] + arrow[1] * step)];
    if (current) penTo([cross]);
    redraw();
  } else if (event.key === " " || event.key === "Enter") {
    cross = cross ?? home;
    if (current) penUp();
    else penDown(cross);
    say(current ? "down" : "up");
    redraw();
  } else if (event.key === "Escape" && current) {
    penUp();
    say("up");
    redraw();
  } else {
    return;
  }
  event.preventDefault();
});

board.addEventListener("focus", () => {
  if (board.matches(":focus-visible")) cross = home;
  redraw();
});

board.addEventListener("blur", () => {
  if (pointer === null) penUp();
  cross = null;
  redraw();
});

document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "z") {
    event.preventDefault();
    undo();
  }
});

function say(state) {
  const [x, y] = cross.map((share) => Math.round(100 * share));
  at("pen").textContent = `Pen ${state}, ${x} percent across, ${y} percent down.`;
}

// --- the board's picture

let frame = 0;

function redraw() {
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    const side = Math.round(board.clientWidth * devicePixelRatio);
    if (board.width !== side || board.height !== side) board.width = board.height = side;
    const pen = board.getContext("2d");
    pen.clearRect(0, 0, side, side);
    pen.lineWidth = Math.max(1, INK * side);
    pen.lineCap = pen.lineJoin = "round";
    pen.strokeStyle = "#000";
    for (const stroke of strokes) {
      pen.beginPath();
      pen.moveTo(stroke[0][0] * side, stroke[0][1] * side);
      for (const [x, y] of stroke.length > 1 ? stroke.slice(1) : stroke) pen.lineTo(x * side, y * side);
      pen.stroke();
    }
    if (cross) crosshair(pen, cross[0] * side, cross[1] * side, side * 0.03);
  });
}

function crosshair(pen, x, y, arm) {
  pen.lineWidth = 2 * devicePixelRatio;
  pen.strokeStyle = "#0b5aa8";
  pen.beginPath();
  for (const [dx, dy] of Object.values(ARROWS)) {
    pen.moveTo(x + (dx * arm) / 3, y + (dy * arm) / 3);
    pen.lineTo(x + dx * arm, y + dy * arm);
  }
  pen.stroke();
  if (!current) return;
  pen.fillStyle = "#0b5aa8";
  pen.beginPath();
  pen.arc(x, y, arm / 3, 0, 2 * Math.PI);
  pen.fill();
}

new ResizeObserver(redraw).observe(board);

// --- searching: at most one request under way; a change meanwhile is sent when that has come back

let stale = false; // the drawing changed since it was last sent
let timer = 0;
let underWay = false;
let shown = null; // the answer on the page, while nothing has changed since

function searchSoon(wait = WAIT) {
  stale = true;
  shown = null;
  if (!timer && !underWay) timer = setTimeout(search, wait);
}

async function search() {
  timer = 0;
  stale = false;
  if (!strokes.length) {
    showNothing();
    return;
  }
  underWay = true;
  let wait = WAIT;
  try {
    const tradeoff = slider.classList.contains("untouched") ? null : Number(slider.value);
    const { answer, later } = await ask("api/search", "application/json", JSON.stringify({ strokes, tradeoff }));
    if (later) {
      stale = true;
      wait = 1000 * later;
    } else if (strokes.length) {
      if (complainer === "api/search") complain(""); // a refused file is still refused
      show(answer);
    }
  } catch (error) {
    complain(error.message, "api/search");
  }
  underWay = false;
  if (stale) searchSoon(wait);
}

// The time on the fixed canvas, for the answer on the page. A search of its own, alone and after a pause as the
// selector's was; nobody waits for it, and who draws on, or a server that is busy, does without.
async function timeFixed(answer) {
  if (shown !== answer) return;
  try {
    const response = await fetch("api/fixed", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ strokes }),
      signal: AbortSignal.timeout(20000),
    });
    const { milliseconds } = await response.json();
    if (response.ok && shown === answer) showBar("milliseconds", answer.milliseconds.total, milliseconds, "ms");
  } catch {
    // The search that comes next will say what is wrong.
  }
}

// The server's answer, or in how many seconds to ask again. Throws what is to be read by a person.
async function ask(path, type, body) {
  let response;
  let value;
  try {
    response = await fetch(path, {
      method: type ? "POST" : "GET",
      headers: type ? { "Content-Type": type } : {},
      body,
      signal: AbortSignal.timeout(20000),
    });
    value = await response.json();
  } catch {
    throw new Error("The server does not answer. Is it still running?");
  }
  if (response.ok) return { answer: value };
  const later = Number(response.headers.get("Retry-After"));
  if (!later) throw new Error(sentence(value.error));
  complain(`${sentence(value.error)} Asking again in ${later} s.`, path);
  return { later };
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1).replace(/\.?$/, ".");

let complainer = ""; // the request that the complaint is about, if it is about one

function complain(text, about = "") {
  complainer = about;
  if (at("trouble").textContent !== text) at("trouble").textContent = text;
}

// --- the answer

const number = (value, digits = 3) => String(Number(value.toPrecision(digits)));
const percent = (share) => `${number(100 * share, share < 1 ? 2 : 3)} %`;

function show(answer) {
  shown = stale ? null : answer;
  setTimeout(timeFixed, QUIET, answer);
  at("answer").hidden = at("spent").hidden = false;
  showRaster(answer);
  const side = server.fixed_canvas;
  showBar("gflops", answer.gflops, answer.fixed_gflops, "GFLOPs");
  showTime(answer.milliseconds.total);
  at("looks-title").textContent = answer.looks.length === 1 ? "One look" : `${answer.looks.length} looks`;
  at("looks").replaceChildren(
    ...answer.looks.map((look) => {
      const cost = `${number(look.gflops)} GFLOPs, ${number(look.milliseconds)} ms`;
      return make("li", {}, `${look.canvas} × ${look.canvas}: ${cost}, first ${look.first}`);
    }),
  );
  at("selector").textContent = answer.selector ? `Chosen by the selector ${answer.selector}.` : "";
  showPhotos(answer.hits);
  const near = answer.nothing_near ? "Nothing near; the nearest is" : "Nearest:";
  readOut(
    `${near} ${answer.hits[0].label}. ${answer.canvas} × ${answer.canvas} pixels, ` +
      `${percent(answer.gflops / answer.fixed_gflops)} of the compute of a fixed ${side}.`,
  );
}

function showNothing() {
  at("answer").hidden = at("spent").hidden = true;
  readOut("Draw a stroke, or start from an example.");
}

// Enlarged by a whole factor, so that every pixel stays a square of its own.
function showRaster({ canvas, raster }) {
  const box = matchMedia("(min-width: 56rem)").matches ? 256 : 128;
  const factor = Math.max(1, Math.floor(box / canvas));
  const picture = at("raster");
  picture.src = `data:image/png;base64,${raster}`;
  picture.width = picture.height = canvas * factor;
  picture.alt = `Your sketch as the student sees it, ${canvas} by ${canvas} pixels`;
  at("raster-size").textContent = `${canvas} × ${canvas} pixels, shown ${factor} times as large`;
  if (factor === 1) at("raster-size").textContent = `${canvas} × ${canvas} pixels, shown as they are`;
}

function showTime(milliseconds) {
  at("milliseconds").textContent = `${number(milliseconds)} ms`;
  at("milliseconds-bar").style.width = "0";
  at("milliseconds-fixed").textContent = `a fixed ${server.fixed_canvas} is timed once the drawing rests`;
}

function showBar(id, spent, fixed, what) {
  at(id).textContent = `${number(spent)} ${what}`;
  at(`${id}-bar`).style.width = `${100 * Math.min(1, spent / fixed)}%`;
  at(`${id}-fixed`).textContent = `${percent(spent / fixed)} of a fixed ${server.fixed_canvas} (${number(fixed)} ${what})`;
}

function showPhotos(hits) {
  const list = at("answer");
  while (list.children.length > hits.length) list.lastChild.remove();
  hits.forEach((hit, place) => {
    const item = list.children[place] ?? list.appendChild(emptyPhoto());
    const [picture, name, distance] = item.querySelectorAll("img, .name, .distance");
    // A picture that stays is not loaded anew.
    if (picture.dataset.photo !== hit.photo) {
      picture.dataset.photo = hit.photo;
      picture.src = `photo?id=${encodeURIComponent(hit.photo)}`;
      picture.alt = hit.label;
      name.textContent = name.title = hit.label;
    }
    distance.textContent = hit.distance.toFixed(3);
  });
}

function emptyPhoto() {
  const caption = make("figcaption", {});
  // The picture's own text says the name already.
  caption.append(make("span", { className: "name", ariaHidden: "true" }), make("span", { className: "distance" }));
  const figure = make("figure", {});
  figure.append(make("img", { alt: "", decoding: "async" }), caption);
  const item = make("li", {});
  item.append(figure);
  return item;
}

let quiet = 0;

// Screen readers read the status out: once the drawing rests, not at each of its changes.
function readOut(text) {
  clearTimeout(quiet);
  quiet = setTimeout(() => {
    at("status").textContent = text;
  }, QUIET);
}

function make(tag, properties, text = "") {
  const element = Object.assign(document.createElement(tag), properties);
  if (text) element.textContent = text;
  return element;
}

// --- buttons, slider, files

at("undo").addEventListener("click", undo);

at("clear").addEventListener("click", () => {
  current = null;
  complain("");
  change([]);
  board.focus(); // the button is disabled now and would lose it
});

slider.addEventListener("input", () => {
  slider.classList.remove("untouched");
  showTradeoff();
});

at("default").addEventListener("click", () => {
  slider.classList.add("untouched");
  showTradeoff();
  slider.focus();
});

function showTradeoff() {
  const untouched = slider.classList.contains("untouched");
  const text = untouched ? "default selector" : `${Number(slider.value).toFixed(2)}, told to the selector`;
  at("tradeoff-said").textContent = text;
  slider.setAttribute("aria-valuetext", text);
  at("default").classList.toggle("unneeded", untouched); // its place stays, or the slider would move
  searchSoon();
}

at("open").addEventListener("click", () => at("file").click());

at("file").addEventListener("change", () => {
  const [file] = at("file").files;
  at("file").value = ""; // so that the same file can be chosen again
  if (file) load(file, strokes);
});

// A file in place of `drawing`; who draws on meanwhile keeps what was drawn.
async function load(file, drawing) {
  try {
    if (file.size > server.max_svg) throw new Error(`It is larger than ${server.max_svg >> 20} MiB.`);
    const text = await file.text();
    if (!/<([\w-]+:)?svg[\s>/]/i.test(text)) throw new Error("This is no SVG.");
    const { answer, later } = await ask("api/svg", "image/svg+xml", text);
    if (strokes !== drawing) return;
    if (later) {
      setTimeout(load, 1000 * later, file, drawing);
      return;
    }
    complain("");
    current = null;
    change(answer.strokes);
  } catch (error) {
    complain(`${file.name} was not loaded. ${error.message}`);
  }
}

// --- examples

const SVG = "http://www.w3.org/2000/svg";

function showExamples(examples) {
  for (const level of new Set(examples.map((example) => example.level))) {
    const sketches = examples.filter((example) => example.level === level);
    const kind = level ? "synthetic freehand" : "designers' line art";
    const group = make("div", {});
    const row = make("div", { className: "row" });
    row.append(...sketches.map((example) => exampleButton(example, kind)));
    group.append(make("h3", {}, `Level ${level}, ${kind}`), row);
    at("examples").append(group);
  }
}

function exampleButton(example, kind) {
  const button = make("button", { type: "button", title: `${example.label}, level ${example.level}` });
  button.setAttribute("aria-label", `Example: ${example.label}, level ${example.level}, ${kind}`);
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("viewBox", "0 0 1 1");
  picture.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  // A lone point is a line to itself, which a round cap makes a dot.
  const lines = example.strokes.map(([first, ...rest]) => `M${first}L${rest.length ? rest.join(" ") : first}`);
  path.setAttribute("d", lines.join(""));
  picture.append(path);
  button.append(picture);
  button.addEventListener("click", () => {
    current = null;
    complain("");
    change(example.strokes);
  });
  return button;
}

// --- start

try {
  const { answer, later } = await ask("api/start");
  if (later) throw new Error("The server is busy. Load the page again in a moment.");
  server = answer;
  at("index").textContent = `the ${server.index.photos.toLocaleString("en")} photos of the index ${server.index.name}`;
  at("trained").textContent = server.trained;
  slider.disabled = !server.tradeoff;
  if (!server.tradeoff) at("tradeoff-said").textContent = "not known to this server's selector";
  showExamples(server.examples);
} catch (error) {
  complain(error.message);
}

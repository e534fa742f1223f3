// How the Play page looks: controls, canvases, captions, curves. No arithmetic of its own.
"use strict";

const $ = (id) => document.getElementById(`play-${id}`);
const percent = (p) => `${(100 * p).toFixed(0)}\u00a0%`;
const plain = (name) => name.split(".").pop().replaceAll("_", " ");
const likeness = (r) => (Number.isNaN(r) ? "none: a map is empty" : r.toFixed(2));

/** An element with attributes and children; SVG's too. */
function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "path", "text", "line", "g"].includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const Page = {
  build() {
    PLAY.networks.forEach((network) => {
      $("names").append(make("th", { scope: "col", class: network.name }, network.label));
    });
    for (const row of ["clean", "near"]) {
      for (const network of PLAY.networks) {
        const cell = make("td", {}, make("canvas", { role: "img" }), make("ol"));
        $(row).append(cell);
      }
    }
    PLAY.networks.forEach(() => $("likeness").append(make("td")));
    for (const [name, { label }] of Object.entries(NEIGHBORS)) $("kind").append(make("option", { value: name }, label));
    PLAY.pictures.forEach((_, i) => Page.thumbnail(i));

    $("kind").addEventListener("change", () => Page.kind($("kind").value));
    $("strength").addEventListener("input", () => Page.strength(Number($("strength").value)));
    $("again").addEventListener("click", () => (Play.state.seed++, update()));
    $("file").addEventListener("change", () => [...$("file").files].forEach(take));
    for (const name of ["dragover", "drop"]) $("drop").addEventListener(name, (event) => event.preventDefault());
    for (const [name, over] of [["dragenter", true], ["dragover", true], ["dragleave", false], ["drop", false]])
      $("drop").addEventListener(name, () => $("drop").classList.toggle("over", over));
    $("drop").addEventListener("drop", (event) => [...event.dataTransfer.files].forEach(take));
    Page.kind(Play.state.kind);
    $("pictures").querySelector("input").checked = true;
    $("body").hidden = false;
    Page.status("");
  },

  /** A radio button that shows a picture. */
  thumbnail(i) {
    const { label, name } = PLAY.pictures[i];
    const text = name ?? plain(PLAY.classes[label]);
    const button = make("input", { type: "radio", name: "play-picture", value: i, "aria-label": text });
    button.addEventListener("change", () => Page.choose(i));
    const canvas = make("canvas", { title: text });
    paint(canvas, PLAY.pictures[i].pixels);
    $("pictures").append(make("label", {}, button, canvas));
  },

  choose(i) {
    $("pictures").querySelectorAll("input")[i].checked = true;
    Play.state.picture = i;
    update();
  },

  kind(name) {
    const { least, most, step, start, random } = NEIGHBORS[name];
    Object.assign($("strength"), { min: least, max: most, step });
    $("strength").value = start;
    $("again").disabled = !random;
    Play.state.kind = name;
    Page.strength(start);
  },

  strength(value) {
    const text = `${value} ${NEIGHBORS[Play.state.kind].unit}`;
    $("value").textContent = text;
    $("strength").setAttribute("aria-valuetext", text);
    Play.state.strength = value;
    update();
  },

  results({ picture, kind }, looks) {
    const { pixels, label, name } = PLAY.pictures[picture];
    const truth = label === null ? `${name}, of no known class` : plain(PLAY.classes[label]);
    paint($("picture"), pixels);
    paint($("neighbor"), looks[0].neighbor);
    $("picture").setAttribute("aria-label", `the picture: ${truth}`);
    $("neighbor").setAttribute("aria-label", `its neighbour: ${NEIGHBORS[kind].label}`);
    $("truth").textContent = truth;
    $("aim").textContent = kind === "fgsm" ? `${NEIGHBORS[kind].label}, here aimed at ${PLAY.networks[0].label}` : NEIGHBORS[kind].label;
    looks.forEach((look, n) => {
      for (const [row, shown, { map, chances }] of [["clean", pixels, look.clean], ["near", look.neighbor, look.near]]) {
        const cell = $(row).cells[n + 1];
        paint(cell.firstChild, shown, map);
        cell.firstChild.setAttribute("aria-label", `where ${PLAY.networks[n].label} looks: ${where(map)}`);
        cell.lastChild.replaceChildren(...said(chances, label));
      }
      $("likeness").cells[n + 1].textContent = likeness(look.similarity);
    });
  },

  spent(milliseconds) {
    $("spent").textContent = `${milliseconds.toFixed(0)} ms`;
  },

  /** For those who do not see it; spoken when the slider rests. */
  say({ kind, strength }, looks) {
    const parts = looks.map(({ near, similarity, label }, n) => {
      const best = near.chances.indexOf(Math.max(...near.chances));
      const same = best === label ? "still" : "now";
      return `${PLAY.networks[n].label} ${same} says ${plain(PLAY.classes[best])}, ${percent(near.chances[best])}; its maps correlate ${likeness(similarity)}`;
    });
    Page.status(`${NEIGHBORS[kind].label}, ${strength}: ${parts.join(". ")}.`);
  },

  status(text) {
    $("status").textContent = text;
  },

  /** Two small charts over the slider's range: map similarity, and the probability of the class. */
  curves({ kind, strength }, curve) {
    const { least, most, label } = NEIGHBORS[kind];
    const charts = [
      ["map similarity", (look) => look.similarity],
      ["probability of the class", (look) => look.near.chances[look.label]],
    ].map(([title, value]) => chart(title, PLAY.networks.map((network, n) => ({
      network, points: curve.map(({ strength: x, looks }) => ({ x: (x - least) / (most - least), y: value(looks[n]) })),
    })), (strength - least) / (most - least), [least, most], label));
    $("curves").replaceChildren(...charts);
  },
};

/** A picture, and over it a heat map at half its strength. */
function paint(canvas, picture, map) {
  canvas.width = canvas.height = PLAY.size;
  const area = PLAY.size ** 2;
  const pixels = Pixels.of(picture);
  const image = new ImageData(PLAY.size, PLAY.size);
  for (let i = 0; i < area; i++) {
    for (let c = 0; c < 3; c++) {
      const colour = 255 * pixels[c * area + i];
      image.data[4 * i + c] = map ? (colour + PLAY.turbo[Math.round(255 * map[i])][c]) / 2 : colour;
    }
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** In words, where a map is hottest. */
function where(map) {
  const hottest = map.indexOf(Math.max(...map));
  if (!map[hottest]) return "nowhere, the map is empty";
  const third = (place) => Math.min(Math.floor((3 * place) / PLAY.size), 2);
  const row = ["upper", "middle", "lower"][third(Math.floor(hottest / PLAY.size))];
  const column = ["left", "middle", "right"][third(hottest % PLAY.size)];
  return `hottest at the ${row === column ? "middle" : `${row} ${column}`}`;
}

/** The two likeliest classes, the true one marked by more than a colour. */
function said(chances, label) {
  const best = chances.map((p, i) => [p, i]).sort((a, b) => b[0] - a[0]).slice(0, 2);
  return best.map(([p, i]) => {
    const right = i === label;
    return make("li", { class: label === null ? "" : right ? "right" : "wrong" }, `${right ? "✓ " : ""}${plain(PLAY.classes[i])} ${percent(p)}`);
  });
}

function chart(title, lines, at, [least, most], label) {
  const [width, height, left, bottom] = [300, 150, 30, 130];
  const low = Math.min(0, ...lines.flatMap(({ points }) => points.map(({ y }) => y).filter(Number.isFinite)));
  const X = (x) => left + x * (width - left - 10);
  const Y = (y) => bottom - ((y - low) / (1 - low)) * (bottom - 12);
  const text = (x, y, anchor, words) => make("text", { x, y, "text-anchor": anchor }, words);
  const spoken = lines.map(({ network, points }) => `${network.label} from ${likeness(points[0].y)} to ${likeness(points.at(-1).y)}`).join(", ");
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title} along the slider: ${spoken}` });
  for (const y of [low, 0, 1].filter((value, i) => i || value < -0.1)) {
    svg.append(make("line", { x1: X(0), x2: X(1), y1: Y(y), y2: Y(y), class: "grid" }), text(left - 4, Y(y) + 3, "end", y.toFixed(y % 1 ? 1 : 0)));
  }
  svg.append(make("line", { x1: X(at), x2: X(at), y1: Y(low), y2: Y(1), class: "now" }));
  for (const { network, points } of lines) {
    const known = points.filter(({ y }) => Number.isFinite(y));
    const d = known.map(({ x, y }, i) => `${i ? "L" : "M"}${X(x).toFixed(1)} ${Y(y).toFixed(1)}`).join("");
    svg.append(make("path", { d, class: network.name }));
  }
  svg.append(text(X(0), height - 6, "start", least), text(X(1), height - 6, "end", most), text(X(0.5), height - 6, "middle", label));
  return make("figure", {}, make("figcaption", {}, title), svg);
}

// The Play page: a picture, its neighbour, and what three networks make of both, in the browser.
// PLAY (networks, pictures, colours) and RUNTIME (onnxruntime's parts) are made by workflow/site.
"use strict";

const Play = { state: { picture: 0, kind: "gaussian", strength: 0.15, seed: 1 }, shown: null };

/** What a network says of a picture: A, logits, gradient of the cross-entropy of a class. */
async function run(network, picture, label) {
  const onehot = new Float32Array(PLAY.classes.length);
  onehot[label] = 1;
  const tensor = (values, dims) => new ort.Tensor("float32", values, dims);
  const found = await network.session.run({
    images: tensor(picture, [1, 3, PLAY.size, PLAY.size]), labels: tensor(onehot, [1, onehot.length]),
  });
  const [activations, logits, gradient] = ["activations", "logits", "gradient"].map((name) => found[name].data);
  return { activations, gradient, chances: Maps.softmax(logits) };
}

/** The clean picture through every network; remembered, since the sliders do not change it. */
async function clean(picture) {
  picture.seen ??= await Promise.all(PLAY.networks.map(async (network) => {
    const first = await run(network, picture.pixels, picture.label ?? 0);
    const label = picture.label ?? first.chances.indexOf(Math.max(...first.chances));
    const seen = picture.label === null ? await run(network, picture.pixels, label) : first;
    return { ...seen, label, map: Maps.gradCam(seen.activations, network.weights[label], PLAY.size) };
  }));
  return picture.seen;
}

/** The neighbours of a picture at a strength, one a network (FGSM's differ), and what is said of them. */
async function look({ picture, kind, strength, seed }) {
  const given = PLAY.pictures[picture];
  const before = await clean(given);
  return Promise.all(PLAY.networks.map(async (network, n) => {
    const { label, gradient, map, chances } = before[n];
    const neighbor = NEIGHBORS[kind].make(given.pixels, strength, { random: new Random(seed), gradient });
    const after = await run(network, neighbor, label);
    const moved = Maps.gradCam(after.activations, network.weights[label], PLAY.size);
    const similarity = Maps.similarity(map, moved);
    return { label, neighbor, clean: { map, chances }, near: { map: moved, chances: after.chances }, similarity };
  }));
}

/** Show the present state; what changes meanwhile is shown once this is done. */
async function update() {
  if (Play.busy) return void (Play.again = true);
  Play.busy = true;
  do {
    Play.again = false;
    const state = { ...Play.state };
    const started = performance.now();
    const looks = await look(state);
    Page.results(state, looks);
    Play.shown = { state, looks, milliseconds: performance.now() - started };
    Page.spent(Play.shown.milliseconds);
  } while (Play.again);
  Play.busy = false;
  clearTimeout(Play.later);
  Play.later = setTimeout(afterwards, 300); // when the slider rests
}

/** The same along the whole slider, and a sentence for those who listen. */
async function afterwards() {
  const { state, looks } = Play.shown;
  Page.say(state, looks);
  const { least, most, step } = NEIGHBORS[state.kind];
  const steps = Math.min(Math.round((most - least) / step), 12);
  const curve = [];
  for (let i = 0; i <= steps; i++) {
    if (Play.busy || Play.shown.state !== state) return; // it moves again
    const strength = least + (i * (most - least)) / steps;
    curve.push({ strength, looks: await look({ ...state, strength }) });
  }
  Page.curves(state, curve);
}

/** Bytes of a gzipped base64 text. */
async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

/** A standardised picture of bytes: size x size x `stride` (RGB, or RGBA as a canvas has it). */
function standardised(bytes, stride) {
  const area = PLAY.size ** 2;
  return Float32Array.from({ length: 3 * area }, (_, i) => {
    const channel = Math.floor(i / area);
    return (bytes[(i % area) * stride + channel] / 255 - PLAY.mean[channel]) / PLAY.std[channel];
  });
}

/** Take a file of the visitor's: squashed to the networks' size, of no known class. */
async function take(file) {
  let image;
  try {
    image = await createImageBitmap(file, { resizeWidth: PLAY.size, resizeHeight: PLAY.size, resizeQuality: "high" });
  } catch {
    return Page.status(`${file.name} is no picture that this browser can read: try a JPEG or PNG.`);
  }
  const canvas = new OffscreenCanvas(PLAY.size, PLAY.size).getContext("2d");
  canvas.fillStyle = "white"; // behind what is transparent
  canvas.fillRect(0, 0, PLAY.size, PLAY.size);
  canvas.drawImage(image, 0, 0);
  const { data } = canvas.getImageData(0, 0, PLAY.size, PLAY.size);
  PLAY.pictures.push({ pixels: standardised(data, 4), label: null, name: file.name });
  Page.thumbnail(PLAY.pictures.length - 1);
  Page.choose(PLAY.pictures.length - 1);
}

async function start() {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = await unpack(RUNTIME.wasm);
  const glue = new Blob([await unpack(RUNTIME.glue)], { type: "text/javascript" });
  ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(glue) };
  for (const network of PLAY.networks) {
    network.session = await ort.InferenceSession.create(await unpack(network.onnx), { executionProviders: ["wasm"] });
  }
  for (const picture of PLAY.pictures) {
    const bytes = Uint8Array.from(atob(picture.bytes), (letter) => letter.charCodeAt(0));
    picture.pixels = standardised(bytes, 3);
  }
  Page.build();
}

document.addEventListener("DOMContentLoaded", () =>
  start().catch((error) => {
    Page.status(`The networks could not be started: ${error.message}`);
    throw error;
  }));

// What the answer of a network comes to. The definitions are those of innt_lib.explain, which a test
// in a browser compares with these.
"use strict";

const Maps = {
  /** Probabilities of logits. */
  softmax(logits) {
    const top = Math.max(...logits);
    const weights = Array.from(logits, (value) => Math.exp(value - top));
    const total = weights.reduce((a, b) => a + b);
    return weights.map((weight) => weight / total);
  },

  /** Grad-CAM: the maps A (K, h, h), weighted by a class's alpha (K), rectified, at size x size. */
  gradCam(activations, alpha, size) {
    const positions = activations.length / alpha.length;
    const heat = new Float32Array(positions);
    for (let k = 0; k < alpha.length; k++)
      for (let i = 0; i < positions; i++) heat[i] += alpha[k] * activations[k * positions + i];
    for (let i = 0; i < positions; i++) heat[i] = Math.max(heat[i], 0);
    return Maps.scale(Maps.resize(Maps.scale(heat), Math.sqrt(positions), size));
  },

  /** In place, from the minimum at 0 to the maximum at 1; a flat map becomes 0. */
  scale(map) {
    const least = Math.min(...map);
    const range = Math.max(...map) - least || 1;
    return map.forEach((value, i) => (map[i] = (value - least) / range)), map;
  },

  /** A square map, bilinearly from side h to side H; pixels are areas, not corners. */
  resize(map, h, H) {
    const places = Array.from({ length: H }, (_, i) => {
      const at = Math.max(((i + 0.5) * h) / H - 0.5, 0);
      const low = Math.floor(at);
      return { low, high: Math.min(low + 1, h - 1), part: at - low };
    });
    const between = (a, b, part) => a + part * (b - a);
    const large = new Float32Array(H * H);
    places.forEach((y, row) =>
      places.forEach((x, column) => {
        const [above, below] = [y.low, y.high].map((line) =>
          between(map[line * h + x.low], map[line * h + x.high], x.part));
        large[row * H + column] = between(above, below, y.part);
      }));
    return large;
  },

  /** Pearson's correlation over pixels; NaN where a map is flat. */
  similarity(a, b) {
    const mean = (map) => map.reduce((x, y) => x + y, 0) / map.length;
    const [ma, mb] = [mean(a), mean(b)];
    let [ab, aa, bb] = [0, 0, 0];
    a.forEach((value, i) => {
      ab += (value - ma) * (b[i] - mb);
      aa += (value - ma) ** 2;
      bb += (b[i] - mb) ** 2;
    });
    return ab / Math.sqrt(aa * bb);
  },
};

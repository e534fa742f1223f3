// What stands near a picture. The definitions are those of innt_lib.neighbors, which a test in a browser
// compares with these. A picture is a Float32Array (3, size, size), standardised.
"use strict";

/** Random numbers that a seed decides on (Mulberry32), so that a slider moves one draw, not many. */
class Random {
  constructor(seed) {
    this.state = seed;
  }
  /** Uniform in [0, 1). */
  uniform() {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
  /** Standard normal (Box and Muller 1958). */
  normal() {
    return Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
  }
  /** Poisson of a small mean: how many uniform factors until their product is below exp(-mean). */
  poisson(mean) {
    const limit = Math.exp(-mean);
    let count = 0;
    for (let product = this.uniform(); product > limit; product *= this.uniform()) count++;
    return count;
  }
}

/** Between standardised values and pixels in [0, 1], channel by channel. */
const Pixels = {
  of: (picture) => picture.map((x, i) => Math.min(Math.max(x * Pixels.std(i, picture) + Pixels.mean(i, picture), 0), 1)),
  /** Clipped and rounded to 8 bits, as every corruption ends. */
  standardised: (pixels) => pixels.map((p, i) => {
    const level = Math.min(Math.max(Math.floor(p * 255 + 0.5), 0), 255) / 255;
    return (level - Pixels.mean(i, pixels)) / Pixels.std(i, pixels);
  }),
  mean: (i, picture) => PLAY.mean[Math.floor((3 * i) / picture.length)],
  std: (i, picture) => PLAY.std[Math.floor((3 * i) / picture.length)],
};

/** By name: label, the slider's range and start, its unit, and the neighbour of a picture. */
const NEIGHBORS = {
  gaussian: {
    label: "Gaussian noise", least: 0, most: 0.5, step: 0.01, start: 0.15, unit: "of the picture's range", random: true,
    make(picture, strength, { random }) {
      const spread = Math.max(...picture) - Math.min(...picture);
      return picture.map((x) => x + strength * spread * random.normal());
    },
  },
  neighborhood: {
    label: "neighborhood noise", least: 0, most: 3, step: 0.05, start: 1, unit: "of each value", random: true,
    make: (picture, strength, { random }) => picture.map((x) => x * (1 + strength * (2 * random.uniform() - 1))),
  },
  shot: {
    label: "shot noise", least: 1, most: 5, step: 1, start: 3, unit: "of 5 (ImageNet-C)", random: true,
    make(picture, strength, { random }) {
      const photons = [60, 25, 12, 5, 3][strength - 1];
      return Pixels.standardised(Pixels.of(picture).map((p) => random.poisson(p * photons) / photons));
    },
  },
  gaussian_blur: {
    label: "Gaussian blur", least: 1, most: 5, step: 1, start: 3, unit: "of 5 (ImageNet-C)", random: false,
    make(picture, strength) {
      const size = Math.sqrt(picture.length / 3);
      const kernel = blurKernel([1, 2, 3, 4, 6][strength - 1], Math.min(1, size / 224));
      const rows = along(Pixels.of(picture), size, kernel, 1);
      return Pixels.standardised(along(rows, size, kernel, size));
    },
  },
  fgsm: {
    label: "FGSM attack", least: 0, most: 16, step: 0.5, start: 2, unit: "/ 255 a pixel", random: false,
    // Aimed at each network: its own gradient.
    make: (picture, strength, { gradient }) => picture.map((x, i) => {
      const [mean, std] = [Pixels.mean(i, picture), Pixels.std(i, picture)];
      const moved = x + (strength / 255 / std) * Math.sign(gradient[i]);
      return Math.min(Math.max(moved, Math.min(-mean / std, x)), Math.max((1 - mean) / std, x));
    }),
  },
};

/** Weights of a Gaussian for 224 px, from -4 to 4 deviations, their places shrunk by a scale. */
function blurKernel(deviation, scale) {
  const reach = Math.floor(4 * deviation + 0.5);
  const half = Math.ceil(reach * scale);
  const kernel = new Float64Array(2 * half + 1);
  for (let i = -reach; i <= reach; i++)
    for (let j = -half; j <= half; j++)
      kernel[j + half] += Math.exp((-i * i) / (2 * deviation ** 2)) * Math.max(1 - Math.abs(i * scale - j), 0);
  const total = kernel.reduce((a, b) => a + b);
  return kernel.map((weight) => weight / total);
}

/** Correlation with a kernel along rows (stride 1) or columns (stride size); edge pixels go on beyond. */
function along(pixels, size, kernel, stride) {
  const half = (kernel.length - 1) / 2;
  return pixels.map((_, i) => {
    const place = Math.floor(i / stride) % size;
    const at = (j) => pixels[i + (Math.min(Math.max(place + j, 0), size - 1) - place) * stride];
    return kernel.reduce((sum, weight, j) => sum + weight * at(j - half), 0);
  });
}

/**
 * What the rows need and JavaScript's Math lacks: functions that C and Python have, and Python's
 * way to slice a list.  rows.js, which is made from the table, imports what it uses.
 */

/**
 * A row of the table: its value, and its partials by argument or for several arguments at once.
 *
 * @typedef {object} Row
 * @property {(...args: number[]) => number} value
 * @property {(((...args: number[]) => number) | null)[]} [partials]
 * @property {(args: number[], y: number, linked: number[]) => number[]} [variadic]
 * @property {(...args: number[]) => number} [selects]
 * @property {(...args: number[]) => boolean} [takes]
 */

/** @param {number} x @param {number} y */
export function copysign(x, y) {
  const negative = y < 0 || Object.is(y, -0);
  return negative ? -Math.abs(x) : Math.abs(x);
}

/** @param {number} a @param {number} b */
export function fmod(a, b) {
  return a % b;
}

/** @param {number} x */
export function isinf(x) {
  return x === Infinity || x === -Infinity;
}

const AFTER_TWO = [
  2, 6, 24, 120, 720, 5040, 40320, 362880, 3628800, 39916800, 479001600, 6227020800,
].map((factorial) => 1 / factorial); // the series of e**r from r**2 on
const LN2_HIGH = 6.93147180369123816490e-1; // its last 32 bits are 0, so k times it is exact
const LN2_LOW = 1.90821492927058770002e-10;

/**
 * e to the power of x, to little more than half a unit in the last place, which Math.exp is not:
 * sums of its results would drift away from Python's.  x = k ln 2 + r, and r has a tail.
 *
 * @param {number} x
 */
export function exponential(x) {
  if (!(Math.abs(x) < 746)) return x > 0 ? Infinity : x < 0 ? 0 : x;
  const k = Math.round(x / Math.LN2);
  const high = x - k * LN2_HIGH;
  const low = k * LN2_LOW;
  const r = high - low;
  const tail = high - r - low;
  const rest = r * r * polynomial(AFTER_TWO, r) + (tail + r * tail);
  const one = 1 + r;
  const found = one + (1 - one + r + rest);
  const half = Math.trunc(k / 2); // 2**k alone may leave the range
  return found * 2 ** half * 2 ** (k - half);
}

/**
 * The power of C: 1 to any power is 1, and so is -1 to an infinite one.
 *
 * @param {number} x @param {number} p
 */
export function pow(x, p) {
  if (x === 1 || (x === -1 && isinf(p))) return 1;
  return x ** p;
}

/**
 * The length of a vector of two, scaled by a power of 2 where a square would leave the range.
 *
 * @param {number} a @param {number} b
 */
export function hypot(a, b) {
  if (isinf(a) || isinf(b)) return Infinity;
  const x = Math.max(Math.abs(a), Math.abs(b));
  const y = Math.min(Math.abs(a), Math.abs(b));
  if (!(y > 0)) return x; // also where one is a nan
  const scale = x > 2 ** 500 ? 2 ** 600 : y < 2 ** -450 ? 2 ** -600 : 1;
  if (x / y > 2 ** 60) return x + y;
  const [p, q] = [x / scale, y / scale];
  return scale * Math.sqrt(p * p + q * q);
}

// --- the error function ---------------------------------------------------------------------------
// The approximations of FreeBSD's msun, file s_erf.c (Sun Microsystems, 1993): rational functions on
// five intervals, with an error below one unit in the last place.

const ERX = 8.45062911510467529297e-1;
const EFX = 1.28379167095512586316e-1;
const PP = [
  1.28379167095512558561e-1, -3.25042107247001499370e-1, -2.84817495755985104766e-2,
  -5.77027029648944159157e-3, -2.37630166566501626084e-5,
];
const QQ = [
  1, 3.97917223959155352819e-1, 6.50222499887672944485e-2, 5.08130628187576562776e-3,
  1.32494738004321644526e-4, -3.96022827877536812320e-6,
];
const PA = [
  -2.36211856075265944077e-3, 4.14856118683748331666e-1, -3.72207876035701323847e-1,
  3.18346619901161753674e-1, -1.10894694282396677476e-1, 3.54783043256182359371e-2,
  -2.16637559486879084300e-3,
];
const QA = [
  1, 1.06420880400844228286e-1, 5.40397917702171048937e-1, 7.18286544141962662868e-2,
  1.26171219808761642112e-1, 1.36370839120290507362e-2, 1.19844998467991074170e-2,
];
const RA = [
  -9.86494403484714822705e-3, -6.93858572707181764372e-1, -1.05586262253232909814e1,
  -6.23753324503260060396e1, -1.62396669462573470355e2, -1.84605092906711035994e2,
  -8.12874355063065934246e1, -9.81432934416914548592,
];
const SA = [
  1, 1.96512716674392571292e1, 1.37657754143519042600e2, 4.34565877475229228821e2,
  6.45387271733267880336e2, 4.29008140027567833386e2, 1.08635005541779435134e2,
  6.57024977031928170135, -6.04244152148580987438e-2,
];
const RB = [
  -9.86494292470009928597e-3, -7.99283237680523006574e-1, -1.77579549177547519889e1,
  -1.60636384855821916062e2, -6.37566443368389627722e2, -1.02509513161107724954e3,
  -4.83519191608651397019e2,
];
const SB = [
  1, 3.03380607434824582924e1, 3.25792512996573918826e2, 1.53672958608443695994e3,
  3.19985821950859553908e3, 2.55305040643316442583e3, 4.74528541206955367215e2,
  -2.24409524465858183362e1,
];

/** @param {number[]} coefficients @param {number} x */
function polynomial(coefficients, x) {
  return coefficients.reduceRight((sum, c) => sum * x + c, 0);
}

/**
 * exp(-x²) times a correction, for x from 1.25 on: the head of x has so few bits that its square
 * is exact.
 *
 * @param {number} x
 */
function tail(x) {
  const s = 1 / (x * x);
  const [over, under] = x < 1 / 0.35 ? [RA, SA] : [RB, SB];
  const ratio = polynomial(over, s) / polynomial(under, s);
  const parts = new DataView(new ArrayBuffer(8));
  parts.setFloat64(0, x);
  parts.setUint32(4, 0);
  const head = parts.getFloat64(0);
  return (exponential(-head * head - 0.5625) * exponential((head - x) * (head + x) + ratio)) / x;
}

/** @param {number} x */
export function erf(x) {
  const size = Math.abs(x);
  if (x !== x) return x;
  if (size < 0.84375) {
    if (size < 2 ** -28) return size < 2 ** -1000 ? (16 * x + 16 * EFX * x) / 16 : x + EFX * x;
    const z = x * x;
    return x + x * (polynomial(PP, z) / polynomial(QQ, z));
  }
  let found = 1;
  if (size < 1.25) found = ERX + polynomial(PA, size - 1) / polynomial(QA, size - 1);
  else if (size < 6) found = 1 - tail(size);
  return x < 0 ? -found : found;
}

/** @param {number} x */
export function erfc(x) {
  const size = Math.abs(x);
  if (x !== x) return x;
  if (size < 0.84375) {
    if (size < 2 ** -56) return 1 - x;
    const z = x * x;
    const y = polynomial(PP, z) / polynomial(QQ, z);
    return x < 0.25 ? 1 - (x + x * y) : 0.5 - (x - 0.5 + x * y);
  }
  if (size < 1.25) {
    const rest = polynomial(PA, size - 1) / polynomial(QA, size - 1);
    return x > 0 ? 1 - ERX - rest : 1 + (ERX + rest);
  }
  if (size < 28) return x > 0 ? tail(x) : x < -6 ? 2 : 2 - tail(size);
  return x > 0 ? 0 : 2;
}

// --- lists, as Python has them ----------------------------------------------------------------------

/**
 * Whether Python takes a number or a list for true: a nan is, and an empty list is not.
 *
 * @param {number | any[]} x
 */
export function truthy(x) {
  return Array.isArray(x) ? x.length > 0 : x !== 0;
}

/**
 * xs[start:stop:step], where each may be null for "not given".
 *
 * @template T
 * @param {T[]} xs
 * @param {number | null} [start] @param {number | null} [stop] @param {number | null} [step]
 * @returns {T[]}
 */
export function slice(xs, start = null, stop = null, step = null) {
  if (step === null || step === 1) return xs.slice(start ?? 0, stop ?? xs.length);
  const n = xs.length; // backwards
  const from = start === null ? n - 1 : start < 0 ? start + n : Math.min(start, n - 1);
  const to = stop === null ? -1 : stop < 0 ? stop + n : stop;
  const found = [];
  for (let i = from; i > to; i += step) found.push(xs[i]);
  return found;
}

/** @param {any[]} xs @param {any} x */
export function contains(xs, x) {
  return xs.includes(x);
}

/** @param {any[]} xs @param {any} x */
export function remove(xs, x) {
  xs.splice(xs.indexOf(x), 1);
}

/** @param {number} n */
export function range(n) {
  return Array.from({length: n}, (_, i) => i);
}

/** @param {any} x @param {number} n */
export function repeat(x, n) {
  return new Array(n).fill(x);
}

/** @param {any[]} a @param {any[]} b */
export function zip(a, b) {
  return a.map((x, i) => [x, b[i]]);
}

/**
 * The sums of the first one, two, three, ... of xs.
 *
 * @param {number[]} xs
 */
export function accumulate(xs) {
  let sum = 0;
  return xs.map((x, i) => (sum = i === 0 ? x : sum + x));
}

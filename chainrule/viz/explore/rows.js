// Made by `python tools/javascript.py` from the rows of the table, which explain it.

import {accumulate, contains, copysign, erf, erfc, exponential, fmod, hypot, isinf, pow, range, remove, repeat, slice, truthy, zip} from "./numbers.js";

const FAR = 10000000000;

const LN2 = Math.log(2), LN10 = Math.log(10), ROOT_PI = Math.sqrt(Math.PI);

function divide(a, b) {
  return a / b;
}

function power(x, p) {
  return pow(x, p);
}

function remainder(a, b) {
  if (b === 0 || !Number.isFinite(a)) {
    return NaN;
  }
  const rest = fmod(a, b);
  if (rest === 0) {
    return copysign(0, b);
  }
  if (rest < 0) {
    return b < 0 ? rest : rest + b;
  }
  return b < 0 ? rest + b : rest;
}

function whole_quotient(a, b) {
  const near = divide(a - remainder(a, b), b);
  if (Math.abs(near) >= 4503599627370496) {
    return near;
  }
  return near + 0.5 - remainder(near + 0.5, 1);
}

function exp(x) {
  return exponential(x);
}

function expm1(x) {
  return Math.expm1(x);
}

function log(x) {
  return x > 0 ? Math.log(x) : x === 0 ? -Infinity : NaN;
}

function exp2(x) {
  return power(2, x);
}

function log1p(x) {
  return x > -1 ? Math.log1p(x) : x === -1 ? -Infinity : NaN;
}

function log2(x) {
  return x > 0 ? Math.log2(x) : x === 0 ? -Infinity : NaN;
}

function log10(x) {
  return x > 0 ? Math.log10(x) : x === 0 ? -Infinity : NaN;
}

function sqrt(x) {
  return x >= 0 ? Math.sqrt(x) : NaN;
}

function cbrt(x) {
  if (x === 0 || !Number.isFinite(x)) {
    return x;
  }
  const y = copysign(pow(Math.abs(x), 1 / 3), x);
  return y - (y - x / (y * y)) / 3;
}

function sin(x) {
  return Number.isFinite(x) ? Math.sin(x) : NaN;
}

function cos(x) {
  return Number.isFinite(x) ? Math.cos(x) : NaN;
}

function tan(x) {
  return Number.isFinite(x) ? Math.tan(x) : NaN;
}

function asin(x) {
  return -1 <= x && x <= 1 ? Math.asin(x) : NaN;
}

function acos(x) {
  return -1 <= x && x <= 1 ? Math.acos(x) : NaN;
}

function sinh(x) {
  return Math.sinh(x);
}

function cosh(x) {
  return Math.cosh(x);
}

function acosh(x) {
  return x >= 1 ? Math.acosh(x) : NaN;
}

function atanh(x) {
  if (-1 < x && x < 1) {
    return Math.atanh(x);
  }
  return Math.abs(x) === 1 ? copysign(Infinity, x) : NaN;
}

function inverse_hypotenuse(x) {
  return Math.abs(x) < FAR ? 1 / Math.sqrt(1 + x * x) : 1 / Math.abs(x);
}

function lorentzian(x) {
  return Math.abs(x) < FAR ? 1 / (1 + x * x) : 1 / x * (1 / x);
}

function inversion(a, b) {
  if (isinf(a) || isinf(b)) {
    return a === a && b === b ? 0 : NaN;
  }
  if (Math.abs(a) >= Math.abs(b)) {
    return divide(1, a + b * divide(b, a));
  }
  const ratio = divide(a, b);
  return divide(ratio, b + a * ratio);
}

function gaussian(x) {
  if (!(Math.abs(x) < 28)) {
    return x === x ? 0 : NaN;
  }
  const shifted = 134217729 * x;
  const head = shifted - (shifted - x);
  return exponential(-head * head) * exponential((head - x) * (head + x));
}

function sigmoid(x) {
  if (x >= 0) {
    return 1 / (1 + exponential(-x));
  }
  const e = exponential(x);
  return e / (1 + e);
}

function softplus(x) {
  return x > 0 ? x + Math.log1p(exponential(-x)) : Math.log1p(exponential(x));
}

function logsigmoid(x) {
  return -softplus(-x);
}

function logaddexp(a, b) {
  if (a !== a || b !== b) {
    return NaN;
  }
  const high = Math.max(a, b);
  return isinf(high) ? high : high + Math.log1p(exponential(-Math.abs(a - b)));
}

function normal_cdf(x) {
  return 0.5 * erfc(-x * Math.sqrt(0.5));
}

function normal_pdf(x) {
  return Math.sqrt(0.5 / Math.PI) * exponential(-0.5 * x * x);
}

function damped(x, w) {
  return w !== 0 ? x * w : 0;
}

function relu(x) {
  return x <= 0 ? 0 : x;
}

function step(x) {
  return x > 0 ? 1 : x <= 0 ? 0 : NaN;
}

function sign(x) {
  return step(x) - step(-x);
}

function total(...xs) {
  return xs.reduce((a, b) => a + b);
}

function mean(...xs) {
  return total(...xs) / xs.length;
}

function maximum(...xs) {
  let best;
  best = xs[0];
  for (const x of slice(xs, 1)) {
    if (x > best || x !== x) {
      best = x;
    } else if (x === best && best === 0) {
      best = x + best;
    }
    if (best !== best) {
      return NaN;
    }
  }
  return best;
}

function minimum(...xs) {
  return -maximum(...xs.map((x) => -x));
}

function dot(...args) {
  const n = Math.floor(args.length / 2);
  return zip(slice(args, null, n), slice(args, n, -1)).map(([a, b]) => ((a, b) => a * b)(a, b)).reduce((a, b) => a + b, args.at(-1));
}

function logsumexp(...xs) {
  const top = maximum(...xs);
  if (!Number.isFinite(top)) {
    return top;
  }
  const rest = [...xs];
  remove(rest, top);
  return top + Math.log1p(rest.map((x) => exponential(x - top)).reduce((a, b) => a + b, 0));
}

function softmax(xs) {
  let weights;
  const top = maximum(...xs);
  if (top === Infinity) {
    weights = xs.map((x) => x === Infinity ? 1 : 0);
  } else if (Number.isFinite(top)) {
    weights = xs.map((x) => exponential(x - top));
  } else {
    return repeat(NaN, xs.length);
  }
  const sum_of_all = total(...weights);
  return weights.map((weight) => weight / sum_of_all);
}

function softmax_entry(k, ...xs) {
  return softmax(xs)[Math.trunc(k)];
}

function logistic_loss(z, y) {
  const straight = z >= 0 ? damped(z, 1 - y) : damped(-z, y);
  return Math.log1p(exponential(-Math.abs(z))) + straight;
}

function sigmoid_minus(z, y) {
  return (1 - y) * sigmoid(z) - y * sigmoid(-z);
}

function squared_error(a, y) {
  return (a - y) * (a - y);
}

function half_squared_error(a, y) {
  return 0.5 * squared_error(a, y);
}

function hinge_loss(s, y) {
  return relu(1 - y * s);
}

function softmax_rest(k, ...xs) {
  if (!contains(range(xs.length), k)) {
    return NaN;
  }
  const shares = softmax(xs), own = Math.trunc(k);
  const sides = [slice(shares, null, own), slice(shares, null, own, -1)].filter((side) => truthy(side));
  return truthy(sides) ? total(...sides.map((side) => total(...side))) : 0;
}

function surprisals(zs) {
  const top = maximum(...zs);
  if (top === -Infinity || top !== top) {
    return repeat(NaN, zs.length);
  }
  const below = zs.map((z) => z === top ? 0 : top - z);
  const others = [...below];
  remove(others, 0);
  const rest = Math.log1p(others.map((x) => exponential(-x)).reduce((a, b) => a + b, 0));
  return below.map((x) => x + rest);
}

function cross_entropy(k, ...zs) {
  return contains(range(zs.length), k) ? surprisals(zs)[Math.trunc(k)] : NaN;
}

function soft_cross_entropy(...args) {
  const n = Math.floor(args.length / 2);
  return total(...zip(surprisals(slice(args, n)), slice(args, null, n)).map(([a, b]) => (damped)(a, b)));
}

function _is_entry(k, ...xs) {
  return 0 <= k && k < xs.length;
}

function _tie_shares(args, y, linked) {
  let share;
  const ties = args.map((arg) => equal(arg, y));
  const count = add_up(...ties);
  share = divide(1, count);
  for (const i of range(args.length).filter((i) => !contains(linked, i))) {
    share = share * (1 - ties[i]);
  }
  return linked.map((i) => ties[i] * share);
}

function _power_by_base(x, p, y) {
  return truthy(p) ? p * power(x, p - 1) : 0;
}

function _power_by_exponent(x, p, y) {
  const flat = equal(x, 0) * less_equal(0, p);
  return where(flat, 0, y * log(x));
}

function _over_positive(numerator, x) {
  return divide(where(less(x, 0), NaN, numerator), x + 0);
}

function _dot_partials(args, y, linked) {
  const n = Math.floor(args.length / 2);
  const others = [...slice(args, n, -1), ...slice(args, null, n), 1];
  return linked.length === args.length ? others : linked.map((i) => others[i]);
}

function softmax_of(xs) {
  return softmax(xs);
}

function _softmax_partials(args, y, linked) {
  const [k, ...xs] = args;
  const shares = softmax_of(xs);
  const own = Math.trunc(k);
  const others = [...slice(shares, null, own), ...slice(shares, own + 1)];
  const rest = truthy(others) ? add_up(...others) : 0;
  return linked.map((i) => i - 1 === own ? y * rest : -(y * shares[i - 1]));
}

function _logsumexp_partials(args, y, linked) {
  const shares = softmax_of(args);
  const empty = equal(y, -Infinity);
  return linked.map((i) => where(empty, 0, shares[i]));
}

function _all_but_one(xs) {
  const before = [...accumulate(slice(xs, null, -1))];
  const after = slice([...accumulate(slice(xs, null, 0, -1))], null, null, -1);
  const inner = zip(slice(before, null, -1), slice(after, 1)).map(([a, b]) => a + b);
  return xs.length > 1 ? [after[0], ...inner, before.at(-1)] : [0];
}

function _softmax_rest_partials(args, y, linked) {
  const [k, ...zs] = args;
  if (!contains(range(zs.length), k)) {
    return repeat(NaN, linked.length);
  }
  const shares = softmax_of(zs);
  const own = shares[Math.trunc(k)];
  return linked.map((i) => i - 1 === k ? -(own * y) : own * shares[i - 1]);
}

function _cross_entropy_partials(args, y, linked) {
  const [k, ...zs] = args;
  const shares = softmax_of(zs);
  const found = [];
  for (const i of linked) {
    if (i === 0) {
      found.push(0);
    } else {
      found.push(i - 1 === k ? -softmax_rest(k, ...zs) : shares[i - 1]);
    }
  }
  return found;
}

function _soft_cross_entropy_partials(args, y, linked) {
  let rests;
  const n = Math.floor(args.length / 2);
  const ys = slice(args, null, n), zs = slice(args, n);
  const by_target = linked.filter((i) => i < n).map((i) => _surprisal(i, ys, zs));
  if (by_target.length === linked.length) {
    return by_target;
  }
  const shares = softmax_of(zs), others = _all_but_one(ys);
  rests = _all_but_one(shares);
  const logits = linked.filter((i) => i >= n).map((i) => i - n);
  return [...by_target, ...logits.map((j) => others[j] * shares[j] - ys[j] * rests[j])];
}

function _surprisal(k, ys, zs) {
  const found = cross_entropy(k, ...zs);
  return where(equal(ys[k], 0) * equal(found, Infinity), 0, found);
}

const equal = (a, b) => a === b ? 1 : 0;

const less = (a, b) => a < b ? 1 : 0;

const less_equal = (a, b) => a <= b ? 1 : 0;

const where = (condition, a, b) => truthy(condition) ? a : b;

const take_entry = (k, ...xs) => xs[Math.trunc(k)];

const identity = (x) => x;

const add = (a, b) => a + b;

const subtract = (a, b) => a - b;

const multiply = (a, b) => a * b;

const negative = (a) => -a;

const square = (x) => x * x;

const absolute = Math.abs;

const one_less_square = (x) => (1 - x) * (1 + x);

const atan = Math.atan;

const atan2 = Math.atan2;

const asinh = Math.asinh;

const tanh = Math.tanh;

const leaky_relu = (x, slope) => x > 0 ? x : slope * x;

const silu = (x) => damped(x, sigmoid(x));

const gelu = (x) => damped(x, normal_cdf(x));

const add_up = total;

const mean_of = mean;

const dot_product = dot;

const logsumexp_of = logsumexp;

/** @type {Record<string, import('./numbers.js').Row>} */
export const ROWS = {
  "equal": {value: equal, partials: [null, null]},
  "less": {value: less, partials: [null, null]},
  "less_equal": {value: less_equal, partials: [null, null]},
  "step": {value: step, partials: [null]},
  "whole_quotient": {value: whole_quotient, partials: [null, null]},
  "sign": {value: sign, partials: [null]},
  "where": {
    value: where,
    partials: [null, (c, a, b, y) => where(c, 1, 0), (c, a, b, y) => where(c, 0, 1)],
    selects: (condition, a, b) => truthy(condition) ? 1 : 2,
  },
  "take": {
    value: take_entry,
    variadic: (args, y, linked) => repeat(1, linked.length),
    selects: (k, ...xs) => 1 + Math.trunc(k),
    takes: _is_entry,
  },
  "maximum": {value: maximum, variadic: _tie_shares},
  "minimum": {value: minimum, variadic: _tie_shares},
  "identity": {value: identity, partials: [() => 1]},
  "+": {value: add, partials: [() => 1, () => 1]},
  "-": {value: subtract, partials: [() => 1, () => -1]},
  "*": {value: multiply, partials: [(a, b, y) => b, (a, b, y) => a]},
  "/": {value: divide, partials: [(a, b, y) => divide(1, b), (a, b, y) => divide(-y, b)]},
  "%": {
    value: remainder,
    partials: [(a, b, y) => where(equal(y, y), 1, NaN), (a, b, y) => -whole_quotient(a, b)],
  },
  "neg": {value: negative, partials: [() => -1]},
  "**": {value: power, partials: [_power_by_base, _power_by_exponent]},
  "square": {value: square, partials: [(x, y) => 2 * x]},
  "abs": {value: absolute, partials: [(x, y) => sign(x)]},
  "damped": {
    value: damped,
    partials: [(x, w, y) => w, (x, w, y) => where(equal(w, 0) * equal(absolute(x), Infinity), 0, x)],
  },
  "exp": {value: exp, partials: [(x, y) => y]},
  "exp2": {value: exp2, partials: [(x, y) => LN2 * y]},
  "expm1": {value: expm1, partials: [(x, y) => exp(x)]},
  "log": {value: log, partials: [(x, y) => _over_positive(1, x)]},
  "log1p": {value: log1p, partials: [(x, y) => _over_positive(1, 1 + x)]},
  "log2": {value: log2, partials: [(x, y) => _over_positive(1 / LN2, x)]},
  "log10": {value: log10, partials: [(x, y) => _over_positive(1 / LN10, x)]},
  "sqrt": {value: sqrt, partials: [(x, y) => divide(0.5, y + 0)]},
  "cbrt": {value: cbrt, partials: [(x, y) => divide(divide(1, 3 * y), y)]},
  "one_less_square": {value: one_less_square, partials: [(x, y) => -2 * x]},
  "inverse_hypotenuse": {value: inverse_hypotenuse, partials: [(x, y) => -(damped(x, y) * y * y)]},
  "lorentzian": {value: lorentzian, partials: [(x, y) => -2 * (damped(x, y) * y)]},
  "gaussian": {value: gaussian, partials: [(x, y) => -2 * damped(x, y)]},
  "inversion": {
    value: inversion,
    partials: [(a, b, y) => (inversion(b, a) - y) * (inversion(b, a) + y), (a, b, y) => -2 * (y * inversion(b, a))],
  },
  "sin": {value: sin, partials: [(x, y) => cos(x)]},
  "cos": {value: cos, partials: [(x, y) => -sin(x)]},
  "tan": {value: tan, partials: [(x, y) => 1 + square(y)]},
  "asin": {value: asin, partials: [(x, y) => divide(1, sqrt(one_less_square(x)))]},
  "acos": {value: acos, partials: [(x, y) => divide(-1, sqrt(one_less_square(x)))]},
  "atan": {value: atan, partials: [(x, y) => lorentzian(x)]},
  "hypot": {
    value: hypot,
    partials: [(a, b, y) => divide(a, where(equal(y, 0), 1, y)), (a, b, y) => divide(b, where(equal(y, 0), 1, y))],
  },
  "atan2": {value: atan2, partials: [(b, a, y) => inversion(a, b), (b, a, y) => -inversion(b, a)]},
  "sinh": {value: sinh, partials: [(x, y) => cosh(x)]},
  "cosh": {value: cosh, partials: [(x, y) => sinh(x)]},
  "asinh": {value: asinh, partials: [(x, y) => inverse_hypotenuse(x)]},
  "acosh": {value: acosh, partials: [(x, y) => divide(divide(1, sqrt(x - 1)), sqrt(x + 1))]},
  "atanh": {
    value: atanh,
    partials: [(x, y) => divide(where(less(1, absolute(x)), NaN, 1), one_less_square(x))],
  },
  "erf": {value: erf, partials: [(x, y) => 2 / ROOT_PI * gaussian(x)]},
  "erfc": {value: erfc, partials: [(x, y) => -2 / ROOT_PI * gaussian(x)]},
  "sigmoid": {value: sigmoid, partials: [(x, y) => y * sigmoid(-x)]},
  "tanh": {value: tanh, partials: [(x, y) => 4 * (sigmoid(2 * x) * sigmoid(-2 * x))]},
  "relu": {value: relu, partials: [(x, y) => step(x)]},
  "leaky_relu": {
    value: leaky_relu,
    partials: [(x, slope, y) => where(step(x), 1, slope) + 0 * step(x), (x, slope, y) => where(step(x), 0 * step(x), x)],
  },
  "softplus": {value: softplus, partials: [(x, y) => sigmoid(x)]},
  "logsigmoid": {value: logsigmoid, partials: [(x, y) => sigmoid(-x)]},
  "silu": {value: silu, partials: [(x, y) => sigmoid(x) + damped(x, sigmoid(x) * sigmoid(-x))]},
  "normal_pdf": {value: normal_pdf, partials: [(x, y) => -damped(x, y)]},
  "normal_cdf": {value: normal_cdf, partials: [(x, y) => normal_pdf(x)]},
  "gelu": {value: gelu, partials: [(x, y) => normal_cdf(x) + damped(x, normal_pdf(x))]},
  "sum": {value: add_up, variadic: (args, y, linked) => repeat(1, linked.length)},
  "mean": {value: mean_of, variadic: (args, y, linked) => repeat(1 / args.length, linked.length)},
  "dot": {value: dot_product, variadic: _dot_partials, takes: (...args) => args.length % 2 === 1},
  "softmax": {value: softmax_entry, variadic: _softmax_partials, takes: _is_entry},
  "logsumexp": {value: logsumexp_of, variadic: _logsumexp_partials},
  "logaddexp": {
    value: logaddexp,
    partials: [(a, b, y) => _logsumexp_partials([a, b], y, [0])[0], (a, b, y) => _logsumexp_partials([a, b], y, [1])[0]],
  },
  "sigmoid_minus": {
    value: sigmoid_minus,
    partials: [(z, y, d) => sigmoid(z) * sigmoid(-z), () => -1],
  },
  "logistic_loss": {
    value: logistic_loss,
    partials: [(z, y, loss) => sigmoid_minus(z, y), (z, y, loss) => -z],
  },
  "squared_error": {
    value: squared_error,
    partials: [(a, y, loss) => 2 * (a - y), (a, y, loss) => 2 * (y - a)],
  },
  "half_squared_error": {
    value: half_squared_error,
    partials: [(a, y, loss) => a - y, (a, y, loss) => y - a],
  },
  "hinge_loss": {
    value: hinge_loss,
    partials: [(s, y, loss) => -(y * step(loss)), (s, y, loss) => -damped(s, step(loss))],
  },
  "softmax_rest": {value: softmax_rest, variadic: _softmax_rest_partials, takes: _is_entry},
  "cross_entropy": {value: cross_entropy, variadic: _cross_entropy_partials, takes: _is_entry},
  "soft_cross_entropy": {
    value: soft_cross_entropy,
    variadic: _soft_cross_entropy_partials,
    takes: (...args) => args.length % 2 === 0,
  },
};

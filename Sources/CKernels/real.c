// Elementary functions that reach an adapter. A C library's differ in their last bits from version
// to version and from processor to processor (glibc chooses at run time between variants with and
// without fused multiply-adds), so that no two machines would train the same bits.
//
// Only +, -, *, / and fma() are used, which IEEE 754 defines to the last bit, and none of them is
// fused but where it says so. Polynomials are Taylor's: where one more term than a minimax
// polynomial costs nothing, its coefficients need no source.
#include "ck_real.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

// Clang would else fuse a * b + c wherever the processor can, and only there.
#pragma STDC FP_CONTRACT OFF

// ln 2 in two parts; the first has 32 bits, so that its product with an exponent is exact.
static const double ln2_high = 0x1.62e42feep-1, ln2_low = 0x1.a39ef35793c76p-33;
static const double log2_e = 0x1.71547652b82fep+0;

static uint64_t bits_of(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

static double from_bits(uint64_t bits) {
  double x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

// The nearest integer, ties to even, where |x| is below 2^51: adding 1.5 * 2^52 leaves no fraction.
static double nearest(double x) {
  const double shift = 0x1.8p52;
  return (x + shift) - shift;
}

// y 2^k in two steps, so that a factor stays in range; the second rounds where the result is
// subnormal.
static double scaled(double y, int k) {
  int half = k / 2;
  double first = from_bits((uint64_t)(half + 1023) << 52);
  double second = from_bits((uint64_t)(k - half + 1023) << 52);
  return y * first * second;
}

// (e^x - 1 - x) / x^2 for |x| <= ln 2 / 2: the series to x^13.
static double exp_series(double x) {
  double p = 1 / 6227020800.0;
  p = p * x + 1 / 479001600.0;
  p = p * x + 1 / 39916800.0;
  p = p * x + 1 / 3628800.0;
  p = p * x + 1 / 362880.0;
  p = p * x + 1 / 40320.0;
  p = p * x + 1 / 5040.0;
  p = p * x + 1 / 720.0;
  p = p * x + 1 / 120.0;
  p = p * x + 1 / 24.0;
  p = p * x + 1 / 6.0;
  return p * x + 0.5;
}

// x + low = k ln 2 + r + rest, |r| <= ln 2 / 2, `rest` the part that does not fit into r.
typedef struct {
  int k;
  double r, rest;
} exp_argument;

static exp_argument reduce_exp(double x, double low) {
  double k = nearest(x * log2_e);
  double high = x - k * ln2_high;
  low -= k * ln2_low;
  exp_argument a = {.k = (int)k, .r = high + low};
  a.rest = (high - a.r) + low;
  return a;
}

// e^(x + low), `low` being what x lacks.
static double exp_of_sum(double x, double low) {
  if (x != x) return x;
  if (x > 710) return INFINITY;
  if (x < -746) return 0;
  exp_argument a = reduce_exp(x, low);
  double tail = a.rest + a.rest * a.r + a.r * a.r * exp_series(a.r);
  return scaled(1 + (a.r + tail), a.k);
}

double ck_real_exp(double x) { return exp_of_sum(x, 0); }

double ck_real_expm1(double x) {
  if (x != x) return x;
  if (x > 710) return INFINITY;
  if (x < -40) return -1;
  exp_argument a = reduce_exp(x, 0);
  double tail = a.rest + a.r * a.r * exp_series(a.r);
  // A sum would lose the sign of -0.
  if (a.k == 0) return x == 0 ? x : a.r + tail;
  if (a.k > 60) return scaled(1 + (a.r + tail), a.k);
  // 2^k (1 + r + tail) - 1. Where k is 1 and r near -ln 2 / 2 the first sum cancels, and is exact.
  double power = scaled(1, a.k);
  return ((power - 1) + power * a.r) + power * tail;
}

// x = 2^k m with sqrt(1/2) <= m < sqrt(2), for positive finite x; returns m.
static double split_exponent(double x, int *k) {
  *k = 0;
  if (x < 0x1p-1022) x *= 0x1p54, *k = -54;
  uint64_t bits = bits_of(x);
  // Above sqrt(2) in the fraction the exponent is one more.
  uint64_t fraction = bits & 0xfffffffffffffu;
  int above = fraction >= 0x6a09e667f3bcdu;
  *k += (int)(bits >> 52) - 1023 + above;
  return from_bits(fraction | (uint64_t)(1023 - above) << 52);
}

// With s = f / (2 + f) and z = s^2, which is at most 0.0295, log(1 + f) = 2s + s (2/3 z + 2/5 z^2
// ...): what stands behind 2/3 z, over z^2, to the term in z^11.
static double log_series(double z) {
  double p = 2 / 23.0;
  p = p * z + 2 / 21.0;
  p = p * z + 2 / 19.0;
  p = p * z + 2 / 17.0;
  p = p * z + 2 / 15.0;
  p = p * z + 2 / 13.0;
  p = p * z + 2 / 11.0;
  p = p * z + 2 / 9.0;
  p = p * z + 2 / 7.0;
  return p * z + 2 / 5.0;
}

double ck_real_log(double x) {
  if (x == 0) return -INFINITY;
  if (x < 0) return NAN;
  // Infinity and NaN.
  if (!(x < INFINITY)) return x;
  int k;
  double f = split_exponent(x, &k) - 1;
  double s = f / (2 + f), z = s * s, r = (log_series(z) * z + 2 / 3.0) * z;
  // 2s + s r = f - (f^2/2 - s (f^2/2 + r)): f is exact, and the rest small beside it.
  double square = 0.5 * f * f;
  return k * ln2_high - ((square - (s * (square + r) + k * ln2_low)) - f);
}

// A number as the sum of two, the second below the first's last place.
typedef struct {
  double high, low;
} pair;

static pair sum_of(double a, double b) {
  double high = a + b, from_b = high - a;
  return (pair){high, (a - (high - from_b)) + (b - from_b)};
}

static pair product_of(double a, double b) {
  double high = a * b;
  return (pair){high, fma(a, b, -high)};
}

// The logarithm of a positive finite number to some 20 bits more than a double has, so that pow may
// multiply it by what makes 700 of it.
static pair log_pair(double x) {
  int k;
  double f = split_exponent(x, &k) - 1;
  // s, z = s^2 and 2/3 z in pairs; what comes after them is small enough for one double.
  pair d = sum_of(2, f);
  pair s = {.high = f / d.high};
  s.low = (fma(-s.high, d.high, f) - s.high * d.low) / d.high;
  pair z = product_of(s.high, s.high);
  z.low += 2 * s.high * s.low;
  const pair two_thirds = {0x1.5555555555555p-1, 0x1.5555555555555p-55};
  pair u = product_of(two_thirds.high, z.high);
  u.low += two_thirds.high * z.low + two_thirds.low * z.high;
  pair v = sum_of(u.high, log_series(z.high) * z.high * z.high);
  v.low += u.low;
  pair w = product_of(s.high, v.high);
  w.low += s.high * v.low + s.low * v.high;
  pair t = sum_of(2 * s.high, w.high);
  t.low += w.low + 2 * s.low;
  pair result = sum_of(k * ln2_high, t.high);
  result.low += t.low + k * ln2_low;
  return result;
}

double ck_real_pow(double x, double y) {
  if (y == 0 || x == 1) return 1;
  if (x != x || y != y || x < 0) return NAN;
  if (x == 0 || x == INFINITY) return (x == 0) == (y < 0) ? INFINITY : 0;
  pair l = log_pair(x);
  pair p = product_of(y, l.high);
  return exp_of_sum(p.high, p.low + y * l.low);
}

// x - n pi/2 as a pair, n being the nearest integer; returns n mod 4.
static int reduce_angle(double x, pair *rest) {
  // pi/2 in six parts, all but the last of 22 bits: n has 30, and the products are exact. So are
  // the first two differences; the others are kept in pairs.
  static const double parts[] = {0x1.921fbp+0,  0x1.5110bp-22,   0x1.1846980p-44,
                                 0x1.3198ap-69, 0x1.701b80p-92, 0x1.cd129024e088ap-115};
  double n = nearest(x * 0x1.45f306dc9c883p-1);
  double high = (x - n * parts[0]) - n * parts[1], low = 0;
  for (int i = 2; i < 6; i++) {
    pair difference = sum_of(high, -n * parts[i]);
    high = difference.high;
    low += difference.low;
  }
  *rest = sum_of(high, low);
  return (int)((int64_t)n & 3);
}

// sin(x + low) for |x| <= pi/4: the series to x^17.
static double sine_series(double x, double low) {
  double z = x * x, p = 1 / 355687428096000.0;
  p = p * z - 1 / 1307674368000.0;
  p = p * z + 1 / 6227020800.0;
  p = p * z - 1 / 39916800.0;
  p = p * z + 1 / 362880.0;
  p = p * z - 1 / 5040.0;
  p = p * z + 1 / 120.0;
  p = p * z - 1 / 6.0;
  // cos x is 1 - z/2 as far as `low` counts.
  return x + (x * z * p + low * (1 - 0.5 * z));
}

// cos(x + low) for |x| <= pi/4: the series to x^18.
static double cosine_series(double x, double low) {
  double z = x * x, p = -1 / 6402373705728000.0;
  p = p * z + 1 / 20922789888000.0;
  p = p * z - 1 / 87178291200.0;
  p = p * z + 1 / 479001600.0;
  p = p * z - 1 / 3628800.0;
  p = p * z + 1 / 40320.0;
  p = p * z - 1 / 720.0;
  p = p * z + 1 / 24.0;
  // 1 - z/2 as a pair.
  double half = 0.5 * z, high = 1 - half;
  return high + (((1 - high) - half) + (z * z * p - x * low));
}

double ck_real_sin(double x) {
  if (!(fabs(x) <= 0x1p30)) return NAN;
  // A sum would lose the sign of -0.
  if (x == 0) return x;
  pair r;
  int quadrant = reduce_angle(x, &r);
  double y = quadrant & 1 ? cosine_series(r.high, r.low) : sine_series(r.high, r.low);
  return quadrant & 2 ? -y : y;
}

double ck_real_cos(double x) {
  if (!(fabs(x) <= 0x1p30)) return NAN;
  pair r;
  int quadrant = reduce_angle(x, &r);
  double y = quadrant & 1 ? sine_series(r.high, r.low) : cosine_series(r.high, r.low);
  return quadrant == 1 || quadrant == 2 ? -y : y;
}

double ck_real_tanh(double x) {
  double magnitude = fabs(x);
  if (x != x || magnitude < 0x1p-28) return x;
  double y;
  if (magnitude >= 22) {
    y = 1;
  } else if (magnitude >= 1) {
    y = 1 - 2 / (ck_real_expm1(2 * magnitude) + 2);
  } else {
    double t = ck_real_expm1(-2 * magnitude);
    y = -t / (t + 2);
  }
  return x < 0 ? -y : y;
}

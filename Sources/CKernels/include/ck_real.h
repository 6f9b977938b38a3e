// Elementary functions in double precision whose bits are the same on every processor, with every
// C library. See real.c.
#pragma once

// e^x, within 1 unit in the last place; overflow gives infinity, results below 2^-1022 are rounded
// to what is there.
double ck_real_exp(double x);

// e^x - 1, within 1.5 units in the last place, however near to 0.
double ck_real_expm1(double x);

// The natural logarithm, within 1 unit in the last place; -infinity at 0, NaN below.
double ck_real_log(double x);

// Sine and cosine, within 1 unit in the last place, where |x| is at most 2^30; NaN elsewhere.
double ck_real_sin(double x);
double ck_real_cos(double x);

// x^y for x that is not negative, within 1 unit in the last place; NaN where x is.
double ck_real_pow(double x, double y);

// The hyperbolic tangent, within 4 units in the last place.
double ck_real_tanh(double x);

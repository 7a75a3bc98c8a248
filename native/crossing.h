// The first time at which a gap with at most one extremum rises through 0.
#pragma once

#include <cmath>

#include "exponentials.h"

namespace eventax {

// A gap after some time, with its first and second derivative.
struct Gap {
  double value, rate, bend;
};

// Time t > 0 at which u(t), with u' = -a u - k exp(-b t) and u(0) = u, changes sign;
// inf if it does not.
inline double turning_point(double a, double b, double u, double k) {
  if (k == 0) return kInf;
  const double r = u / k, x = (a - b) * r;
  if (!(r > 0) || !(x > -1)) return kInf;
  return std::fabs(x) < 1e-6 ? r * (1 - x / 2) : std::log1p(x) / (a - b);
}

// A step from a gap to its next rise through 0, from its first three derivatives.
//
// The gap is a constant and two exponentials, of rates slow and fast. The step is taken
// in s = (1 - exp(-p t)) / p, which is t where p = 0: where fast = 2 slow (tau_m =
// 2 tau_s, say) with p = slow, in which the gap is a parabola, and its root exact.
// Otherwise it goes to the root of the cubic, as one step from that of the parabola
// finds it, and leaves an error by the fourth derivative.
struct Rise {
  double p, s;
  double slope = 0;     // of the gap there; 0 if it does not rise so far
  double error = kInf;  // of s, at most

  Rise(Gap gap, double slow, double fast) : p(fast == 2 * slow ? slow : 0) {
    const double rate = gap.rate, bend = gap.bend + p * rate;
    const double square = rate * rate - 2 * gap.value * bend;
    if (square > 0) slope = std::sqrt(square);
    s = -2 * gap.value / (slope > 0 ? rate + slope : 2 * rate);
    if (slope == 0) return;
    if (p > 0) {
      // Farther away the gap's rounding is more than the step.
      const double left = 1 - p * s;
      if (left > 0.125 && left < 4) error = 0;
      return;
    }
    const double third = -(slow + fast) * bend - slow * fast * rate;
    const double most = fast * std::fabs(rate) + std::fabs(bend);
    const double curved = most * s / slope;
    error = fast * fast * most * s * s * s * s * (1 + curved * curved) / (2 * slope);
    s -= third * s * s * s / (6 * slope + 3 * third * s * s);
  }
  double time() const { return p > 0 ? -std::log1p(-p * s) / p : s; }
};

// Time in [0, h] at which `after(t)` first rises through 0: 0 if it is not negative
// now, inf if it does not rise through 0. `now` and `end` are the gap at 0 and at h,
// `turn` is the time of its extremum (asked for where the end does not tell), `slow`
// and `fast` are its rates. An end above 0 by no more than `doubt` may be rounding of a
// gap that never gets there: then `limit`, the gap at infinity, has a say.
//
// Between now, the extremum and h the gap is monotone, so the interval in which it
// rises brackets the crossing, which is halved where a step leaves it.
template <class After, class Turn, class Limit>
double first_rise(Gap now, Gap end, double h, double slow, double fast, double doubt,
                  After after, Turn turn, Limit limit) {
  if (now.value >= 0) return 0;
  double low = 0, high = h;
  if (end.value < 0) {
    if (!(now.rate > 0 && end.rate <= 0)) return kInf;
    high = turn();
    if (!(high > 0 && high < h) || after(high).value < 0) return kInf;
  } else if (!(end.value > doubt) && !(limit() > 0) &&
             !(now.rate > 0 && turn() < kInf)) {
    return kInf;
  }
  double t = 0, before = kInf;
  Gap gap = now;
  for (int k = 0; k < 100; k++) {
    if (gap.value >= 0)
      high = t;
    else
      low = t;
    const Rise rise(gap, slow, fast);
    double next = t + rise.time();
    bool inside = gap.rate > 0 && next >= low && next <= high;
    if (!inside || (k > 10 && k % 2 == 0)) {
      next = 0.5 * (low + high);
      inside = false;
    }
    const double change = std::fabs(next - t);
    t = next;
    if (inside && rise.error <= kEpsilon / 4 * high) break;
    if (change <= 2 * kEpsilon * high || high - low <= 2 * kEpsilon * high) break;
    if (change < 1e-13 * h && change >= before / 4) break;
    before = change;
    gap = after(t);
  }
  return std::min(std::max(t, 0.0), h);
}

}  // namespace eventax

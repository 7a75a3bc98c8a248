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

// Time in [0, h] at which `after(t)` first rises through 0: 0 if it is not negative
// now, inf if it does not rise through 0. `now` and `end` are the gap at 0 and at h,
// `turn` is the time of its extremum (asked for where the end does not tell), `third`
// bounds the third derivative. An end above 0 by no more than `doubt` may be rounding
// of a gap that never gets there: then `limit`, the gap at infinity, has a say.
//
// Between now, the extremum and h the gap is monotone, so the interval in which it
// rises brackets the crossing. The search goes on to the root of the parabola with the
// gap's value, slope and curvature, and halves the bracket where that leaves it.
template <class After, class Turn, class Limit>
double first_rise(Gap now, Gap end, double h, double third, double doubt, After after,
                  Turn turn, Limit limit) {
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
    const double square = gap.rate * gap.rate - 2 * gap.value * gap.bend;
    const double root = square > 0 ? std::sqrt(square) : 0;
    const double span = root > 0 ? gap.rate + root : 2 * gap.rate;
    double next = t - 2 * gap.value / span;
    bool inside = gap.rate > 0 && next >= low && next <= high;
    if (!inside || (k > 10 && k % 2 == 0)) {
      next = 0.5 * (low + high);
      inside = false;
    }
    const double change = std::fabs(next - t);
    t = next;
    // What a step leaves is its cube times third / (6 rate).
    if (inside && third * change * change * change <= kEpsilon / 8 * root * high) break;
    if (change <= 2 * kEpsilon * high || high - low <= 2 * kEpsilon * high) break;
    if (change < 1e-13 * h && change >= before / 4) break;
    before = change;
    gap = after(t);
  }
  return std::min(std::max(t, 0.0), h);
}

}  // namespace eventax

// Decaying exponentials without cancellation, in a form that compilers vectorise.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#define EVENTAX_INLINE inline __attribute__((always_inline))

namespace eventax {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kEpsilon = std::numeric_limits<double>::epsilon();

// a b + c, rounded once where the processor does that in one instruction. Written out
// where it counts, and nowhere left to the compiler: so a loop over lanes and the same
// sentence for one lane give the same bits.
EVENTAX_INLINE double mul_add(double a, double b, double c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  return __builtin_fma(a, b, c);
#else
  return a * b + c;
#endif
}

// 1 - exp(-x) for x >= 0, to a relative error of some 1e-16 for every x.
//
// With x = -(k log 2 + r), exp(-x) - 1 = 2^k (exp(r) - 1) + (2^k - 1). No branch and no
// call, so that a loop over neurons stays one loop.
EVENTAX_INLINE double lost(double x) {
  constexpr double kShift = 6755399441055744.0;  // 1.5 * 2^52: rounds to an integer
  constexpr double kLog2High = 6.93147180369123816490e-01;
  constexpr double kLog2Low = 1.90821492927058770002e-10;
  const double z = x < 700.0 ? -x : -700.0;
  const double shifted = mul_add(z, 1.4426950408889634074, kShift);
  const double k = shifted - kShift;
  const double r = mul_add(-k, kLog2Low, mul_add(-k, kLog2High, z));
  // Taylor's series in pairs: a chain of twelve steps would be waited for.
  const double r2 = r * r, r4 = r2 * r2, r8 = r4 * r4;
  const double c0 = mul_add(r, 1.0 / 6.0, 0.5);
  const double c2 = mul_add(r, 1.0 / 120.0, 1.0 / 24.0);
  const double c4 = mul_add(r, 1.0 / 5040.0, 1.0 / 720.0);
  const double c6 = mul_add(r, 1.0 / 362880.0, 1.0 / 40320.0);
  const double c8 = mul_add(r, 1.0 / 39916800.0, 1.0 / 3628800.0);
  const double c10 = mul_add(r, 1.0 / 6227020800.0, 1.0 / 479001600.0);
  const double low = mul_add(r2, c2, c0), high = mul_add(r2, c6, c4);
  const double series = mul_add(r8, mul_add(r2, c10, c8), mul_add(r4, high, low));
  const double p = mul_add(series, r2, r);  // exp(r) - 1
  std::int64_t bits = 0;
  std::memcpy(&bits, &shifted, sizeof(bits));
  bits = static_cast<std::int64_t>((static_cast<std::uint64_t>(bits) << 52) +
                                   0x3ff0000000000000ULL);
  double power = 0;
  std::memcpy(&power, &bits, sizeof(power));
  return mul_add(-power, p, 1.0 - power);
}

// Two rates a and b >= 0, in a form from which a loop over lanes takes no branch.
struct Rates {
  double slow, apart;  // the lower one, and how much the other is above it
  double inverse;      // of that, 0 where they are equal
  double a_is_fast;    // 1 or 0
  static Rates of(double a, double b) {
    const double apart = std::fabs(a - b);
    return {std::min(a, b), apart, apart > 0 ? 1 / apart : 0.0, a > b ? 1.0 : 0.0};
  }
};

// Of these and a time h: 1 - exp(-a h), 1 - exp(-b h), and
// (exp(-b h) - exp(-a h)) / (a - b), for a = b too.
struct Pair {
  double lost_a, lost_b, response;
};

EVENTAX_INLINE Pair decayed(Rates r, double h) {
  const double lost_slow = lost(r.slow * h), left = 1.0 - lost_slow;
  const double more = lost(r.apart * h), gone = left * more;
  return {mul_add(r.a_is_fast, gone, lost_slow),
          mul_add(1.0 - r.a_is_fast, gone, lost_slow),
          left * (r.apart > 0 ? more * r.inverse : h)};
}

// How that response differs by a and by b: -h^2 exp(-slow h) times P by the faster and
// Q by the slower rate, with x = |a - b| h and
//
//   P = (1 - (1 + x) exp(-x)) / x^2,    Q = (x - 1 + exp(-x)) / x^2.
struct Slopes {
  double by_a, by_b;
};

EVENTAX_INLINE Slopes response_slopes(Rates r, double h) {
  // Near 0 the series of Q, and P + Q = (1 - exp(-x)) / x. Chosen by a product: of a
  // choice the compiler makes a branch here, and then no loop over lanes.
  const double x = r.apart * h, gone = lost(x), is_near = x < 0.1 ? 1.0 : 0.0;
  const double near = x < 0.1 ? x : 0.1, far = x < 0.1 ? 0.1 : x;
  const double n2 = near * near, n4 = n2 * n2;
  const double c0 = mul_add(near, -1.0 / 6.0, 1.0 / 2.0);
  const double c2 = mul_add(near, -1.0 / 120.0, 1.0 / 24.0);
  const double c4 = mul_add(near, -1.0 / 5040.0, 1.0 / 720.0);
  const double c6 = mul_add(near, -1.0 / 362880.0, 1.0 / 40320.0);
  const double near_q = mul_add(n4, mul_add(n2, c6, c4), mul_add(n2, c2, c0));
  const double near_sum = near > 0 ? gone / (near > 0 ? near : 1.0) : 1.0;
  const double far_q = (far - gone) / (far * far);
  const double far_p = (gone - far * (1 - gone)) / (far * far);
  const double q = mul_add(is_near, near_q, (1 - is_near) * far_q);
  const double p = mul_add(is_near, near_sum - near_q, (1 - is_near) * far_p);
  const double scale = -h * h * (1.0 - lost(r.slow * h));
  const double more = mul_add(r.a_is_fast, p - q, q);
  return {scale * more, scale * (p + q - more)};
}

// The integral of exp(-p s) over 0 < s < h.
inline double decay_integral(double p, double h) {
  const double x = p * h;
  return x > 0 ? lost(x) / p : h;
}

// A rate with that integral.
struct Decay {
  double rate, area;
};
inline Decay decay(double rate, double h) { return {rate, decay_integral(rate, h)}; }

// (E(p) - E(q)) / (q - p) of these integrals E: the integral of
// s exp(-slow s) (1 - exp(-|p - q| s)) / (|p - q| s). It is some h^2 / 2, exact to a
// rounding of h over the larger rate, and to 1e-11 of itself: of many short ways no
// more is lost than of a long one.
inline double decay_integral_slope(Decay p, Decay q, double h) {
  const double apart = std::fabs(p.rate - q.rate), slow = std::min(p.rate, q.rate);
  const double z = apart * h;
  // Where both rates hardly do anything nothing would be left of the difference.
  if (z > 0.3 || (3 * apart > slow && z > 1e-4))
    return (p.area - q.area) / (q.rate - p.rate);
  // A series in `apart`, of the moments of s^n exp(-slow s), n = 1 to kTerms.
  constexpr int kTerms = 12;
  double moments[kTerms + 1];
  const double x = slow * h, end = 1.0 - lost(x);
  if (x < 25) {
    double term = 1.0 / (kTerms + 1), sum = term;
    for (int k = 1; term > 1e-17 * sum; k++) sum += term *= x / (kTerms + 1 + k);
    moments[kTerms] = end * sum;  // in units of h^(n+1)
    for (int n = kTerms; n > 0; n--) moments[n - 1] = (x * moments[n] + end) / n;
  } else {
    moments[0] = lost(x) / x;
    for (int n = 1; n <= kTerms; n++) moments[n] = (n * moments[n - 1] - end) / x;
  }
  double sum = 0, factor = 1;
  for (int n = 1; n <= kTerms; n++) {
    sum += factor * moments[n];
    factor *= -z / (n + 1);
  }
  return h * h * sum;
}

}  // namespace eventax

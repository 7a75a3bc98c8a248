// Quadratic integrate-and-fire: QIF, PQIF, through the linear form of the equation.
//
//   tau_m V' = V (V - 1) + y + bias,   tau_s y' = -y
//
// With V - 1/2 = p/q:  tau_m p' = J q,  tau_m q' = -p,  J = bias - 1/4 + y. A spike is
// a zero of q. Only the ratio counts, so |p| + |q| = 1, and x tells both: p = x, q = 1
// - |x|, from -1 (just reset) to 1 (a spike), and beyond. A spike that
// arrives adds its weight to y. See the engine's page in docs/ for the steps.
#pragma once

#include <array>
#include <cmath>

#include "../exponentials.h"

namespace eventax {

namespace qif {

constexpr int kTerms = 8;
using Series = std::array<double, kTerms>;

constexpr double factorial(int n) { return n < 2 ? 1.0 : n * factorial(n - 1); }
constexpr double power_of_4(int n) { return n == 0 ? 1.0 : 4 * power_of_4(n - 1); }

// Legendre moments of exp(-r s) over -1/2 < s < 1/2, as power series in r^2, combined
// to the parabola a1 + a2 s + a3 s^2 that has the same moments.
constexpr Series alpha(int number) {
  Series series{};
  for (int k = 0; k < kTerms; k++) {
    const double mean = 1 / (power_of_4(k) * factorial(2 * k + 1));
    const double first = 1 / (power_of_4(k + 1) * (2 * k + 3) * factorial(2 * k + 1));
    const double second = 1 / (power_of_4(k + 1) * (2 * k + 3) * factorial(2 * k));
    series[k] = number == 1   ? 9.0 / 4 * mean - 15 * second
                : number == 2 ? -12 * first
                              : 180 * second - 15 * mean;
  }
  return series;
}
constexpr Series kAlpha1 = alpha(1), kAlpha2 = alpha(2), kAlpha3 = alpha(3);

// In pairs: a chain of eight steps would be waited for.
EVENTAX_INLINE double polynomial(const Series& c, double x) {
  const double x2 = x * x;
  const double a = mul_add(x, c[1], c[0]), b = mul_add(x, c[3], c[2]);
  const double d = mul_add(x, c[5], c[4]), e = mul_add(x, c[7], c[6]);
  return mul_add(x2 * x2, mul_add(x2, e, d), mul_add(x2, b, a));
}
EVENTAX_INLINE double polynomial_slope(const Series& c, double x) {
  double value = (kTerms - 1) * c[kTerms - 1];
  for (int k = kTerms - 2; k > 0; k--) value = value * x + k * c[k];
  return value;
}

// What a step of length h does to everybody with the same time constants.
struct Step {
  double c, kept, m1, m2, m3;  // h / tau_m, exp(-h / tau_s), moments of the current
};
EVENTAX_INLINE Step step_of(double c, double r) {
  const double half = 1.0 - lost(r / 2), square = r * r;
  return {c, half * half, half * polynomial(kAlpha1, square),
          half * r * polynomial(kAlpha2, square), half * polynomial(kAlpha3, square)};
}

// Omega = [[x, y], [-w, -x]] of the Magnus expansion, and what it is made of.
struct Magnus {
  double current, b1, b2, b3, g, x, y, w, error;
};
EVENTAX_INLINE Magnus magnus(const Step& s, double constant, double i) {
  Magnus m{};
  m.current = s.c * i;
  m.b1 = mul_add(m.current, s.m1, s.c * constant);
  m.b2 = m.current * s.m2;
  m.b3 = m.current * s.m3;
  m.g = s.c * m.b2;
  const double square = m.g * m.g, cb3 = s.c * m.b3;
  const double dx = s.c * m.g * mul_add(40, m.b1, m.b3) * (-1.0 / 7200);
  const double dy =
      mul_add(m.g, m.b2 * (1.0 / 120),
              mul_add(m.b1, square, -mul_add(20, m.b1, m.b3) * cb3) * (1.0 / 3600));
  const double dw = s.c * mul_add(20, cb3, square) * (1.0 / 3600);
  m.x = mul_add(m.g, -1.0 / 12, dx);
  m.y = mul_add(m.b3, 1.0 / 12, m.b1) + dy;
  m.w = s.c + dw;
  m.error = std::fabs(dx) + std::fabs(dy) + std::fabs(dw);
  return m;
}

// cosh(sqrt s), sinh(sqrt s) / sqrt s and the latter's derivative by s, entire
// functions of s, for |s| up to about 1.
constexpr Series entire(int number) {
  Series series{};
  for (int k = 0; k < kTerms; k++)
    series[k] = number == 0      ? 1 / factorial(2 * k)
                : number == 1    ? 1 / factorial(2 * k + 1)
                : k + 1 < kTerms ? (k + 1) / factorial(2 * k + 3)
                                 : 0;
  return series;
}
constexpr Series kCosh = entire(0), kSinh = entire(1), kSinhSlope = entire(2);
EVENTAX_INLINE double cosh_of(double s) { return polynomial(kCosh, s); }
EVENTAX_INLINE double sinh_of(double s) { return polynomial(kSinh, s); }
EVENTAX_INLINE double sinh_slope(double s) { return polynomial(kSinhSlope, s); }

// Past a spike, where a neuron in a pause goes on, both have the other sign: so that q
// is never negative at the start of a step.
EVENTAX_INLINE double p_of(double x) { return x > 1 ? x - 2 : x; }
EVENTAX_INLINE double q_of(double x) { return x > 1 ? x - 1 : 1 - std::fabs(x); }
EVENTAX_INLINE double x_of(double p, double q) {
  const double past = ((p > 0) & (q < 0)) ? 2 * q : 0;
  return (p - past) / (std::fabs(p) + std::fabs(q));
}

EVENTAX_INLINE double advanced(const Magnus& m, double x) {
  const double square = mul_add(m.x, m.x, -m.y * m.w);
  const double cosh = cosh_of(square), sinh = sinh_of(square);
  const double p = p_of(x), q = q_of(x);
  return x_of(mul_add(sinh, mul_add(m.x, p, m.y * q), cosh * p),
              mul_add(-sinh, mul_add(m.w, p, m.x * q), cosh * q));
}

EVENTAX_INLINE double advanced(const Step& s, double constant, double x, double i) {
  return advanced(magnus(s, constant, i), x);
}

// Derivatives of such a step, backwards: of (lx, ly) at its end, those at its start.
struct Back {
  double lx, ly, by_constant, by_c, by_r;
};
EVENTAX_INLINE Back step_back(const Step& s, double constant, double x, double i,
                              double lx, double ly, double r, bool trains) {
  const Magnus m = magnus(s, constant, i);
  const double square = mul_add(m.x, m.x, -m.y * m.w);
  const double cosh = cosh_of(square), sinh = sinh_of(square);
  const double p = p_of(x), q = q_of(x);
  const double to_p = mul_add(m.x, p, m.y * q), to_q = mul_add(m.w, p, m.x * q);
  const double p_end = mul_add(sinh, to_p, cosh * p);
  const double q_end = mul_add(-sinh, to_q, cosh * q);
  const double size = std::fabs(p_end) + std::fabs(q_end), scaled = lx / (size * size);
  const double lp_end = scaled * q_end, lq_end = -scaled * p_end;
  const double l_square =
      mul_add(mul_add(lp_end, p, lq_end * q), sinh * 0.5,
              mul_add(lp_end, to_p, -lq_end * to_q) * sinh_slope(square));
  const double lmx = mul_add(sinh, mul_add(lp_end, p, -lq_end * q), 2 * m.x * l_square);
  const double lmy = mul_add(lp_end * sinh, q, -m.w * l_square);
  const double lmw = mul_add(-lq_end * sinh, p, -m.y * l_square);
  const double turned = sinh * m.x;
  const double lp = mul_add(lp_end, cosh + turned, -lq_end * sinh * m.w);
  const double lq = mul_add(lp_end, sinh * m.y, lq_end * (cosh - turned));

  const double c = s.c, sum = mul_add(40, m.b1, m.b3), cg = c * m.g;
  const double lmx_cg = lmx * cg;
  const double lg =
      mul_add(lmx, mul_add(c * sum, -1.0 / 7200, -1.0 / 12),
              mul_add(lmy, mul_add(m.b1, m.g * (1.0 / 1800), m.b2 * (1.0 / 120)),
                      lmw * cg * (1.0 / 1800)));
  const double lb1 =
      mul_add(lmx_cg, -1.0 / 180,
              mul_add(lmy * (1.0 / 3600), mul_add(m.g, m.g, -20 * m.b3 * c), lmy));
  const double lb2 = mul_add(lmy, m.g * (1.0 / 120), lg * c);
  const double lb3 =
      mul_add(lmy, mul_add(mul_add(20, m.b1, 2 * m.b3) * c, -1.0 / 3600, 1.0 / 12),
              mul_add(lmx_cg, -1.0 / 7200, lmw * c * c * (1.0 / 180)));
  const double l_current = mul_add(lb1, s.m1, mul_add(lb2, s.m2, lb3 * s.m3));
  Back back{((x > 0) & (x <= 1)) ? lp - lq : lp + lq,
            mul_add(l_current, c, ly * s.kept), lb1 * c, 0, 0};
  if (!trains) return back;
  back.by_c = lmw - lmx * m.g * sum / 7200 - lmy * (20 * m.b1 + m.b3) * m.b3 / 3600 +
              lmw * (40 * c * m.b3 + m.g * m.g) / 3600 + lg * m.b2 + lb1 * constant +
              l_current * i;
  const double half = 1.0 - lost(r / 2), r2 = r * r;
  const double by_m1 = -s.m1 / 2 + half * 2 * r * polynomial_slope(kAlpha1, r2);
  const double by_m2 = -s.m2 / 2 + half * (polynomial(kAlpha2, r2) +
                                           2 * r2 * polynomial_slope(kAlpha2, r2));
  const double by_m3 = -s.m3 / 2 + half * 2 * r * polynomial_slope(kAlpha3, r2);
  back.by_r = m.current * (lb1 * by_m1 + lb2 * by_m2 + lb3 * by_m3) - ly * i * s.kept;
  return back;
}

}  // namespace qif

struct Qif {
  enum Constant { kTauM, kTauS, kConstant, kTolerance, kConstants };
  // `fixed` is the error allowed per step.
  static void constants(double tau_m, double tau_s, double bias, const double* fixed,
                        double* c, int n, int k) {
    c[kTauM * n + k] = tau_m;
    c[kTauS * n + k] = tau_s;
    c[kConstant * n + k] = bias - 0.25;
    c[kTolerance * n + k] = fixed[0];
  }
  // Without bias: it never fires, and no step is shorter for it.
  static constexpr double kPadding[kConstants] = {1e9, 1e9, -0.25, 1};
};

}  // namespace eventax

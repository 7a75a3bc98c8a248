// Quadratic integrate-and-fire: QIF, PQIF, through the linear form of the equation.
//
//   tau_m V' = V (V - 1) + y + bias,   tau_s y' = -y
//
// With V - 1/2 = p/q:  tau_m p' = J q,  tau_m q' = -p,  J = bias - 1/4 + y. A spike is
// a zero of q. Only the ratio counts, so |p| + |q| = 1, and x tells both: p = x, q = 1
// - |x|, from -1 (just reset) to 1 (a spike); past a spike p = 2 - x. A spike that
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

EVENTAX_INLINE double polynomial(const Series& c, double x) {
  double value = c[kTerms - 1];
  for (int k = kTerms - 2; k >= 0; k--) value = value * x + c[k];
  return value;
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
  m.b1 = s.c * constant + m.current * s.m1;
  m.b2 = m.current * s.m2;
  m.b3 = m.current * s.m3;
  m.g = s.c * m.b2;
  const double dx = -s.c * m.g * (40 * m.b1 + m.b3) * (1.0 / 7200);
  const double dy = m.g * m.b2 * (1.0 / 120) +
                    (m.b1 * m.g * m.g - (20 * m.b1 + m.b3) * s.c * m.b3) * (1.0 / 3600);
  const double dw = s.c * (20 * s.c * m.b3 + m.g * m.g) * (1.0 / 3600);
  m.x = dx - m.g * (1.0 / 12);
  m.y = m.b1 + m.b3 * (1.0 / 12) + dy;
  m.w = s.c + dw;
  m.error = std::fabs(dx) + std::fabs(dy) + std::fabs(dw);
  return m;
}

// cosh(sqrt s), sinh(sqrt s) / sqrt s and the latter's derivative by s, entire
// functions of s, for |s| up to about 1.
EVENTAX_INLINE double cosh_of(double s) {
  return 1 +
         s * (1.0 / 2 +
              s * (1.0 / 24 + s * (1.0 / 720 +
                                   s * (1.0 / 40320 + s * (1.0 / 3628800 +
                                                           s * (1.0 / 479001600 +
                                                                s / 87178291200.0))))));
}
EVENTAX_INLINE double sinh_of(double s) {
  return 1 + s * (1.0 / 6 +
                  s * (1.0 / 120 +
                       s * (1.0 / 5040 +
                            s * (1.0 / 362880 +
                                 s * (1.0 / 39916800 + s * (1.0 / 6227020800.0 +
                                                            s / 1307674368000.0))))));
}
EVENTAX_INLINE double sinh_slope(double s) {
  return 1.0 / 6 +
         s * (2.0 / 120 + s * (3.0 / 5040 + s * (4.0 / 362880 +
                                                 s * (5.0 / 39916800 +
                                                      s * (6.0 / 6227020800.0 +
                                                           s * 7 / 1307674368000.0)))));
}

EVENTAX_INLINE double p_of(double x) { return x > 1 ? 2 - x : x; }
EVENTAX_INLINE double q_of(double x) { return 1 - std::fabs(x); }
EVENTAX_INLINE double x_of(double p, double q) {
  const double past = (p > 0) & (q < 0) ? 2 * q : 0;
  return (p - past) / (std::fabs(p) + std::fabs(q));
}

EVENTAX_INLINE double advanced(const Step& s, double constant, double x, double i) {
  const Magnus m = magnus(s, constant, i);
  const double square = m.x * m.x - m.y * m.w;
  const double cosh = cosh_of(square), sinh = sinh_of(square);
  const double p = p_of(x), q = q_of(x);
  return x_of(cosh * p + sinh * (m.x * p + m.y * q),
              cosh * q - sinh * (m.w * p + m.x * q));
}

// Derivatives of such a step, backwards: of (lx, ly) at its end, those at its start.
struct Back {
  double lx, ly, by_constant, by_c, by_r;
};
EVENTAX_INLINE Back step_back(const Step& s, double constant, double x, double i,
                              double lx, double ly, double r, bool trains) {
  const Magnus m = magnus(s, constant, i);
  const double square = m.x * m.x - m.y * m.w;
  const double cosh = cosh_of(square), sinh = sinh_of(square);
  const double p = p_of(x), q = q_of(x);
  const double to_p = m.x * p + m.y * q, to_q = m.w * p + m.x * q;
  const double p_end = cosh * p + sinh * to_p, q_end = cosh * q - sinh * to_q;
  const double size = std::fabs(p_end) + std::fabs(q_end), scaled = lx / (size * size);
  const double lp_end = scaled * q_end, lq_end = -scaled * p_end;
  const double l_square = (lp_end * p + lq_end * q) * sinh * 0.5 +
                          (lp_end * to_p - lq_end * to_q) * sinh_slope(square);
  const double lmx = sinh * (lp_end * p - lq_end * q) + 2 * m.x * l_square;
  const double lmy = lp_end * sinh * q - m.w * l_square;
  const double lmw = -lq_end * sinh * p - m.y * l_square;
  const double lp = lp_end * (cosh + sinh * m.x) - lq_end * sinh * m.w;
  const double lq = lp_end * sinh * m.y + lq_end * (cosh - sinh * m.x);

  const double c = s.c, sum = 40 * m.b1 + m.b3;
  const double lg = -lmx * (1.0 / 12) - lmx * c * sum * (1.0 / 7200) +
                    lmy * (m.b2 * (1.0 / 120) + m.b1 * m.g * (1.0 / 1800)) +
                    lmw * c * m.g * (1.0 / 1800);
  const double lb1 = lmy - lmx * c * m.g * (1.0 / 180) +
                     lmy * (m.g * m.g - 20 * m.b3 * c) * (1.0 / 3600);
  const double lb2 = lmy * m.g * (1.0 / 120) + lg * c;
  const double lb3 = lmy * (1.0 / 12) - lmx * c * m.g * (1.0 / 7200) -
                     lmy * (20 * m.b1 + 2 * m.b3) * c * (1.0 / 3600) +
                     lmw * c * c * (1.0 / 180);
  const double l_current = lb1 * s.m1 + lb2 * s.m2 + lb3 * s.m3;
  Back back{x > 0 ? lp - lq : lp + lq, l_current * c + ly * s.kept, lb1 * c, 0, 0};
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
  // At rest: J = 0 and p = 0.
  static constexpr double kPadding[kConstants] = {1e9, 1e9, 0, 1};
};

}  // namespace eventax

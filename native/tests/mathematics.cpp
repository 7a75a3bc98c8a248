// Formulas against others that cost more: long double, quadrature, differences.
#include <cmath>

#include "../neurons/alif.h"
#include "../neurons/lif.h"
#include "../neurons/qif.h"
#include "check.h"

using namespace eventax;

namespace {

bool close(double a, long double b, double within) {
  return std::fabs(a - static_cast<double>(b)) <=
         within * std::fabs(static_cast<double>(b)) + 1e-300;
}

void check_exponentials() {
  for (int k = -1300; k < 13; k++) {
    const double x = std::pow(1.7, k);
    CHECK(close(lost(x), -std::expm1(-static_cast<long double>(x)), 1e-15));
  }
  CHECK(lost(0) == 0);
  CHECK(lost(kInf) == 1);
  for (const double a : {0.0, 1e-12, 0.05, 0.1, 0.1 * (1 + 1e-9), 0.3, 5.0})
    for (const double h : {1e-9, 0.01, 1.0, 20.0, 300.0}) {
      const double b = 0.1;
      const Pair p = decayed(Rates::of(a, b), h);
      const long double la = a, lb = b, lh = h;
      CHECK(close(p.lost_a, -std::expm1(-la * lh), 2e-15));
      const long double apart = la - lb;
      const long double wanted =
          std::exp(-std::fmin(la, lb) * lh) *
          (apart == 0 ? lh : -std::expm1(-std::fabs(apart) * lh) / std::fabs(apart));
      // Relative to h: exp(-x) is 1 less what is lost.
      CHECK(std::fabs(p.response - static_cast<double>(wanted)) < 1e-15 * h);
      const double d = 1e-6;
      const Slopes slopes = response_slopes(Rates::of(a, b), h);
      if (a > 0.01) {
        const double by_a = (decayed(Rates::of(a + d, b), h).response -
                             decayed(Rates::of(a - d, b), h).response) /
                            (2 * d);
        CHECK(std::fabs(slopes.by_a - by_a) < 1e-4 * (1 + std::fabs(by_a)));
      }
      const double by_b = (decayed(Rates::of(a, b + d), h).response -
                           decayed(Rates::of(a, b - d), h).response) /
                          (2 * d);
      CHECK(std::fabs(slopes.by_b - by_b) < 1e-4 * (1 + std::fabs(by_b)));
      // The integral of s exp(-slow s) (1 - exp(-|a - b| s)) / (|a - b| s), by Simpson.
      const int n = 4000;
      long double sum = 0;
      for (int k = 0; k <= n; k++) {
        const double s = h * k / n;
        const int weight = k == 0 || k == n ? 1 : k % 2 ? 4 : 2;
        sum += weight * static_cast<long double>(decayed(Rates::of(a, b), s).response);
      }
      const double slope = decay_integral_slope(decay(a, h), decay(b, h), h);
      const double rounding = 1e-15 * h / std::max(a, b);
      CHECK(std::fabs(slope - static_cast<double>(sum * h / (3 * n))) <
            (h > 100 ? 1e-5 : 1e-9) * slope + rounding);
    }
}

// Rates that hardly do anything, by the first terms of a series in both.
void check_slow_integrals() {
  for (const double a : {0.0, 1e-12, 1e-9, 1e-6})
    for (const double b : {1e-12, 1e-10, 3e-9, 1e-6, 1e-5})
      for (const double h : {0.01, 1.0, 40.0}) {
        const double wanted = h * h / 2 - (a + b) * h * h * h / 6 +
                              (a * a + a * b + b * b) * h * h * h * h / 24;
        const double slope = decay_integral_slope(decay(a, h), decay(b, h), h);
        CHECK(std::fabs(slope - wanted) < 1e-11 * wanted);
      }
}

// x of an LIF neuron in long double.
long double potential(const Lif& n, double x, double y, double t) {
  const long double a = n.leak, b = n.syn, lost = -std::expm1(-a * t);
  const long double by_y =
      std::exp(-a * t) * (a == b ? t : std::expm1((a - b) * t) / (a - b));
  return x + n.gain * y * by_y + (a > 0 ? (n.bias - x) * lost : n.bias * t);
}

// Against steps of h / 1000 and bisection, as far as those see a crossing.
void check_crossing(const Lif& n, double x, double y, double h) {
  const auto gap = [&](long double t) {
    return potential(n, x, y, static_cast<double>(t)) - n.thresh;
  };
  const auto after = [&](double t) {
    const auto w = n.way(t);
    const double xe = n.x_after(w, x, y), ye = n.y_after(w, x, y);
    return Gap{n.gap(xe, ye), n.gap_rate(xe, ye), n.gap_bend(xe, ye)};
  };
  const double found = first_rise(
      after(0), after(h), h, n.slow_rate(), n.fast_rate(), 1e-9, after,
      [&] { return n.gap_turn(x, y); }, [&] { return n.gap_limit(x, y); });
  int step = 1;
  while (step <= 1000 && gap(h * step / 1000.0) < 0) step++;
  if (step > 1000) {
    // A top between two steps may be missed by them, not by the search.
    CHECK(!(found < kInf) || std::fabs(static_cast<double>(gap(found))) < 1e-13);
    return;
  }
  double low = h * (step - 1) / 1000.0, high = h * step / 1000.0;
  for (int k = 0; k < 100; k++)
    (gap((low + high) / 2) < 0 ? low : high) = (low + high) / 2;
  const double rate = after(high).rate;
  const double rounding = 4e-16 * (4 + std::fabs(x) + std::fabs(y) + std::fabs(n.bias));
  CHECK(std::fabs(found - high) * rate <= rounding + 1e-15 * h * rate);
}

void check_crossings() {
  // A bias alone: v = ic (1 - exp(-t / tau)).
  const Lif n{0.1, 0.1, 0.0, 0.2, 1.5, 1.0, 0.0, Rates::of(0.1, 0.2)};
  const auto after = [&](double t) {
    const auto w = n.way(t);
    const double x = n.x_after(w, 0, 0), y = n.y_after(w, 0, 0);
    return Gap{n.gap(x, y), n.gap_rate(x, y), n.gap_bend(x, y)};
  };
  const auto rises = [&](double h) {
    return first_rise(
        after(0), after(h), h, n.slow_rate(), n.fast_rate(), 1e-9, after,
        [&] { return n.gap_turn(0, 0); }, [] { return 0.5; });
  };
  CHECK(close(rises(50), 10 * std::log(3.0L), 4e-16 * 4));
  CHECK(!(rises(5) < kInf));

  for (const double leak : {0.0, 0.01, 0.1, 0.3})
    for (const double syn : {0.03, 0.1, 0.1000001, 0.15, 0.2, 0.25, 0.6, 5.0})
      for (const double bias : {-0.5, 0.0, 0.9, 1.0 + 1e-6, 3.0})
        for (const double x : {-2.0, 0.0, 0.7, 0.99999})
          for (const double y : {-4.0, 0.0, 0.5, 3.0, 40.0})
            for (const double h : {0.3, 4.0, 60.0}) {
              const double gain = leak > 0 ? leak : 1, drift = leak > 0 ? 0 : 1;
              check_crossing(
                  {leak, gain, drift, syn, bias, 1.0, 0.0, Rates::of(leak, syn)}, x, y,
                  h);
            }
}

void check_qif_step() {
  const double tau_m = 10, tau_s = 5, h = 2, d = 1e-6;
  const qif::Step s = qif::step_of(h / tau_m, h / tau_s);
  for (const double x : {-0.9, -0.3, 0.2, 0.8, 1.1, 1.6})  // past a spike above 1
    for (const double i : {-2.0, 0.5, 6.0})
      for (const double c : {-0.2, 0.75, 3.0}) {
        const qif::Back b = qif::step_back(s, c, x, i, 1, 0, h / tau_s, true);
        const auto end = [&](double dx, double di, double dc, double dm, double ds) {
          const qif::Step moved = qif::step_of(h / (tau_m + dm), h / (tau_s + ds));
          return qif::advanced(moved, c + dc, x + dx, i + di);
        };
        const auto slope = [&](double e0, double e1, double e2, double e3, double e4) {
          return (end(e0 * d, e1 * d, e2 * d, e3 * d, e4 * d) -
                  end(-e0 * d, -e1 * d, -e2 * d, -e3 * d, -e4 * d)) /
                 (2 * d);
        };
        CHECK(std::fabs(b.lx - slope(1, 0, 0, 0, 0)) < 1e-7);
        CHECK(std::fabs(b.ly - slope(0, 1, 0, 0, 0)) < 1e-7);
        CHECK(std::fabs(b.by_constant - slope(0, 0, 1, 0, 0)) < 1e-7);
        CHECK(std::fabs(-b.by_c * s.c / tau_m - slope(0, 0, 0, 1, 0)) < 1e-7);
        CHECK(std::fabs(-b.by_r * (h / tau_s) / tau_s - slope(0, 0, 0, 0, 1)) < 1e-7);
      }
}

}  // namespace

int main() {
  check_exponentials();
  check_slow_integrals();
  check_crossings();
  check_qif_step();
  return eventax::tests::failures();
}

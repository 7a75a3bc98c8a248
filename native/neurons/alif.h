// Adaptive threshold: ALIF.
//
//   x' = (bias - x) / tau_m,   y' = (base - y) / tau_a
//
// x is the potential, y the threshold. Fires when x reaches y; then x drops by y (or
// goes to 0), and y rises. A spike that arrives makes x jump by its weight times
// `resistance`.
#pragma once

#include "../crossing.h"
#include "../exponentials.h"

namespace eventax {

struct Alif {
  static constexpr bool kFires = true;
  static constexpr bool kArrivalsJump = true;  // x, and so the gap; else y
  enum Constant { kLeak, kAdapt, kBias, kBase, kRise, kResistance, kDrops, kConstants };

  double leak, adapt, bias, base, rise, resistance, drops;

  static EVENTAX_INLINE Alif of(const double* c, int n, int k) {
    return {c[kLeak * n + k], c[kAdapt * n + k], c[kBias * n + k],
            c[kBase * n + k], c[kRise * n + k],  c[kResistance * n + k],
            c[kDrops * n + k]};
  }
  EVENTAX_INLINE Alif with_lane(const double* c, int n, int k) const {
    return {leak,
            adapt,
            c[kBias * n + k],
            c[kBase * n + k],
            c[kRise * n + k],
            c[kResistance * n + k],
            c[kDrops * n + k]};
  }
  bool moves_like(const Alif& o) const { return leak == o.leak && adapt == o.adapt; }
  // `fixed` are base, rise, resistance, and 1 if x drops by y, 0 if it goes to 0.
  static void constants(double tau_m, double tau_a, double bias, const double* fixed,
                        double* c, int n, int k) {
    c[kLeak * n + k] = 1 / tau_m;
    c[kAdapt * n + k] = 1 / tau_a;
    c[kBias * n + k] = bias;
    c[kBase * n + k] = fixed[0];
    c[kRise * n + k] = fixed[1];
    c[kResistance * n + k] = fixed[2];
    c[kDrops * n + k] = fixed[3];
  }
  static constexpr double kPadding[kConstants] = {1, 1, 0, 1e300, 0, 1, 0};

  // Motion

  struct Way {
    double lost_x, lost_y, h;
  };
  EVENTAX_INLINE Way way(double h) const {
    return {lost(leak * h), lost(adapt * h), h};
  }
  EVENTAX_INLINE double x_after(const Way& w, double x, double) const {
    return mul_add(w.lost_x, bias - x, x);
  }
  EVENTAX_INLINE double y_after(const Way& w, double, double y) const {
    return mul_add(w.lost_y, base - y, y);
  }
  EVENTAX_INLINE double x_rate(double x, double) const { return leak * (bias - x); }
  EVENTAX_INLINE double y_rate(double, double y) const { return adapt * (base - y); }

  // Firing: the gap is a constant plus two exponentials

  EVENTAX_INLINE double gap(double x, double y) const { return x - y; }
  EVENTAX_INLINE double gap_rate(double x, double y) const {
    return x_rate(x, y) - y_rate(x, y);
  }
  EVENTAX_INLINE double gap_bend(double x, double y) const {
    return adapt * y_rate(x, y) - leak * x_rate(x, y);
  }
  EVENTAX_INLINE double slow_rate() const { return leak < adapt ? leak : adapt; }
  EVENTAX_INLINE double fast_rate() const { return leak < adapt ? adapt : leak; }
  EVENTAX_INLINE double gap_turn(double x, double y) const {
    return turning_point(leak, adapt, gap_rate(x, y), (leak - adapt) * y_rate(x, y));
  }
  double gap_limit(double, double) const { return bias - base; }
  EVENTAX_INLINE double x_turn(double, double) const { return kInf; }
  EVENTAX_INLINE void fire(double& x, double& y) const {
    x = drops * (x - y);
    y += rise;
  }
  EVENTAX_INLINE void receive(double w, double& x, double&) const {
    x += resistance * w;
  }

  // Readouts

  struct Area {
    double by_x, by_y, by_bias;
  };
  Area area(double rho, double h) const {
    const Decay x = decay(leak + rho, h);
    return {x.area, 0, leak * decay_integral_slope(decay(rho, h), x, h)};
  }
  struct AreaEnds {
    double by_tau_m, by_tau_s, by_x_end, by_y_end;
  };
  // No time constant is trained.
  AreaEnds area_ends(double, double, double, double, double, double) const {
    return {0, 0, 0, 0};
  }

  // Adjoint

  EVENTAX_INLINE double lx_before(const Way& w, double lx, double) const {
    return lx - w.lost_x * lx;
  }
  EVENTAX_INLINE double ly_before(const Way& w, double, double ly) const {
    return ly - w.lost_y * ly;
  }
  EVENTAX_INLINE double bias_gradient(const Way& w, double lx, double) const {
    return w.lost_x * lx;
  }
  EVENTAX_INLINE Slopes slopes(double) const { return {}; }
  struct ByTaus {
    double first, second;
  };
  EVENTAX_INLINE ByTaus tau_gradients(const Way&, const Slopes&, double, double, double,
                                      double) const {
    return {0, 0};
  }
  EVENTAX_INLINE double heard(double lx, double) const { return resistance * lx; }
  EVENTAX_INLINE double x_shift(double w) const { return leak * resistance * w; }
  EVENTAX_INLINE double y_shift(double) const { return 0; }
  EVENTAX_INLINE void fire_back(double& lx, double& ly) const {
    ly -= drops * lx;
    lx *= drops;
  }
  static constexpr double kGapByX = 1, kGapByY = -1;
};

}  // namespace eventax

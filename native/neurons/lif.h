// Leaky integrators with exponential synaptic current: LI, LIF, PLIF.
//
//   x' = -leak x + gain (y + bias),   y' = -syn y,   leak = gain = 1/tau_m, syn =
//   1/tau_s
//
// x is the potential, y the current. Fires when x reaches thresh; then x = reset. A
// spike that arrives adds its weight to y. Without a leak (tau_m = inf) gain is 1.
#pragma once

#include "../crossing.h"
#include "../exponentials.h"

namespace eventax {

struct Lif {
  static constexpr bool kFires = true;
  static constexpr bool kArrivalsJump = false;  // x, and so the gap; else y
  enum Constant {
    kLeak,
    kGain,
    kDrift,
    kSyn,
    kBias,
    kThresh,
    kReset,
    kSlow,
    kApart,
    kInverse,
    kFast,
    kConstants
  };

  double leak, gain, drift, syn, bias, thresh,
      reset;    // drift: 1 without a leak, else 0
  Rates rates;  // leak and syn

  static EVENTAX_INLINE Lif of(const double* c, int n, int k) {
    return {
        c[kLeak * n + k],
        c[kGain * n + k],
        c[kDrift * n + k],
        c[kSyn * n + k],
        c[kBias * n + k],
        c[kThresh * n + k],
        c[kReset * n + k],
        {c[kSlow * n + k], c[kApart * n + k], c[kInverse * n + k], c[kFast * n + k]}};
  }
  // The same with the time constants of this one, which all share.
  EVENTAX_INLINE Lif with_lane(const double* c, int n, int k) const {
    return {
        leak, gain, drift, syn, c[kBias * n + k], c[kThresh * n + k], c[kReset * n + k],
        rates};
  }
  bool moves_like(const Lif& o) const {
    return leak == o.leak && gain == o.gain && syn == o.syn;
  }
  // Time constants as a user gives them; `fixed` are thresh and reset.
  static void constants(double tau_m, double tau_s, double bias, const double* fixed,
                        double* c, int n, int k) {
    c[kLeak * n + k] = 1 / tau_m;
    c[kGain * n + k] = tau_m < kInf ? 1 / tau_m : 1.0;
    c[kDrift * n + k] = tau_m < kInf ? 0.0 : 1.0;
    c[kSyn * n + k] = 1 / tau_s;
    c[kBias * n + k] = bias;
    c[kThresh * n + k] = fixed[0];
    c[kReset * n + k] = fixed[1];
    const Rates r = Rates::of(1 / tau_m, 1 / tau_s);
    c[kSlow * n + k] = r.slow;
    c[kApart * n + k] = r.apart;
    c[kInverse * n + k] = r.inverse;
    c[kFast * n + k] = r.a_is_fast;
  }
  // Nobody hears a lane of the padding, and it never fires.
  static constexpr double kPadding[kConstants] = {1, 1, 0, 1, 0, 1e300, 0, 1, 0, 0, 0};

  // Motion

  struct Way {  // what a length h does
    double lost_x, lost_y, response, by_bias, h;
  };
  EVENTAX_INLINE Way way(double h) const {
    const Pair p = decayed(rates, h);
    return {p.lost_a, p.lost_b, gain * p.response, mul_add(drift, h, p.lost_a), h};
  }
  EVENTAX_INLINE double x_after(const Way& w, double x, double y) const {
    return x + mul_add(w.response, y, mul_add(-w.lost_x, x, w.by_bias * bias));
  }
  EVENTAX_INLINE double y_after(const Way& w, double, double y) const {
    return mul_add(-w.lost_y, y, y);
  }
  EVENTAX_INLINE double x_rate(double x, double y) const {
    return mul_add(-leak, x, gain * (y + bias));
  }
  EVENTAX_INLINE double y_rate(double, double y) const { return -syn * y; }

  // Firing

  EVENTAX_INLINE double gap(double x, double) const { return x - thresh; }
  EVENTAX_INLINE double gap_rate(double x, double y) const { return x_rate(x, y); }
  EVENTAX_INLINE double gap_bend(double x, double y) const {
    return -leak * x_rate(x, y) - gain * syn * y;
  }
  // Of the two exponentials in it.
  EVENTAX_INLINE double slow_rate() const { return rates.slow; }
  EVENTAX_INLINE double fast_rate() const { return rates.slow + rates.apart; }
  EVENTAX_INLINE double gap_turn(double x, double y) const { return x_turn(x, y); }
  // At infinity.
  double gap_limit(double x, double y) const {
    if (leak > 0) return gain * bias / leak - thresh;
    return bias == 0 ? x + gain * y / syn - thresh : bias * kInf;
  }
  EVENTAX_INLINE double x_turn(double x, double y) const {
    return turning_point(leak, syn, x_rate(x, y), gain * syn * y);
  }
  EVENTAX_INLINE void fire(double& x, double&) const { x = reset; }
  EVENTAX_INLINE void receive(double w, double&, double& y) const { y += w; }

  // Readouts: the integral of x exp(-rho s) over 0 < s < h, of x, y and bias

  struct Area {
    double by_x, by_y, by_bias;
  };
  Area area(double rho, double h) const {
    const Decay x = decay(leak + rho, h), y = decay(syn + rho, h), one = decay(rho, h);
    return {x.area, gain * decay_integral_slope(x, y, h),
            gain * decay_integral_slope(one, x, h)};
  }
  // Its derivative by tau_m and tau_s, with both ends of the way held, and by these
  // ends: both equations times exp(-rho s), integrated by parts.
  struct AreaEnds {
    double by_tau_m, by_tau_s, by_x_end, by_y_end;
  };
  AreaEnds area_ends(double rho, double h, double x, double y, double x_end,
                     double y_end) const {
    const double tau_m = 1 / leak, tau_s = 1 / syn, q = std::exp(-rho * h);
    const double m = 1 / (1 + rho * tau_m), s = 1 / (1 + rho * tau_s);
    const double current = tau_s * s * (y - y_end * q) + bias * decay_integral(rho, h);
    const double whole = (current - tau_m * (x_end * q - x)) * m;
    return {-m * (x_end * q - x + rho * whole), s * s * m * (y - y_end * q),
            -tau_m * q * m, -tau_s * q * s * m};
  }

  // Adjoint: of (lx, ly) at the end of a way, those at its start

  EVENTAX_INLINE double lx_before(const Way& w, double lx, double) const {
    return mul_add(-w.lost_x, lx, lx);
  }
  EVENTAX_INLINE double ly_before(const Way& w, double lx, double ly) const {
    return mul_add(w.response, lx, mul_add(-w.lost_y, ly, ly));
  }
  EVENTAX_INLINE double bias_gradient(const Way& w, double lx, double) const {
    return w.by_bias * lx;
  }
  EVENTAX_INLINE Slopes slopes(double h) const { return response_slopes(rates, h); }
  // By tau_m and tau_s; needs the state at the start of the way.
  struct ByTaus {
    double first, second;
  };
  EVENTAX_INLINE ByTaus tau_gradients(const Way& w, const Slopes& r, double x, double y,
                                      double lx, double ly) const {
    const double by_x = leak * (bias - x) * w.h * (1 - w.lost_x);
    const double by_y = y * (w.response + leak * leak * r.by_a);
    const double by_syn = y * (lx * gain * r.by_b - ly * w.h * (1 - w.lost_y));
    return {-leak * lx * (by_x + by_y), -by_syn * syn * syn};
  }
  // By the weight of a spike that arrives.
  EVENTAX_INLINE double heard(double, double ly) const { return ly; }
  // By the time of that arrival: (lx, ly) times the slope before less that after it.
  EVENTAX_INLINE double x_shift(double w) const { return -gain * w; }
  EVENTAX_INLINE double y_shift(double w) const { return syn * w; }
  // Of (lx, ly) after a reset, those before it, as far as the reset tells.
  EVENTAX_INLINE void fire_back(double& lx, double&) const { lx = 0; }
  // By the state at a crossing.
  static constexpr double kGapByX = 1, kGapByY = 0;
};

// A readout: it never fires.
struct Li : Lif {
  static constexpr bool kFires = false;
  static EVENTAX_INLINE Li of(const double* c, int n, int k) {
    return {Lif::of(c, n, k)};
  }
  EVENTAX_INLINE Li with_lane(const double* c, int n, int k) const {
    return {Lif::with_lane(c, n, k)};
  }
};

}  // namespace eventax

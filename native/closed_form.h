// Populations in closed form: LI, LIF, PLIF, ALIF. Every loop over lanes is one that
// the compiler vectorises.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "crossing.h"
#include "population.h"

namespace eventax {

// A model whose motion is known in closed form, as a constant and two exponentials.
template <class Neuron>
class ClosedForm final : public Population {
 public:
  using Way = typename Neuron::Way;

  ClosedForm(int first, int size, int width, Pause pause, std::vector<double> constants)
      : Population(first, size, width, pause), c_(std::move(constants)) {
    uniform_ = true;
    for (int k = 1; k < size; k++) uniform_ &= lane(k).moves_like(lane(0));
  }

  bool scan(const Lanes& lanes, double h, const double* row) const override {
    const bool pauses = pause().ever;
    if (uniform_)
      return pauses ? scan<true, true>(lanes, h, row)
                    : scan<true, false>(lanes, h, row);
    return pauses ? scan<false, true>(lanes, h, row)
                  : scan<false, false>(lanes, h, row);
  }

  void go(const Lanes& l, double h) const override {
    if (pause().ever)
      uniform_ ? go<true, true>(l, h) : go<false, true>(l, h);
    else
      uniform_ ? go<true, false>(l, h) : go<false, false>(l, h);
  }

  void receive(const Lanes& l, const double* row) const override {
    uniform_ ? arrive<true>(l, row) : arrive<false>(l, row);
  }

  bool may_fire(int k, State s, double h) const override {
    if (!Neuron::kFires) return false;
    const Neuron n = lane(k);
    const Way w = n.way(h);
    return rise(n, s.x, s.y, n.x_after(w, s.x, s.y), n.y_after(w, s.x, s.y), h) >= 0;
  }

  State after(int k, State s, double h, Mode mode) const override {
    const Neuron n = lane(k);
    const Way w = n.way(h);
    return {mode.hold_x ? s.x : n.x_after(w, s.x, s.y),
            mode.hold_y ? s.y : n.y_after(w, s.x, s.y)};
  }

  using Population::crossing;
  double crossing(int k, State s, double h, State& end, bool& known) const override {
    if (!Neuron::kFires) return kInf;
    const Neuron n = lane(k);
    const auto gap_after = [&](double t) {
      const Way w = n.way(t);
      return gap_of(n, {n.x_after(w, s.x, s.y), n.y_after(w, s.x, s.y)});
    };
    const Gap now = gap_of(n, s);
    if (now.value >= 0) return 0;
    if (!known) {
      const Way w = n.way(h);
      end = {n.x_after(w, s.x, s.y), n.y_after(w, s.x, s.y)};
      known = true;
    }
    const double doubt =
        1e-9 * (std::fabs(now.value) + std::fabs(s.x) + std::fabs(end.x));
    return first_rise(
        now, gap_of(n, end), h, n.slow_rate(), n.fast_rate(), doubt, gap_after,
        [&] { return n.gap_turn(s.x, s.y); }, [&] { return n.gap_limit(s.x, s.y); });
  }

  double guess(int k, State s, double h) const override {
    const Neuron n = lane(k);
    const Gap now = gap_of(n, s);
    if (now.value >= 0) return 0;
    const Rise rise(now, n.slow_rate(), n.fast_rate());
    return now.rate > 0 && rise.slope > 0 ? rise.s : h;
  }

  double gap(int k, State s) const override { return lane(k).gap(s.x, s.y); }
  bool note_threshold(const Lanes& l) const override {
    if (!Neuron::kFires) return false;
    uniform_ ? gaps<true>(l) : gaps<false>(l);
    return note_signs(l.may + first(), width(), l.flags + first() / kVector);
  }
  State slope(int k, State s) const override {
    const Neuron n = lane(k);
    return {n.x_rate(s.x, s.y), n.y_rate(s.x, s.y)};
  }
  State fired(int k, State s) const override {
    lane(k).fire(s.x, s.y);
    return s;
  }
  State received(int k, State s, double w) const override {
    lane(k).receive(w, s.x, s.y);
    return s;
  }
  State gap_by_state() const override { return {Neuron::kGapByX, Neuron::kGapByY}; }
  bool arrivals_jump() const override { return Neuron::kArrivalsJump; }
  bool fires() const override { return Neuron::kFires; }
  bool needs_states(bool trains) const override { return trains; }

  void go_back(const Lanes& l, const Adjoints& a, double h, const Lanes* start,
               const Gauge& gauge, const double* by_integral,
               bool trains) const override {
    const int f = first();
    if (trains && by_integral)
      for (int k = 0; k < size(); k++) {
        const State s{start->x[f + k], start->y[f + k]};
        tau_back(k, s, h, mode(l, k), {a.lx[f + k], a.ly[f + k]}, a, gauge,
                 by_integral[f + k]);
      }
    else if (trains)
      uniform_ ? taus_back<true>(l, a, *start, h) : taus_back<false>(l, a, *start, h);
    if (pause().ever)
      uniform_ ? move_back<true, true>(l, a, h) : move_back<false, true>(l, a, h);
    else
      uniform_ ? move_back<true, false>(l, a, h) : move_back<false, false>(l, a, h);
    if (!by_integral) return;
    const double* free_x = l.free_x + f;
    double *lx = a.lx + f, *ly = a.ly + f, *bias = a.bias + f;
    typename Neuron::Area area = lane(0).area(gauge.rho, h);
    const double still = decay_integral(gauge.rho, h);
    for (int k = 0; k < size(); k++) {
      if (!uniform_) area = lane(k).area(gauge.rho, h);
      const double by = by_integral[f + k] * gauge.weight;
      if (free_x[k] > 0) {
        lx[k] += by * area.by_x;
        ly[k] += by * area.by_y;
        bias[k] += by * area.by_bias;
      } else {
        lx[k] += by * still;
      }
    }
  }

  double arrival_back(const Lanes& l, const Adjoints& a, const Lanes*,
                      const double* row, double* gradient, bool timed,
                      double* by_delay) const override {
    if (!pause().ever && !by_delay) {
      if (uniform_)
        return timed ? arrive_back<true, true>(a, row, gradient)
                     : arrive_back<true, false>(a, row, gradient);
      return timed ? arrive_back<false, true>(a, row, gradient)
                   : arrive_back<false, false>(a, row, gradient);
    }
    const int f = first();
    const double *lx = a.lx + f, *ly = a.ly + f, *w = row + f, *hears = l.hears + f,
                 *free_x = l.free_x + f, *free_y = l.free_y + f;
    double* g = gradient + f;
    double by_time = 0;
    for (int k = 0; k < size(); k++) {
      const Neuron n = lane(k);
      g[k] += hears[k] * n.heard(lx[k], ly[k]);
      const double by = hears[k] * (free_x[k] * lx[k] * n.x_shift(w[k]) +
                                    free_y[k] * ly[k] * n.y_shift(w[k]));
      if (by_delay) by_delay[f + k] += by;
      by_time += by;
    }
    return by_time;
  }

  void lane_back(int k, State s, double h, Mode mode, State& l, const Adjoints& a,
                 const Gauge& gauge, double by_integral, bool trains) const override {
    if (trains) tau_back(k, s, h, mode, l, a, gauge, by_integral);
    const Neuron n = lane(k);
    const Way w = n.way(h);
    const double x = mode.hold_x ? 0 : l.x, y = mode.hold_y ? 0 : l.y;
    double& bias = a.bias[first() + k];
    bias += n.bias_gradient(w, x, y);
    l = {n.lx_before(w, x, y) + (l.x - x), n.ly_before(w, x, y) + (l.y - y)};
    if (by_integral == 0) return;
    const double by = by_integral * gauge.weight;
    if (mode.hold_x) {
      l.x += by * decay_integral(gauge.rho, h);
    } else {
      const auto area = n.area(gauge.rho, h);
      l.x += by * area.by_x;
      l.y += by * area.by_y;
      bias += by * area.by_bias;
    }
  }

  double lane_arrival_back(int k, State, double w, Mode mode, State l,
                           double& gradient) const override {
    if (mode.deaf) return 0;
    const Neuron n = lane(k);
    gradient += n.heard(l.x, l.y);
    return (mode.hold_x ? 0 : l.x * n.x_shift(w)) +
           (mode.hold_y ? 0 : l.y * n.y_shift(w));
  }

  State fired_back(int k, State, State l) const override {
    lane(k).fire_back(l.x, l.y);
    return l;
  }

  void integrate(const Lanes& l, double h, const Gauge& gauge,
                 double* sums) const override {
    const int f = first();
    typename Neuron::Area area = lane(0).area(gauge.rho, h);
    const double still = decay_integral(gauge.rho, h) * gauge.weight;
    for (int k = 0; k < size(); k++) {
      const Neuron n = lane(k);
      if (!uniform_) area = n.area(gauge.rho, h);
      const double moves =
          area.by_x * l.x[f + k] + area.by_y * l.y[f + k] + area.by_bias * n.bias;
      sums[f + k] += l.free_x[f + k] > 0 ? gauge.weight * moves : still * l.x[f + k];
    }
  }

  double lane_integral(int k, State s, double h, Mode mode,
                       const Gauge& gauge) const override {
    const Neuron n = lane(k);
    if (mode.hold_x) return gauge.weight * decay_integral(gauge.rho, h) * s.x;
    const auto area = n.area(gauge.rho, h);
    return gauge.weight * (area.by_x * s.x + area.by_y * s.y + area.by_bias * n.bias);
  }

  double turn(int k, State s) const override { return lane(k).x_turn(s.x, s.y); }

 private:
  EVENTAX_INLINE Neuron lane(int k) const { return Neuron::of(c_.data(), width(), k); }

  static EVENTAX_INLINE Gap gap_of(const Neuron& n, State s) {
    return {n.gap(s.x, s.y), n.gap_rate(s.x, s.y), n.gap_bend(s.x, s.y)};
  }

  Mode mode(const Lanes& l, int k) const {
    const int f = first() + k;
    return {l.awake[f] == 0, l.free_x[f] == 0, l.free_y[f] == 0, l.hears[f] == 0};
  }

  // Not negative where the gap may reach 0 within h. The rate u of a gap that turns
  // from rising to falling is convex until its zero, so its chord bounds what it rises
  // by: u^2 h / (2 (u - u_end)).
  static EVENTAX_INLINE double rise(const Neuron& n, double x, double y, double xe,
                                    double ye, double h) {
    const double g = n.gap(x, y), ge = n.gap(xe, ye);
    const double u = n.gap_rate(x, y), ue = n.gap_rate(xe, ye);
    const double up = mul_add(g, 2 * (u - ue), u * u * h);
    const double top = g > ge ? g : ge;
    const double turns = ((u > 0) & (ue <= 0)) ? up : top;
    return turns > top ? turns : top;
  }

  template <bool kUniform>
  void gaps(const Lanes& l) const {
    const Neuron shared = lane(0);
    const int f = first(), n = width();
    const double* __restrict x = l.x + f, * __restrict y = l.y + f, * __restrict c = c_.data();
    double* __restrict may = l.may + f;
#pragma omp simd
    for (int k = 0; k < n; k++)
      may[k] = neuron<kUniform>(shared, c, n, k).gap(x[k], y[k]);
  }

  template <bool kUniform, bool kPauses>
  bool scan(const Lanes& l, double h, const double* row) const {
    row ? pass<kUniform, kPauses, true>(l, h, row + first())
        : pass<kUniform, kPauses, false>(l, h, nullptr);
    return Neuron::kFires &&
           note_signs(l.may + first(), width(), l.flags + first() / kVector);
  }

  template <bool kUniform>
  void arrive(const Lanes& l, const double* row) const {
    const Neuron shared = lane(0);
    const int f = first(), n = width();
    double* __restrict x = l.x + f, * __restrict y = l.y + f;
    const double* __restrict hears = l.hears + f, * __restrict w = row + f, * __restrict c = c_.data();
#pragma omp simd
    for (int k = 0; k < n; k++) {
      const Neuron m = neuron<kUniform>(shared, c, n, k);
      double xs = x[k], ys = y[k];
      m.receive(w[k] * hears[k], xs, ys);
      x[k] = xs;
      y[k] = ys;
    }
  }

  template <bool kUniform, bool kPauses>
  void go(const Lanes& l, const double h) const {
    const Neuron shared = lane(0);
    const Way way = shared.way(h);
    const int f = first(), n = width();
    const double* __restrict x = l.x + f, * __restrict y = l.y + f, * __restrict free_x = l.free_x + f, * __restrict free_y = l.free_y + f, * __restrict c = c_.data();
    double* __restrict x_end = l.x_end + f, * __restrict y_end = l.y_end + f;
#pragma omp simd
    for (int k = 0; k < n; k++) {
      const Neuron m = neuron<kUniform>(shared, c, n, k);
      const Way own = way_of<kUniform>(m, h);
      const Way& w = kUniform ? way : own;
      const double xe = m.x_after(w, x[k], y[k]), ye = m.y_after(w, x[k], y[k]);
      x_end[k] = !kPauses || free_x[k] > 0 ? xe : x[k];
      y_end[k] = !kPauses || free_y[k] > 0 ? ye : y[k];
    }
  }

  template <bool kUniform, bool kPauses>
  void move_back(const Lanes& l, const Adjoints& a, const double h) const {
    const Neuron shared = lane(0);
    const Way way = shared.way(h);
    const int f = first(), n = width();
    const double* __restrict free_x = l.free_x + f, * __restrict free_y = l.free_y + f, * __restrict c = c_.data();
    double* __restrict lx = a.lx + f, * __restrict ly = a.ly + f, * __restrict bias = a.bias + f;
#pragma omp simd
    for (int k = 0; k < n; k++) {
      const Neuron m = neuron<kUniform>(shared, c, n, k);
      const Way own = way_of<kUniform>(m, h);
      const Way& w = kUniform ? way : own;
      // What is held stays as it is.
      const double x = kPauses ? (free_x[k] > 0 ? lx[k] : 0) : lx[k];
      const double y = kPauses ? (free_y[k] > 0 ? ly[k] : 0) : ly[k];
      bias[k] += m.bias_gradient(w, x, y);
      const double x_before = m.lx_before(w, x, y), y_before = m.ly_before(w, x, y);
      lx[k] = kPauses ? x_before + (lx[k] - x) : x_before;
      ly[k] = kPauses ? y_before + (ly[k] - y) : y_before;
    }
  }

  template <bool kUniform>
  void taus_back(const Lanes& l, const Adjoints& a, const Lanes& start,
                 const double h) const {
    const Neuron shared = lane(0);
    const Way way = shared.way(h);
    const Slopes slopes = shared.slopes(h);
    const int f = first(), n = width();
    const double* __restrict free_x = l.free_x + f, * __restrict free_y = l.free_y + f, * __restrict lx = a.lx + f, * __restrict ly = a.ly + f, * __restrict x = start.x + f, * __restrict y = start.y + f, * __restrict c = c_.data();
    double* __restrict by_1 = a.tau_1 + f, * __restrict by_2 = a.tau_2 + f;
#pragma omp simd
    for (int k = 0; k < n; k++) {
      const Neuron m = neuron<kUniform>(shared, c, n, k);
      const Way own = way_of<kUniform>(m, h);
      const Way& w = kUniform ? way : own;
      const Slopes own_slopes = kUniform ? Slopes{} : m.slopes(h);
      const Slopes& r = kUniform ? slopes : own_slopes;
      const auto by = m.tau_gradients(w, r, x[k], y[k], free_x[k] > 0 ? lx[k] : 0,
                                      free_y[k] > 0 ? ly[k] : 0);
      by_1[k] += by.first;
      by_2[k] += by.second;
    }
  }

  template <bool kUniform, bool kTimed>
  double arrive_back(const Adjoints& a, const double* row, double* gradient) const {
    const Neuron shared = lane(0);
    const int f = first(), n = width();
    const double* __restrict lx = a.lx + f, * __restrict ly = a.ly + f, * __restrict w = row + f, * __restrict c = c_.data();
    double* __restrict g = gradient + f;
    double by_time = 0;
#pragma omp simd reduction(+ : by_time)
    for (int k = 0; k < n; k++) {
      const Neuron m = neuron<kUniform>(shared, c, n, k);
      g[k] += m.heard(lx[k], ly[k]);
      if (kTimed) by_time += lx[k] * m.x_shift(w[k]) + ly[k] * m.y_shift(w[k]);
    }
    return by_time;
  }

  // A lane, of which all share the time constants or each has its own. In a loop over
  // lanes neither it nor what a length does to it is copied: a copy would be in memory,
  // and the loop not vectorised.
  template <bool kUniform>
  static EVENTAX_INLINE Neuron neuron(const Neuron& shared, const double* c, int n,
                                      int k) {
    if constexpr (kUniform)
      return shared.with_lane(c, n, k);
    else
      return Neuron::of(c, n, k);
  }
  template <bool kUniform>
  static EVENTAX_INLINE Way way_of(const Neuron& own, double h) {
    if constexpr (kUniform)
      return {};
    else
      return own.way(h);
  }

  template <bool kUniform, bool kPauses, bool kArrives>
  void pass(const Lanes& l, const double h, const double* __restrict row) const {
    const Neuron shared = lane(0);
    const Way way = shared.way(h);
    const int f = first(), n = width();
    double* __restrict x = l.x + f, * __restrict y = l.y + f, * __restrict x_end = l.x_end + f, * __restrict y_end = l.y_end + f, * __restrict may = l.may + f;
    const double* __restrict free_x = l.free_x + f, * __restrict free_y = l.free_y + f, * __restrict hears = l.hears + f, * __restrict awake = l.awake + f;
    const double* __restrict c = c_.data();
#pragma omp simd
    for (int k = 0; k < n; k++) {
      const Neuron m = neuron<kUniform>(shared, c, n, k);
      const Way own = way_of<kUniform>(m, h);
      const Way& w = kUniform ? way : own;
      double xs = x[k], ys = y[k];
      if (kArrives) {
        m.receive(kPauses ? row[k] * hears[k] : row[k], xs, ys);
        if (Neuron::kArrivalsJump)
          x[k] = xs;
        else
          y[k] = ys;
      }
      double xe = m.x_after(w, xs, ys), ye = m.y_after(w, xs, ys);
      if (kPauses) {
        xe = free_x[k] > 0 ? xe : xs;
        ye = free_y[k] > 0 ? ye : ys;
      }
      x_end[k] = xe;
      y_end[k] = ye;
      if (Neuron::kFires) {
        const double r = rise(m, xs, ys, xe, ye, h);
        may[k] = !kPauses || awake[k] > 0 ? r : -1.0;
      }
    }
  }

  void tau_back(int k, State s, double h, Mode mode, State l, const Adjoints& a,
                const Gauge& gauge, double by_integral) const {
    const Neuron n = lane(k);
    double& by_1 = a.tau_1[first() + k];
    double& by_2 = a.tau_2[first() + k];
    if (mode.hold_x) l.x = 0;
    if (mode.hold_y) l.y = 0;
    if (by_integral != 0 && !mode.hold_x) {
      const State end = after(k, s, h, mode);
      const auto area = n.area_ends(gauge.rho, h, s.x, s.y, end.x, end.y);
      const double by = by_integral * gauge.weight;
      by_1 += by * area.by_tau_m;
      by_2 += by * area.by_tau_s;
      l.x += by * area.by_x_end;
      l.y += by * area.by_y_end;
    }
    const auto by = n.tau_gradients(n.way(h), n.slopes(h), s.x, s.y, l.x, l.y);
    by_1 += by.first;
    by_2 += by.second;
  }

  std::vector<double> c_;
  bool uniform_;
};

}  // namespace eventax

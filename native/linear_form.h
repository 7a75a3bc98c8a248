// Populations in linear form: QIF, PQIF. Magnus steps of sixth order, as many as the
// error allowed asks for.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "neurons/qif.h"
#include "population.h"

namespace eventax {

class LinearForm final : public Population {
 public:
  LinearForm(int first, int size, int width, Pause pause, std::vector<double> constants)
      : Population(first, size, width, pause), c_(std::move(constants)) {
    double allowed = 1;
    for (int k = 0; k < size; k++) {
      uniform_ &= tau_m(k) == tau_m(0) && tau_s(k) == tau_s(0);
      shortest_ = std::min(shortest_, 2 * tau_s(k));
      allowed = std::min(allowed, c_[Qif::kTolerance * width + k]);
    }
    for (int k = 0; k < size; k++) blur_ = std::max(blur_, 10 * allowed * tau_m(k));
    per_allowed_ = std::pow(allowed, -5.0 / 7);
  }

  bool scan(const Lanes& l, double h, const double* row) const override {
    if (row) receive(l, row);
    double* may = l.may + first();
    move<true>(l, h);
    return note_signs(may, width(), l.flags + first() / kVector);
  }
  void go(const Lanes& l, double h) const override { move<false>(l, h); }
  void receive(const Lanes& l, const double* row) const override {
    const int f = first();
    for (int k = f; k < f + width(); k++) l.y[k] += row[k] * l.hears[k];
  }
  bool may_fire(int k, State s, double h) const override {
    return s.x >= 1 || approach(k, s, h).end.x >= 1;
  }

  State after(int k, State s, double h, Mode mode) const override {
    const int n = steps(k, s, h);
    if (n == 0) return {kNaN, kNaN};
    const qif::Step step = step_of(k, h / n);
    State end = s;
    for (int j = 0; j < n; j++) {
      end.x = qif::advanced(step, constant(k), end.x, end.y);
      if (!mode.hold_y) end.y *= step.kept;
    }
    return {mode.hold_x ? s.x : end.x, end.y};
  }

  using Population::crossing;
  double crossing(int k, State s, double h, State&, bool&) const override {
    if (s.x >= 1) return 0;
    const Approach a = approach(k, s, h);
    if (!(a.end.x >= 1)) return kInf;
    return std::min(a.gone + within(k, a.start, a.length, a.end), h);
  }
  double guess(int k, State s, double h) const override {
    const double w = wait(k, s).time;
    return w < h ? w : h;
  }
  double gap(int, State s) const override { return s.x - 1; }
  bool note_threshold(const Lanes&) const override { return false; }
  State slope(int k, State s) const override {
    const double p = qif::p_of(s.x), q = qif::q_of(s.x);
    return {(p * p + (constant(k) + s.y) * q * q) / tau_m(k), -s.y / tau_s(k)};
  }
  State fired(int, State s) const override { return {-1, s.y}; }
  State received(int, State s, double w) const override { return {s.x, s.y + w}; }
  State gap_by_state() const override { return {1, 0}; }
  bool arrivals_jump() const override { return false; }
  bool fires() const override { return true; }
  bool needs_states(bool) const override { return true; }
  double blur() const override { return blur_; }
  double reach() const override { return shortest_ / 2; }

  void go_back(const Lanes& l, const Adjoints& a, double h, const Lanes* start,
               const Gauge&, const double*, bool trains) const override {
    if (h <= 0) return;
    const int f = first(), w = width();
    const bool plain = uniform_ && !trains && !pause().ever;
    const auto [n, shared] = pace(*start, h);
    // States at the start of each step.
    thread_local std::vector<double> kept;
    kept.resize(static_cast<std::size_t>(2) * w * (n + 1));
    std::memcpy(kept.data(), start->x + f, w * sizeof(double));
    std::memcpy(kept.data() + w, start->y + f, w * sizeof(double));
    for (int j = 0; j + 1 < n; j++) {
      const double* now = &kept[static_cast<std::size_t>(2) * w * j];
      stride(l, h / n, shared, now, now + w,
             &kept[static_cast<std::size_t>(2) * w * (j + 1)],
             &kept[static_cast<std::size_t>(2) * w * (j + 1) + w]);
    }
    for (int j = n - 1; j >= 0; j--) {
      const double* __restrict x = &kept[static_cast<std::size_t>(2) * w * j];
      const double* __restrict y = x + w;
      double* __restrict lx = a.lx + f, * __restrict ly = a.ly + f, * __restrict bias = a.bias + f, * __restrict by_1 = a.tau_1 + f, * __restrict by_2 = a.tau_2 + f;
      const double *free_x = l.free_x + f, *free_y = l.free_y + f;
      if (plain) {
        all_back(w, shared, &c_[Qif::kConstant * w], x, y, lx, ly, bias);
        continue;
      }
      for (int k = 0; k < size(); k++) {
        const qif::Step s = uniform_ ? shared : step_of(k, h / n);
        const double r = h / n / tau_s(k);
        const double mx = free_x[k] > 0 ? lx[k] : 0, my = free_y[k] > 0 ? ly[k] : 0;
        const qif::Back b =
            qif::step_back(s, constant(k), x[k], y[k], mx, my, r, trains);
        bias[k] += b.by_constant;
        by_1[k] -= b.by_c * s.c / tau_m(k);
        by_2[k] -= b.by_r * r / tau_s(k);
        lx[k] = b.lx + (lx[k] - mx);
        ly[k] = b.ly + (ly[k] - my);
      }
    }
  }

  double arrival_back(const Lanes& l, const Adjoints& a, const Lanes* start,
                      const double* row, double* gradient, bool timed,
                      double* by_delay) const override {
    double by_time = 0;
    for (int j = 0; j < size(); j++) {
      const int k = first() + j;
      gradient[k] += l.hears[k] * a.ly[k];
      if (!timed && !by_delay) continue;
      const double by =
          l.hears[k] *
          shift(j, start->x[k], row[k], l.free_x[k] * a.lx[k], l.free_y[k] * a.ly[k]);
      if (by_delay) by_delay[k] += by;
      by_time += by;
    }
    return by_time;
  }

  void lane_back(int k, State s, double h, Mode mode, State& l, const Adjoints& a,
                 const Gauge&, double, bool trains) const override {
    if (h <= 0) return;
    const int n = steps(k, s, h);
    if (n == 0) return;
    const qif::Step step = step_of(k, h / n);
    const double r = h / n / tau_s(k);
    thread_local std::vector<State> kept;
    kept.resize(n);
    kept[0] = s;
    for (int j = 0; j + 1 < n; j++)
      kept[j + 1] = {
          mode.hold_x ? s.x : qif::advanced(step, constant(k), kept[j].x, kept[j].y),
          mode.hold_y ? s.y : kept[j].y * step.kept};
    for (int j = n - 1; j >= 0; j--) {
      const double mx = mode.hold_x ? 0 : l.x, my = mode.hold_y ? 0 : l.y;
      const qif::Back b =
          qif::step_back(step, constant(k), kept[j].x, kept[j].y, mx, my, r, trains);
      a.bias[first() + k] += b.by_constant;
      a.tau_1[first() + k] -= b.by_c * step.c / tau_m(k);
      a.tau_2[first() + k] -= b.by_r * r / tau_s(k);
      l = {b.lx + (l.x - mx), b.ly + (l.y - my)};
    }
  }
  double lane_arrival_back(int k, State s, double w, Mode mode, State l,
                           double& gradient) const override {
    if (mode.deaf) return 0;
    gradient += l.y;
    return shift(k, s.x, w, mode.hold_x ? 0 : l.x, mode.hold_y ? 0 : l.y);
  }
  State fired_back(int, State, State l) const override { return {0, l.y}; }

  // Readouts of a potential that runs to infinity are refused before it comes to that.
  void integrate(const Lanes&, double, const Gauge&, double*) const override {}
  double lane_integral(int, State, double, Mode, const Gauge&) const override {
    return 0;
  }
  double turn(int, State) const override { return kInf; }

 private:
  double tau_m(int k) const { return c_[Qif::kTauM * width() + k]; }
  double tau_s(int k) const { return c_[Qif::kTauS * width() + k]; }
  EVENTAX_INLINE double constant(int k) const {
    return c_[Qif::kConstant * width() + k];
  }
  EVENTAX_INLINE qif::Step step_of(int k, double h) const {
    return qif::step_of(h / c_[Qif::kTauM * width() + k],
                        h / c_[Qif::kTauS * width() + k]);
  }

  // What asks for more than one step. Of padding it is least.
  static EVENTAX_INLINE double drive_of(double constant, double y) {
    return std::fabs(constant + 0.25) + std::fabs(y) + 0.25;
  }

  double shift(int k, double x, double w, double lx, double ly) const {
    const double q = qif::q_of(x);
    return w * (ly / tau_s(k) - lx * q * q / tau_m(k));
  }

  // What a step lacks: more than 1 where the error is above what is allowed, or where q
  // might have two zeros; of a step of half that length it is a sixteenth at most. The
  // fourth-order part of Omega is an error of order 5; the error of Omega itself, of
  // order 7, is taken as its power 7/5.
  static EVENTAX_INLINE double lack(const qif::Step& s, const qif::Magnus& m,
                                    double constant, double y, double per_allowed) {
    const double turn = drive_of(constant, y) * s.c * s.c;
    const double error = m.error * per_allowed;
    return turn * turn > error ? turn * turn : error;
  }
  double lack(int k, double y, double h) const {
    const qif::Step step = step_of(k, h);
    return lack(step, qif::magnus(step, constant(k), y), constant(k), y, per_allowed_);
  }

  // How many steps a way of length h takes, of one neuron and of everybody, the latter
  // with what a step does where all have the same time constants. 0 if no number of
  // steps can follow: the state is NaN then, which ends the simulation with an error.
  int steps(int k, State s, double h) const {
    return count(h, 2 * tau_s(k), [&](double step) { return lack(k, s.y, step); });
  }
  struct Pace {
    int n;
    qif::Step step;
  };
  Pace pace(const Lanes& l, double h) const {
    const double *constants = &c_[Qif::kConstant * width()], *y = l.y + first();
    if (!uniform_)
      return {count(h, shortest_,
                    [&](double length) {
                      return largest(width(),
                                     [&](int k) { return lack(k, y[k], length); });
                    }),
              {}};
    double tried = 0;
    qif::Step step{};
    const int n = count(h, shortest_, [&](double length) {
      tried = length;
      step = step_of(0, length);
      return largest(width(), [=, s = step, per_allowed = per_allowed_](int k) {
        return lack(s, qif::magnus(s, constants[k], y[k]), constants[k], y[k],
                    per_allowed);
      });
    });
    return {n, n == 0 || tried == h / n ? step : step_of(0, h / n)};
  }
  template <class Lack>
  static int count(double h, double longest, Lack lack) {
    if (!(h > 0)) return 1;
    double n = std::ceil(h / longest);
    while (n < 1e6) {
      const double more = std::sqrt(std::sqrt(lack(h / n)));
      if (!(more > 4)) return static_cast<int>(std::ceil(n * std::max(more, 1.0)));
      n *= 4;
    }
    return 0;
  }

  // One step of everybody, from (x, y) to (x_end, y_end).
  void stride(const Lanes& l, double h, const qif::Step& shared, const double* x,
              const double* y, double* x_end, double* y_end) const {
    if (uniform_) {
      one_step<false>(l, shared, x, y, x_end, y_end);
      return;
    }
    const int f = first();
    const double *free_x = l.free_x + f, *free_y = l.free_y + f;
    for (int k = 0; k < width(); k++) {
      const qif::Step s = step_of(k, h);
      const double end = qif::advanced(s, constant(k), x[k], y[k]);
      x_end[k] = free_x[k] > 0 ? end : x[k];
      y_end[k] = free_y[k] > 0 ? y[k] * s.kept : y[k];
    }
  }

  // Everybody goes on for h; `kNote`: and notes who passes a spike.
  template <bool kNote>
  void move(const Lanes& l, double h) const {
    const int f = first(), w = width();
    const double *x = l.x + f, *y = l.y + f, *awake = l.awake + f;
    double* may = l.may + f;
    if (uniform_ && h > 0 && h <= shortest_) {
      // Most ways are one step. It is done, and asked whether it was enough.
      if (one_step<kNote>(l, step_of(0, h), x, y, l.x_end + f, l.y_end + f)) return;
    }
    const auto [n, shared] = h > 0 ? pace(l, h) : Pace{0, {}};
    if (n == 0) {
      std::memcpy(l.x_end + f, x, w * sizeof(double));
      std::memcpy(l.y_end + f, y, w * sizeof(double));
      if (h > 0) std::fill_n(l.x_end + f, size(), kNaN);
    }
    const auto note = [&](auto passed) {
      if (kNote)
        for (int k = 0; k < w; k++) may[k] = awake[k] > 0 ? passed(k) : -1;
    };
    note([&](int k) { return x[k] - 1; });
    thread_local std::vector<double> now;
    now.resize(static_cast<std::size_t>(2) * w);
    for (int j = 0; j < n; j++) {
      if (j > 0) {
        x = static_cast<double*>(
            std::memcpy(now.data(), l.x_end + f, w * sizeof(double)));
        y = static_cast<double*>(
            std::memcpy(now.data() + w, l.y_end + f, w * sizeof(double)));
      }
      stride(l, h / n, shared, x, y, l.x_end + f, l.y_end + f);
      note([&](int k) { return std::max(may[k], l.x_end[f + k] - 1); });
    }
  }

  // One step of everybody, in loops of their own over plain arrays, so that the
  // compiler sees that they are apart. The first tells what one step lacks, less 1.
  template <bool kNote>
  static void all_on(int n, const qif::Step& step, double per_allowed,
                     const double* __restrict constant, const double* __restrict x,
                     const double* __restrict y, const double* __restrict free_x,
                     const double* __restrict free_y, const double* __restrict awake,
                     double* __restrict x_end, double* __restrict y_end,
                     double* __restrict may, double* __restrict lacking) {
    const qif::Step s = step;
    for (int k = 0; k < n; k++) {
      const qif::Magnus m = qif::magnus(s, constant[k], y[k]);
      const double advanced = qif::advanced(m, x[k]);
      const double end = free_x[k] > 0 ? advanced : x[k];
      x_end[k] = end;
      y_end[k] = free_y[k] > 0 ? y[k] * s.kept : y[k];
      lacking[k] = lack(s, m, constant[k], y[k], per_allowed) - 1;
      if (kNote) may[k] = awake[k] > 0 ? (x[k] > end ? x[k] : end) - 1 : -1;
    }
  }
  static void all_back(int n, const qif::Step& step, const double* __restrict constant,
                       const double* __restrict x, const double* __restrict y,
                       double* __restrict lx, double* __restrict ly,
                       double* __restrict bias) {
    const qif::Step s = step;
    for (int k = 0; k < n; k++) {
      const qif::Back b =
          qif::step_back(s, constant[k], x[k], y[k], lx[k], ly[k], 0, false);
      bias[k] += b.by_constant;
      lx[k] = b.lx;
      ly[k] = b.ly;
    }
  }
  static double* scratch(int n) {
    thread_local std::vector<double> numbers;
    if (numbers.size() < static_cast<std::size_t>(n)) numbers.resize(n);
    return numbers.data();
  }

  // Returns whether one step is enough.
  template <bool kNote>
  bool one_step(const Lanes& l, const qif::Step& step, const double* x, const double* y,
                double* x_end, double* y_end) const {
    const int f = first(), w = width();
    double* lacking = scratch(w);
    all_on<kNote>(w, step, per_allowed_, &c_[Qif::kConstant * w], x, y, l.free_x + f,
                  l.free_y + f, l.awake + f, x_end, y_end, l.may + f, lacking);
    return !any_not_negative(lacking, w);
  }
  // Where a way passes a spike: the step in which it does, or its last one.
  struct Approach {
    double gone, length;
    State start, end;
  };
  Approach approach(int k, State s, double h) const {
    if (!(h > 0)) return {0, 0, s, s};
    const auto on = [&](const qif::Step& step, const qif::Magnus& m, State at) {
      return State{qif::advanced(m, at.x), at.y * step.kept};
    };
    const qif::Step whole = step_of(k, h);
    const qif::Magnus m = qif::magnus(whole, constant(k), s.y);
    if (h <= 2 * tau_s(k) && !(lack(whole, m, constant(k), s.y, per_allowed_) > 1))
      return {0, h, s, on(whole, m, s)};
    const int n = steps(k, s, h);
    if (n == 0) return {0, h, s, {kNaN, kNaN}};
    const double length = h / n;
    const qif::Step step = step_of(k, length);
    for (int j = 0;; j++) {
      const State end = on(step, qif::magnus(step, constant(k), s.y), s);
      if (end.x >= 1 || j + 1 == n) return {j * length, length, s, end};
      s = end;
    }
  }

  // Time until a spike (negative if past), from the state near it; inf if far. With J
  // constant q/p would be a tangent of it, which a Pade approximant inverts. Then what
  // the decay of the current does to it, in first order; `error` bounds what is left.
  struct Wait {
    double time, error;
  };
  Wait wait(int k, State s) const {
    if (!(s.x > 0 && s.x < 2)) return {kInf, kInf};
    const double ratio = qif::q_of(s.x) / qif::p_of(s.x), square = ratio * ratio,
                 j = constant(k) + s.y;
    const double bend = j * square;
    if (!(bend > -0.9)) return {kInf, kInf};
    const double decays = tau_m(k) / tau_s(k);
    const double still = ratio * (15 + 4 * bend) / (15 + 9 * bend);
    const double late = decays * s.y * square * square / 12;
    const double scale =
        square * (1 + decays * decays + std::fabs(constant(k)) + std::fabs(s.y));
    return {tau_m(k) * (still + late), tau_m(k) * std::fabs(ratio) * scale * scale};
  }

  // When a step from s of length h, which ends past a spike, passes it.
  double within(int k, State s, double h, State end) const {
    double low = 0, high = h, t = h;
    const double near = 1e-16 * tau_m(k);
    for (int j = 0; j < 60; j++) {
      const Wait left = wait(k, end);
      if (left.error < near) return std::min(std::max(t + left.time, 0.0), h);
      if (end.x >= 1)
        high = t;
      else
        low = t;
      const double next = t + left.time;
      t = next > low && next < high ? next : 0.5 * (low + high);
      if (high - low <= 2 * kEpsilon * high) return t;
      const qif::Step step = step_of(k, t);
      end = {qif::advanced(step, constant(k), s.x, s.y), s.y * step.kept};
    }
    return t;
  }

  std::vector<double> c_;
  bool uniform_ = true;
  double shortest_ = kInf, per_allowed_ = 1, blur_ = 0;
};

}  // namespace eventax

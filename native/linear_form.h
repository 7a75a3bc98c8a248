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
    allowed_ = 1;
    for (int k = 0; k < size; k++) {
      uniform_ &= tau_m(k) == tau_m(0) && tau_s(k) == tau_s(0);
      shortest_ = std::min(shortest_, 2 * tau_s(k));
      allowed_ = std::min(allowed_, c_[Qif::kTolerance * width + k]);
    }
    for (int k = 0; k < size; k++) blur_ = std::max(blur_, 10 * allowed_ * tau_m(k));
    allowed_ = std::pow(allowed_, 5.0 / 7);
  }

  bool scan(const Lanes& l, double h, const double* row) const override {
    if (row) receive(l, row);
    const int f = first();
    double* may = l.may + f;
    for (int k = 0; k < width(); k++) may[k] = l.awake[f + k] > 0 ? l.x[f + k] - 1 : -1;
    move(l, h, may, l.awake + f);
    return note_signs(may, width(), l.flags + f / kVector);
  }
  void go(const Lanes& l, double h) const override { move(l, h, nullptr, nullptr); }
  void receive(const Lanes& l, const double* row) const override {
    const int f = first();
    for (int k = f; k < f + width(); k++) l.y[k] += row[k] * l.hears[k];
  }
  bool may_fire(int k, State s, double h) const override {
    return s.x >= 1 || crossing(k, s, h) < kInf;
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
    if (!(h > 0)) return kInf;
    const int n = steps(k, s, h);
    if (n == 0) return kInf;
    const double length = h / n;
    const qif::Step step = step_of(k, length);
    for (int j = 0; j < n; j++) {
      const double end = qif::advanced(step, constant(k), s.x, s.y);
      if (end >= 1) return std::min(j * length + within(k, s, length, end), h);
      s = {end, s.y * step.kept};
    }
    return kInf;
  }
  double guess(int k, State s, double h) const override {
    const double w = wait(k, s.x, s.y);
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
      if (uniform_ && !trains && !pause().ever) {
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

  // Loops of their own over plain arrays, so that the compiler sees that they are
  // apart.
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
  static void all_on(int n, const qif::Step& step, const double* __restrict constant,
                     const double* __restrict x, const double* __restrict y,
                     const double* __restrict free_x, const double* __restrict free_y,
                     double* __restrict x_end, double* __restrict y_end) {
    const qif::Step s = step;
    for (int k = 0; k < n; k++) {
      const double end = qif::advanced(s, constant[k], x[k], y[k]);
      x_end[k] = free_x[k] > 0 ? end : x[k];
      y_end[k] = free_y[k] > 0 ? y[k] * s.kept : y[k];
    }
  }
  // What asks for more than one step. Of padding it is least.
  static EVENTAX_INLINE double drive_of(double constant, double y) {
    return std::fabs(constant + 0.25) + std::fabs(y) + 0.25;
  }

  double shift(int k, double x, double w, double lx, double ly) const {
    const double q = qif::q_of(x);
    return w * (ly / tau_s(k) - lx * q * q / tau_m(k));
  }

  // How many steps a way of length h takes: their error stays at what is allowed, and q
  // has one zero at most in each.
  int steps(int k, State s, double h) const {
    const double drive = drive_of(constant(k), s.y);
    const double most =
        std::min(std::min(tau_m(k) / std::sqrt(drive), 2 * tau_s(k)), h);
    return count(h, most, qif::magnus(step_of(k, most), constant(k), s.y).error);
  }
  // Of everybody, with what a step does where all have the same time constants.
  struct Pace {
    int n;
    qif::Step step;
  };
  Pace pace(const Lanes& l, double h) const {
    const double *constants = &c_[Qif::kConstant * width()], *y = l.y + first();
    if (uniform_) {
      // Most ways are one step: the error of that is asked for together with the drive.
      const qif::Step whole = step_of(0, std::min(h, shortest_));
      const auto [drive, fault] = largest_two(width(), [=](int k) {
        return std::pair{drive_of(constants[k], y[k]),
                         qif::magnus(whole, constants[k], y[k]).error};
      });
      const double most = std::min(std::min(tau_m(0) / std::sqrt(drive), shortest_), h);
      if (most == h && fault <= allowed_) return {1, whole};
      const qif::Step step = step_of(0, most);
      const double error = largest(
          width(), [=](int k) { return qif::magnus(step, constants[k], y[k]).error; });
      const int n = count(h, most, error);
      return {n, most == h / n ? step : step_of(0, h / n)};
    }
    double most = std::min(shortest_, h);
    for (int k = 0; k < size(); k++)
      most = std::min(most, tau_m(k) / std::sqrt(drive_of(constant(k), y[k])));
    const double error = largest(width(), [&](int k) {
      return qif::magnus(step_of(k, most), constant(k), y[k]).error;
    });
    return {count(h, most, error), {}};
  }
  // The fourth-order part of Omega is an error of order 5; the error of Omega itself,
  // of order 7, is taken as its power 7/5.
  // 0 if no number of steps can follow: the state is NaN then, which ends the
  // simulation with an error.
  int count(double h, double most, double error) const {
    if (!(h > 0)) return 1;
    const auto enough = [&](double n) {
      const double longer = n * most / h, square = longer * longer;
      return error <= allowed_ * square * square * longer;
    };
    double n = std::ceil(h / most);
    for (int more = 0; more < 8 && !enough(n); more++) n++;
    if (!enough(n)) n = std::ceil(h / most * std::pow(error / allowed_, 0.2));
    return n < 1e6 ? std::max(static_cast<int>(n), 1) : 0;
  }

  // One step of everybody, from (x, y) to (x_end, y_end).
  void stride(const Lanes& l, double h, const qif::Step& shared,
              const double* __restrict x, const double* __restrict y,
              double* __restrict x_end, double* __restrict y_end) const {
    const int f = first();
    const double *free_x = l.free_x + f, *free_y = l.free_y + f;
    if (uniform_) {
      all_on(width(), shared, &c_[Qif::kConstant * width()], x, y, free_x, free_y,
             x_end, y_end);
      return;
    }
    for (int k = 0; k < width(); k++) {
      const qif::Step s = step_of(k, h);
      const double end = qif::advanced(s, constant(k), x[k], y[k]);
      x_end[k] = free_x[k] > 0 ? end : x[k];
      y_end[k] = free_y[k] > 0 ? y[k] * s.kept : y[k];
    }
  }

  void move(const Lanes& l, double h, double* may, const double* awake) const {
    const int f = first(), w = width();
    const auto [n, shared] = h > 0 ? pace(l, h) : Pace{0, {}};
    if (n == 0) {
      std::memcpy(l.x_end + f, l.x + f, w * sizeof(double));
      std::memcpy(l.y_end + f, l.y + f, w * sizeof(double));
      if (h > 0) std::fill_n(l.x_end + f, size(), kNaN);
    }
    thread_local std::vector<double> now;
    now.resize(static_cast<std::size_t>(2) * w);
    const double *x = l.x + f, *y = l.y + f;
    for (int j = 0; j < n; j++) {
      if (j > 0) {
        x = static_cast<double*>(
            std::memcpy(now.data(), l.x_end + f, w * sizeof(double)));
        y = static_cast<double*>(
            std::memcpy(now.data() + w, l.y_end + f, w * sizeof(double)));
      }
      stride(l, h / n, shared, x, y, l.x_end + f, l.y_end + f);
      if (!may) continue;
      for (int k = 0; k < w; k++) {
        const double past = awake[k] > 0 ? l.x_end[f + k] - 1 : -1;
        may[k] = past > may[k] ? past : may[k];
      }
    }
  }

  // Time until a spike (negative if past), from the state near it; inf if far. If J
  // were constant, q/p would be a tangent of it, which a Pade approximant inverts.
  double wait(int k, double x, double y) const {
    const double p = qif::p_of(x), q = qif::q_of(x);
    if (!(p > 0)) return kInf;
    const double ratio = q / p, bend = (constant(k) + y) * ratio * ratio;
    if (!(bend > -0.9)) return kInf;
    return tau_m(k) * ratio * (15 + 4 * bend) / (15 + 9 * bend);
  }

  // When a step from s of length h, which ends past a spike, passes it.
  double within(int k, State s, double h, double end) const {
    double low = 0, high = h, x = end, y = s.y * step_of(k, h).kept, t = h;
    const double near = 1e-9 * tau_m(k);
    for (int j = 0; j < 60; j++) {
      const double left = wait(k, x, y);
      if (std::fabs(left) < near) return std::min(std::max(t + left, 0.0), h);
      if (x >= 1)
        high = t;
      else
        low = t;
      const double next = t + left;
      t = next > low && next < high ? next : 0.5 * (low + high);
      if (high - low <= 2 * kEpsilon * high) return t;
      const qif::Step step = step_of(k, t);
      x = qif::advanced(step, constant(k), s.x, s.y);
      y = s.y * step.kept;
    }
    return t;
  }

  std::vector<double> c_;
  bool uniform_ = true;
  double shortest_ = kInf, allowed_ = 1, blur_ = 0;
};

}  // namespace eventax

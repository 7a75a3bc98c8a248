// Readouts: the integral or the highest value of a potential, kept up to date on the
// way.
#pragma once

#include <cmath>
#include <vector>

#include "lanes.h"

namespace eventax {

enum class Reading { kNone, kIntegral, kHighest };

// Of the two observations that bound a window: its end is that of the simulation.
constexpr int kWindowStart = 0;

// Where a potential was highest.
struct Peak {
  double value = -kInf;
  int pass = -1, part = 0;  // number of the way, and of the lane's own part of it
  double offset = 0;        // time since the start of that part
  double slope = 0;         // at its end
  enum Where { kStart, kInside, kEnd } where = kStart;
};

class Meter {
 public:
  // With a window, what comes before it is opened does not count.
  Meter(Reading reading, double rho, double t0, bool window)
      : reading_(reading), rho_(rho), t0_(t0), open_(!window) {}
  void open() { open_ = true; }

  // The lanes that are asked about.
  void watch(int width, std::vector<int> lanes) {
    lanes_ = std::move(lanes);
    sums_.assign(width, 0.0);
    peaks_.assign(width, Peak{});
  }
  bool on() const { return reading_ != Reading::kNone && !lanes_.empty(); }
  Reading reading() const { return reading_; }
  const std::vector<int>& lanes() const { return lanes_; }
  double value(int lane) const {
    return reading_ == Reading::kIntegral ? sums_[lane] : peaks_[lane].value;
  }
  const Peak& peak(int lane) const { return peaks_[lane]; }
  Gauge gauge(double t) const {
    return {rho_, rho_ > 0 ? std::exp(-rho_ * (t - t0_)) : 1};
  }

  // Everybody goes from t on for h; those in `apart` say so themselves.
  void way(const LaneStates& s, double t, double h, int pass,
           const std::vector<int>& apart) {
    if (!on() || !open_ || !(h >= 0)) return;
    if (reading_ == Reading::kHighest) {
      for (const int lane : lanes_) {
        bool skip = false;
        for (const int other : apart) skip |= other == lane;
        if (!skip) highest(s, lane, s.now(lane), h, s.mode(lane), pass, 0);
      }
      return;
    }
    kept_.clear();
    for (const int lane : apart) kept_.push_back(sums_[lane]);
    const Population* last = nullptr;  // lanes of a population stand side by side
    for (const int lane : lanes_) {
      if (&s.of(lane) == last) continue;
      last = &s.of(lane);
      last->integrate(s.lanes(), h, gauge(t), sums_.data());
    }
    for (std::size_t k = 0; k < apart.size(); k++) sums_[apart[k]] = kept_[k];
  }

  void lane_way(const LaneStates& s, int lane, State now, double t, double h, int mode,
                int pass, int part) {
    if (!on() || !open_) return;
    if (reading_ == Reading::kIntegral)
      sums_[lane] += s.of(lane).lane_integral(s.within(lane), now, h,
                                              s.mode_of(lane, mode), gauge(t));
    else
      highest(s, lane, now, h, mode, pass, part);
  }

 private:
  void highest(const LaneStates& s, int lane, State now, double h, int mode, int pass,
               int part) {
    const Population& p = s.of(lane);
    const int k = s.within(lane);
    const Mode m = s.mode_of(lane, mode);
    Peak& peak = peaks_[lane];
    const auto try_value = [&](double value, double offset, double slope,
                               Peak::Where where) {
      if (value > peak.value) peak = {value, pass, part, offset, slope, where};
    };
    try_value(now.x, 0, 0, Peak::kStart);
    if (!(h > 0) || m.hold_x) return;
    const State end = p.after(k, now, h, m);
    const double slope = p.slope(k, end).x;
    if (p.slope(k, now).x > 0 && slope <= 0) {
      const double turn = p.turn(k, now);
      if (turn > 0 && turn < h) {
        try_value(p.after(k, now, turn, m).x, turn, 0, Peak::kInside);
        return;
      }
    }
    try_value(end.x, h, slope, Peak::kEnd);
  }

  Reading reading_;
  double rho_, t0_;
  bool open_;
  std::vector<int> lanes_;
  std::vector<double> sums_, kept_;
  std::vector<Peak> peaks_;
};

}  // namespace eventax

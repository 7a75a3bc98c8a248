// Neurons of one model, side by side: all that simulation and adjoint know of a neuron.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "exponentials.h"
#include "signs.h"

namespace eventax {

constexpr int kVector = 8;  // lanes are padded to full vectors of doubles

// The largest of 0 and each of number(k), for all lanes k, in partial maxima: of one
// maximum that goes from lane to lane not every compiler makes a loop over vectors.
template <class Number>
EVENTAX_INLINE double largest(int width, Number number) {
  double most[kVector] = {};
  for (int first = 0; first < width; first += kVector)
    for (int k = 0; k < kVector; k++) {
      const double a = number(first + k);
      most[k] = a > most[k] ? a : most[k];
    }
  for (int half = kVector / 2; half > 0; half /= 2)
    for (int k = 0; k < half; k++)
      most[k] = most[k + half] > most[k] ? most[k + half] : most[k];
  return most[0];
}

// What is known of one neuron between events, and its adjoint.
struct State {
  double x = 0, y = 0;
};

// What a pause does: AMOS and Refractory.
struct Mode {
  bool off = false, hold_x = false, hold_y = false, deaf = false;
};

// After a spike a neuron is in mode `first` for `length`, then in mode `then`.
struct Pause {
  Mode first, then;
  bool ever = false;
};

// State of all lanes of a block, and who pauses. 1 for yes, 0 for no.
struct Lanes {
  double *x, *y;          // now
  double *x_end, *y_end;  // at the end of the way
  double* may;            // not negative: may fire on the way, or does now
  std::uint8_t* flags;    // its signs as bits, by vector of lanes
  double *free_x, *free_y, *hears, *awake;
};

// Adjoint of all lanes of a block, and gradients by lane.
struct Adjoints {
  double *lx, *ly;
  double *bias, *tau_1, *tau_2;
};

// A readout's integral: of x exp(-rho t), times `weight` on this way.
struct Gauge {
  double rho = 0, weight = 1;
};

class Population {
 public:
  Population(int first, int size, int width, Pause pause)
      : first_(first), size_(size), width_(width), pause_(pause) {}
  virtual ~Population() = default;
  Population(const Population&) = delete;
  Population& operator=(const Population&) = delete;

  int first() const { return first_; }
  int size() const { return size_; }
  int width() const { return width_; }
  const Pause& pause() const { return pause_; }

  // All lanes: `row` arrives (null: nothing), then everybody goes on for h. Notes who
  // may fire on the way, and returns whether anyone may.
  virtual bool scan(const Lanes& lanes, double h, const double* row) const = 0;
  // The same in two parts, without notes.
  virtual void go(const Lanes& lanes, double h) const = 0;
  virtual void receive(const Lanes& lanes, const double* row) const = 0;
  // Whether a lane may fire within h.
  virtual bool may_fire(int k, State s, double h) const = 0;

  // One lane k (of this population) by itself.
  virtual State after(int k, State s, double h, Mode mode) const = 0;
  // Time until it fires, not later than h: 0 if it is at threshold now, inf if not.
  // `end` is its state at h: given where `known`, else told where it was needed.
  virtual double crossing(int k, State s, double h, State& end, bool& known) const = 0;
  double crossing(int k, State s, double h) const {
    State end;
    bool known = false;
    return crossing(k, s, h, end, known);
  }
  // Roughly that time.
  virtual double guess(int k, State s, double h) const = 0;
  virtual double gap(int k, State s) const = 0;
  // Notes which lanes are at threshold now, and returns whether any is; none where
  // spikes may be off beside rounding.
  virtual bool note_threshold(const Lanes& lanes) const = 0;
  virtual State slope(int k, State s) const = 0;
  virtual State fired(int k, State s) const = 0;
  virtual State received(int k, State s, double w) const = 0;
  virtual State gap_by_state() const = 0;
  // Whether an arrival changes the gap itself.
  virtual bool arrivals_jump() const = 0;
  virtual bool fires() const = 0;
  // How long a way it goes in about one step.
  virtual double reach() const { return kInf; }
  // How far a time of its spikes may be off beside rounding.
  virtual double blur() const { return 0; }
  // Whether the way back needs states, to trained time constants for instance.
  virtual bool needs_states(bool trains_time_constants) const = 0;

  // Way back: adjoints at the end of a way of length h become those at its start.
  // `start` are states there (null where not needed), `by_integral` cotangents of
  // integrals by lane (null: none).
  virtual void go_back(const Lanes& lanes, const Adjoints& a, double h,
                       const Lanes* start, const Gauge& gauge,
                       const double* by_integral, bool trains) const = 0;
  // Through an arrival of `row`: adds to the gradient of its weights, and returns the
  // cotangent of its time if `timed`; by lane too in `by_delay`, if not null.
  virtual double arrival_back(const Lanes& lanes, const Adjoints& a, const Lanes* start,
                              const double* row, double* gradient, bool timed,
                              double* by_delay) const = 0;
  // The same two for one lane. `l` is its adjoint.
  virtual void lane_back(int k, State s, double h, Mode mode, State& l,
                         const Adjoints& a, const Gauge& gauge, double by_integral,
                         bool trains) const = 0;
  virtual double lane_arrival_back(int k, State s, double w, Mode mode, State l,
                                   double& gradient) const = 0;
  virtual State fired_back(int k, State s, State l) const = 0;

  // Readouts.
  virtual void integrate(const Lanes& lanes, double h, const Gauge& gauge,
                         double* sums) const = 0;
  virtual double lane_integral(int k, State s, double h, Mode mode,
                               const Gauge& gauge) const = 0;
  // Time of the potential's extremum, inf if it has none; the potential is x.
  virtual double turn(int k, State s) const = 0;

 private:
  int first_, size_, width_;
  Pause pause_;
};

}  // namespace eventax

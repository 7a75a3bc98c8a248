// The way back through one block of one sample. The derivation is in docs/adjoint.md.
#pragma once

#include <vector>

#include "replay.h"

namespace eventax {

// Gradients of a block, added up over samples.
struct BlockGradient {
  std::vector<double> weights, delays;     // (rows, width)
  std::vector<double> bias, tau_1, tau_2;  // (width)
  std::vector<double> start_x, start_y;    // (width)

  void reset(const BlockPlan& plan, bool delayed) {
    const std::size_t width = static_cast<std::size_t>(plan.width);
    weights.assign(plan.senders.size() * width, 0.0);
    delays.assign(delayed ? weights.size() : 0, 0.0);
    for (auto* v : {&bias, &tau_1, &tau_2, &start_x, &start_y}) v->assign(width, 0.0);
  }
  void add(const BlockGradient& other) {
    if (bias.empty()) {
      *this = other;
      return;
    }
    if (other.bias.empty()) return;
    const auto add_to = [](std::vector<double>& to, const std::vector<double>& from) {
      for (std::size_t k = 0; k < to.size(); k++) to[k] += from[k];
    };
    add_to(weights, other.weights);
    add_to(delays, other.delays);
    add_to(bias, other.bias);
    add_to(tau_1, other.tau_1);
    add_to(tau_2, other.tau_2);
    add_to(start_x, other.start_x);
    add_to(start_y, other.start_y);
  }
};

// Cotangents of times, by block and spike, by input, by observation.
struct TimeCotangents {
  std::vector<std::vector<double>> spikes;
  std::vector<double> inputs, observations;
};

// What is asked of the way back.
struct Wish {
  bool inputs = false;        // cotangents of the times of inputs (or delays)
  bool observations = false;  // of observation times
  bool trains = false;        // gradients of time constants
};

class BlockBack {
 public:
  explicit BlockBack(const BlockPlan& plan)
      : states_(plan),
        columns_(2, plan.width),
        lx_(columns_.take()),
        ly_(columns_.take()) {}

  // Goes back through a sample, and keeps its memory from one to the next.
  // `observed(index, neuron, column)` are cotangents of observed states, `read` those
  // of readouts by lane.
  template <class Observed>
  void run(const Story& story, int b, const Wish& wish, const Meter& meter,
           const std::vector<double>& read, const Observed& observed, bool any_observed,
           BlockGradient& gradient, TimeCotangents& times) {
    story_ = &story;
    b_ = static_cast<std::size_t>(b);
    wish_ = &wish;
    read_ = &read;
    gradient_ = &gradient;
    times_ = &times;
    meter_ = &meter;
    states_.start(*story.block);
    reading_ = meter.on() ? meter.reading() : Reading::kNone;
    replay_.reset();
    late_.clear();
    const std::size_t width = static_cast<std::size_t>(story.plan->width);
    std::fill_n(lx_, width, 0.0);
    std::fill_n(ly_, width, 0.0);
    a_ = {lx_, ly_, gradient.bias.data(), gradient.tau_1.data(), gradient.tau_2.data()};
    by_integral_ = reading_ == Reading::kIntegral ? read.data() : nullptr;
    is_read_.assign(story.block->populations.size(), 0);
    if (by_integral_)
      for (const int lane : meter.lanes())
        is_read_[static_cast<std::size_t>(story.block->population_of[lane])] = 1;
    top_ = last_pass(any_observed);
    if (top_ < 0) return;
    bool needs = reading_ == Reading::kHighest || (any_observed && wish.observations);
    for (const auto& p : story.block->populations)
      needs |= p->needs_states(wish.trains);
    if (needs) replay_ = std::make_unique<Replay>(story, meter);

    owed_.assign(width, 0.0);
    event_time_.assign(story.events.size() + 1, 0.0);
    if (reading_ == Reading::kHighest) add_peak_times();
    set_modes();
    for (int p = top_; p >= 0; p--) {
      pass(p);
      if (p == 0) break;
      const Event& e = story.events[static_cast<std::size_t>(p) - 1];
      if (e.spike >= 0)
        spike(e, p);
      else if (e.arrival.source == kObservation)
        observation(e.arrival, p, observed);
      else
        arrival(e.arrival, p);
    }
    for (std::size_t k = 0; k < width; k++) {
      gradient.start_x[k] += a_.lx[k];
      gradient.start_y[k] += a_.ly[k];
    }
  }

 private:
  // -1 if there is none.
  int last_pass(bool any_observed) const {
    int top = -1;
    const auto& cotangents = times_->spikes[b_];
    const auto& spikes = *story_->spikes;
    for (std::size_t j = spikes.size(); j-- > 0;)
      if (cotangents[j] != 0) {
        top = spikes[j].seq + (story_->plan->cyclic ? 1 : 0);
        break;
      }
    if (reading_ != Reading::kNone) return story_->passes() - 1;
    if (!any_observed) return top;
    for (int p = story_->passes() - 1; p > top; p--) {
      const Event& e = story_->events[static_cast<std::size_t>(p) - 1];
      if (e.spike < 0 && e.arrival.source == kObservation) return p;
      if (p == 1) break;
    }
    return top;
  }

  // Who pauses at the end of the last pass.
  void set_modes() {
    if (!story_->block->pauses) return;
    const auto& spikes = *story_->spikes;
    const int last = story_->plan->cyclic ? top_ - 1 : top_;
    for (const Spike& s : spikes)
      if (s.seq <= last) states_.set_mode(s.lane, states_.after_spike(s.lane));
    std::vector<int> of_lane(static_cast<std::size_t>(story_->plan->width), -1);
    for (std::size_t j = 0; j < spikes.size(); j++)
      if (spikes[j].seq <= last) of_lane[spikes[j].lane] = static_cast<int>(j);
    for (const Wake& w : *story_->wakes)
      if (w.seq <= top_ && of_lane[spikes[w.spike].lane] == w.spike)
        states_.set_mode(spikes[w.spike].lane,
                         states_.after_wake(spikes[w.spike].lane));
  }

  const Lanes* states_at(int p) { return replay_ ? &replay_->at(p) : nullptr; }

  // Everybody goes back from the end of pass p to its start.
  void pass(int p) {
    const double start = story_->start_of(p), end = story_->end_of(p), h = end - start;
    const Lanes* at = states_at(p);
    locals_of(*story_, p, locals_);
    if (reading_ == Reading::kHighest) add_peaks(p);
    if (h == 0 && locals_.empty()) return;
    kept_.clear();
    for (std::size_t j = 0; j < locals_.size(); j++)
      if (j == 0 || locals_[j].lane != locals_[j - 1].lane) {
        const int lane = locals_[j].lane;
        kept_.push_back({a_.lx[lane], a_.ly[lane]});
        // What the loop over everybody does to them does not count.
        a_.lx[lane] = a_.ly[lane] = 0;
      }
    const Gauge gauge = meter_->gauge(start);
    std::vector<double>* read = nullptr;
    if (by_integral_ && !locals_.empty()) {
      read_now_ = *read_;
      for (const Local& l : locals_) read_now_[l.lane] = 0;
      read = &read_now_;
    }
    // Of what comes after the last pass only readouts tell.
    const bool silent = p == top_ && reading_ == Reading::kNone;
    const auto& populations = story_->block->populations;
    for (std::size_t q = 0; q < populations.size() && !silent; q++)
      populations[q]->go_back(states_.lanes(), a_, h, at, gauge,
                              !is_read_[q] ? nullptr
                              : read       ? read->data()
                                           : by_integral_,
                              wish_->trains);
    std::size_t number = 0;
    for (std::size_t j = 0; j < locals_.size();) {
      std::size_t until = j;
      while (until < locals_.size() && locals_[until].lane == locals_[j].lane) until++;
      lane_back(p, j, until, kept_[number++], at);
      j = until;
    }
  }

  // A value at the end of a way moves with the time of what ends it.
  void add_peak_times() {
    const Meter& found = replay_->meter();
    for (const int lane : found.lanes()) {
      const Peak& peak = found.peak(lane);
      if (peak.where != Peak::kEnd || (*read_)[lane] == 0) continue;
      const double by_time = (*read_)[lane] * peak.slope;
      locals_of(*story_, peak.pass, locals_);
      int part = 0;
      const Local* own = nullptr;
      for (const Local& l : locals_)
        if (l.lane == lane && part++ == peak.part) own = &l;
      if (!own)
        moves_with(peak.pass, lane, by_time);
      else if (own->spike >= 0)
        times_->spikes[b_][static_cast<std::size_t>(own->spike)] += by_time;
    }
  }

  // Lanes that are highest on this pass are gone through by themselves.
  void add_peaks(int p) {
    const std::size_t n = locals_.size();
    const Meter& found = replay_->meter();
    for (const int lane : found.lanes()) {
      if (found.peak(lane).pass != p || (*read_)[lane] == 0) continue;
      bool known = false;
      for (std::size_t j = 0; j < n; j++) known |= locals_[j].lane == lane;
      if (!known) locals_.emplace_back(lane);
    }
  }

  // One lane back through pass p with its own events, of which the first is
  // locals_[from].
  void lane_back(int p, std::size_t from, std::size_t until, State l, const Lanes* at) {
    const int lane = locals_[from].lane;
    const double start = story_->start_of(p);
    double t = story_->end_of(p);
    const bool none = locals_[from].key < 0;
    for (std::size_t j = none ? from : until; j-- > from;) {
      const Local& e = locals_[j];
      t = way_back(p, static_cast<int>(j - from) + 1, lane, state_after(states_, e),
                   e.t, t, l);
      if (e.spike >= 0)
        spike_back(e.spike, l, 0);
      else
        wake_back(lane, (*story_->wakes)[e.wake], l);
    }
    const State s = at ? State{at->x[lane], at->y[lane]} : State{};
    way_back(p, 0, lane, s, start, t, l);
    a_.lx[lane] = l.x;
    a_.ly[lane] = l.y;
  }

  // A lane back from time `to` to `from`, where its state is s.
  double way_back(int p, int part, int lane, State s, double from, double to,
                  State& l) {
    const Population& q = states_.of(lane);
    const int k = states_.within(lane);
    const Mode mode = states_.mode_of(lane, states_.mode(lane));
    const double by_integral = by_integral_ ? (*read_)[lane] : 0;
    const auto go = [&](State at, double t, double h) {
      q.lane_back(k, at, h, mode, l, a_, meter_->gauge(t), by_integral, wish_->trains);
    };
    if (reading_ != Reading::kHighest) {
      go(s, from, to - from);
      return from;
    }
    const Peak& peak = replay_->meter().peak(lane);
    const bool here = peak.pass == p && peak.part == part && (*read_)[lane] != 0;
    if (!here) {
      go(s, from, to - from);
    } else if (peak.where == Peak::kInside) {
      go(q.after(k, s, peak.offset, mode), from + peak.offset, to - from - peak.offset);
      l.x += (*read_)[lane];
      go(s, from, peak.offset);
    } else if (peak.where == Peak::kEnd) {
      l.x += (*read_)[lane];
      go(s, from, to - from);
    } else {
      go(s, from, to - from);
      l.x += (*read_)[lane];
      // As if the state after the event were observed a moment later.
      const double by_time = mode.hold_x ? 0 : (*read_)[lane] * q.slope(k, s).x;
      if (part > 0)
        owed_[lane] += by_time;
      else if (p > 0)
        moves_with(p - 1, lane, by_time);
    }
    return from;
  }

  // Something of a lane moves with the time of an event, and so with its own delay.
  void moves_with(int event, int lane, double time) {
    event_time_[static_cast<std::size_t>(event)] += time;
    if (!gradient_->delays.empty()) late_.push_back({event, lane, time});
  }

  static State masked(State slope, const Mode& mode) {
    return {mode.hold_x ? 0 : slope.x, mode.hold_y ? 0 : slope.y};
  }

  // The adjoint of lane l through its own spike; `by_time` is what others add to the
  // cotangent of its time.
  void spike_back(int number, State& l, double by_time) {
    const Spike& s = (*story_->spikes)[static_cast<std::size_t>(number)];
    const Population& q = states_.of(s.lane);
    const int k = states_.within(s.lane);
    const Mode mode = states_.mode_of(s.lane, states_.mode(s.lane));
    const State before{s.x, s.y}, after = q.fired(k, before);
    const State slope = q.slope(k, before),
                slope_after = masked(q.slope(k, after), mode);
    const State through = q.fired_back(k, before, l);
    double time =
        times_->spikes[b_][static_cast<std::size_t>(number)] + by_time + owed_[s.lane];
    owed_[s.lane] = 0;
    time += through.x * slope.x + through.y * slope.y - l.x * slope_after.x -
            l.y * slope_after.y;
    // What an integral gains by a later reset.
    if (by_integral_)
      time += (*read_)[s.lane] * meter_->gauge(s.t).weight * (before.x - after.x);
    l = through;
    states_.set_mode(s.lane, 0);
    if (s.cause == kCrossing) {
      const State by = q.gap_by_state();
      const double rate = by.x * slope.x + by.y * slope.y;
      // A potential that only touches threshold tells no derivative.
      if (!(rate > 1e-150)) return;
      l.x -= time * by.x / rate;
      l.y -= time * by.y / rate;
    } else if (s.cause >= 0) {
      moves_with(s.cause, s.lane, time);
    } else if (s.cause != kAtStart) {
      owed_[s.lane] += time;  // to the spike before
    }
  }

  // Through the end of a pause, whose time moves with its spike.
  void wake_back(int lane, const Wake& w, const State& l) {
    const Population& q = states_.of(lane);
    const State slope = q.slope(states_.within(lane), {w.x, w.y});
    const State after = masked(slope, states_.mode_of(lane, states_.mode(lane)));
    const State before = masked(slope, states_.mode_of(lane, 1));
    owed_[lane] += l.x * (before.x - after.x) + l.y * (before.y - after.y);
    states_.set_mode(lane, 1);
  }

  double deliver_back(int p, int row, const std::vector<int>* lanes, bool timed) {
    const std::size_t width = static_cast<std::size_t>(story_->plan->width);
    const std::size_t offset = static_cast<std::size_t>(row) * width;
    const double* w = &story_->block->weights[offset];
    double* g = &gradient_->weights[offset];
    double* by_delay = gradient_->delays.empty() ? nullptr : &gradient_->delays[offset];
    const Lanes* at = states_at(p);
    double time = by_integral_ && story_->block->jumps
                      ? jumps_back(story_->start_of(p), w, lanes, by_delay)
                      : 0;
    if (!lanes) {
      for (const auto& q : story_->block->populations)
        time += q->arrival_back(states_.lanes(), a_, at, w, g, timed, by_delay);
      return time;
    }
    for (const int lane : *lanes) {
      const State s = at ? State{at->x[lane], at->y[lane]} : State{};
      const double by = states_.of(lane).lane_arrival_back(
          states_.within(lane), s, w[lane], states_.mode_of(lane, states_.mode(lane)),
          {a_.lx[lane], a_.ly[lane]}, g[lane]);
      if (by_delay) by_delay[lane] += by;
      time += by;
    }
    return time;
  }

  // What integrals of potentials that jump lose by a later arrival.
  double jumps_back(double t, const double* w, const std::vector<int>* lanes,
                    double* by_delay) {
    const double weight = meter_->gauge(t).weight;
    double time = 0;
    for (const int lane : meter_->lanes()) {
      if (states_.lanes().hears[lane] == 0 || (*read_)[lane] == 0) continue;
      if (lanes && std::find(lanes->begin(), lanes->end(), lane) == lanes->end())
        continue;
      const State jump = states_.of(lane).received(states_.within(lane), {}, w[lane]);
      const double by = -(*read_)[lane] * weight * jump.x;
      if (by_delay) by_delay[lane] += by;
      time += by;
    }
    return time;
  }

  // A neuron that an arrival put above threshold fires at a time that moves with its
  // delay.
  void late_back(int event, int row) {
    for (const Late& late : late_)
      if (late.event == event)
        gradient_
            ->delays[static_cast<std::size_t>(row * story_->plan->width + late.lane)] +=
            late.time;
    late_.erase(std::remove_if(late_.begin(), late_.end(),
                               [&](const Late& late) { return late.event == event; }),
                late_.end());
  }

  void arrival(const Arrival& a, int p) {
    const bool timed = a.source != kInput || wish_->inputs;
    double time = deliver_back(p, a.row, lanes_of(*story_, a), timed);
    time += event_time_[static_cast<std::size_t>(p) - 1];
    late_back(p - 1, a.row);
    const std::size_t index = static_cast<std::size_t>(a.index);
    if (a.source == kInput)
      times_->inputs[index] += time;
    else
      times_->spikes[a.source == kOwn ? b_ : a.block][index] += time;
  }

  void spike(const Event& e, int p) {
    const Spike& s = (*story_->spikes)[static_cast<std::size_t>(e.spike)];
    double time = event_time_[static_cast<std::size_t>(p) - 1];
    deliver_at_once(*story_, s.neuron, s.t,
                    [&](int row, const std::vector<int>* lanes) {
                      time += deliver_back(p, row, lanes, true);
                      late_back(p - 1, row);
                    });
    State l{a_.lx[s.lane], a_.ly[s.lane]};
    spike_back(e.spike, l, time);
    a_.lx[s.lane] = l.x;
    a_.ly[s.lane] = l.y;
  }

  template <class Observed>
  void observation(const Arrival& a, int p, const Observed& observed) {
    double time = event_time_[static_cast<std::size_t>(p) - 1];
    const Lanes* at = wish_->observations ? states_at(p) : nullptr;
    if (reading_ != Reading::kNone) {
      time += window_back(a.index == kWindowStart, story_->start_of(p), at);
      times_->observations[static_cast<std::size_t>(a.index)] += time;
      return;
    }
    for (int lane = 0; lane < story_->plan->width; lane++) {
      const int neuron = story_->plan->neurons[static_cast<std::size_t>(lane)];
      if (neuron < 0) continue;
      const State by{observed(a.index, neuron, 0), observed(a.index, neuron, 1)};
      if (at) {
        const State slope = masked(
            states_.of(lane).slope(states_.within(lane), {at->x[lane], at->y[lane]}),
            states_.mode_of(lane, states_.mode(lane)));
        time += by.x * slope.x + by.y * slope.y;
      }
      a_.lx[lane] += by.x;
      a_.ly[lane] += by.y;
    }
    times_->observations[static_cast<std::size_t>(a.index)] += time;
  }

  // What integrals gain by a later end of their window, or lose by a later start,
  // before which nothing counts.
  double window_back(bool starts, double t, const Lanes* at) {
    double time = 0;
    if (by_integral_ && at)
      for (const int lane : meter_->lanes())
        time += (*read_)[lane] * meter_->gauge(t).weight * at->x[lane];
    if (!starts) return time;
    by_integral_ = nullptr;
    return -time;
  }

  struct Late {
    int event, lane;
    double time;
  };

  const Story* story_ = nullptr;
  std::size_t b_ = 0;
  const Wish* wish_ = nullptr;
  const std::vector<double>* read_ = nullptr;
  BlockGradient* gradient_ = nullptr;
  TimeCotangents* times_ = nullptr;
  LaneStates states_;
  Reading reading_ = Reading::kNone;
  int top_ = -1;  // the last pass with anything to tell
  const Meter* meter_ = nullptr;
  Columns columns_;
  double *lx_, *ly_;
  Adjoints a_{};
  const double* by_integral_ = nullptr;
  std::vector<std::uint8_t> is_read_;  // by population
  std::unique_ptr<Replay> replay_;
  std::vector<double> owed_, event_time_, read_now_;
  std::vector<Late> late_;
  std::vector<Local> locals_;
  std::vector<State> kept_;
};

}  // namespace eventax

// One block of one sample, from event to event.
#pragma once

#include <cmath>
#include <vector>

#include "meter.h"

namespace eventax {

// What all blocks and samples of a call share.
struct Setting {
  double t0 = 0;
  int max_events = 0;
  double rounding = kEpsilon;  // of the network's type: closer times are equal
  double tie(double t) const {
    return rounding * (8 * std::fabs(t - t0) + std::fabs(t));
  }
};

class BlockRun {
 public:
  BlockRun(const Setting& setting, const BlockPlan& plan)
      : setting_(&setting), plan_(&plan), states_(plan) {}

  // A sample begins. Runs keep their memory from one to the next.
  void start(const Parameters& parameters, int b, Meter meter) {
    block_ = &parameters.blocks[b];
    states_.start(*block_);
    meter_ = std::move(meter);
    arrivals_.clear();
    cursor_.restart();
    next_ = 0;
    own_ = {};
    own_next_ = false;
    spikes_.clear();
    wakes_.clear();
    wake_at_.assign(plan_->width, kInf);
    last_spike_.assign(plan_->width, -1);
    next_wake_ = known_until_ = end_ = kInf;
    t_ = setting_->t0;
    slack_ = 0;
    reach_ = kInf;
    for (const auto& p : block_->populations) reach_ = std::min(reach_, p->reach());
    stride_ = reach_;
    seq_ = 0;
    row_ = nullptr;
    arriving_.clear();
    arrived_.clear();
    above_.clear();
    together_.clear();
  }

  // Arrivals up to the time of the next call of `run`, in order.
  std::vector<Arrival>& arrivals() { return arrivals_; }
  Cursor& cursor() { return cursor_; }
  std::vector<Spike>& spikes() { return spikes_; }
  std::vector<Wake>& wakes() { return wakes_; }
  const Meter& meter() const { return meter_; }
  double time() const { return t_; }

  // Goes on until `until`, through everything at that time. `observe(index, states)` is
  // told of observations; `halt(spikes, first new one)` is asked after each spike.
  // Returns a Status.
  template <class Observe, class Halt>
  int run(double until, double end, Observe observe, Halt halt) {
    end_ = end;
    for (;;) {
      if (static_cast<int>(spikes_.size()) > setting_->max_events)
        return kTooManyEvents;
      const std::size_t before = spikes_.size();
      const bool together = fire_together();
      const Arrival* known = together ? nullptr : next_known(until);
      // Who crosses within rounding of the end, or of an observation, does so at it.
      const bool last = known ? known->source == kObservation : until >= end;
      const double to = known ? known->t : until, start = t_, part = t_ + stride_;
      const bool whole = !(part > t_ && part < to);
      const bool spiked =
          together || pass(whole ? to : part, whole && last && !meter_.on());
      if (spikes_.size() > before && halt(spikes_, before)) return kOk;
      if (plan_->cyclic && !together) adapt(t_ - start, spiked);
      if (!spiked && !whole) stay_below();
      if (spiked || !whole) continue;
      if (static_cast<int>(spikes_.size()) > setting_->max_events)
        return kTooManyEvents;
      if (!known) break;
      consume(observe);
      if (!block_->jumps) consume_together(until, observe);
    }
    if (until < end) stay_below();
    return kOk;
  }

  bool finite() const {
    const Lanes& l = states_.lanes();
    for (int k = 0; k < plan_->width; k++)
      if (plan_->neurons[k] >= 0 && !(std::isfinite(l.x[k]) && std::isfinite(l.y[k])))
        return false;
    return true;
  }

 private:
  struct Candidate {
    int lane;
    double guess;
  };
  struct Found {
    double h = kInf;
    int lane = -1, cause = kCrossing;
    int neuron = 0;
    bool before(const Found& o) const {
      if (h != o.h) return h < o.h;
      if ((cause == kCrossing) != (o.cause == kCrossing)) return cause == kCrossing;
      return neuron < o.neuron;
    }
  };

  // A way is not much longer than the next spike is far: where it takes steps, those
  // beyond the spike are for nothing.
  void adapt(double gone, bool spiked) {
    stride_ = spiked ? 0.5 * (stride_ + gone) : 1.5 * stride_;
    stride_ = std::min(std::max(stride_, 1e-3 * reach_), reach_);
  }

  // Nothing happens where a turn ends: who tends to threshold from below, and is there
  // by rounding, does not fire.
  void stay_below() {
    for (const auto& p : block_->populations) {
      if (!p->note_threshold(states_.lanes())) continue;
      each_noted(*p, [&](int lane) {
        if (states_.mode(lane) != 0) return;
        State s = states_.now(lane);
        const double gap = states_.lanes().may[lane];
        s.x -= gap + kEpsilon * (std::fabs(s.x) + std::fabs(gap));
        states_.set(lane, s);
      });
    }
  }

  // Calls take(lane) for each lane of `p` that a loop over it noted.
  template <class Take>
  void each_noted(const Population& p, Take take) {
    const Lanes& l = states_.lanes();
    for (int from = p.first(); from < p.first() + p.width(); from += kVector)
      each_set(l.flags[from / kVector], [&](int k) {
        if (l.may[from + k] >= 0) take(from + k);  // not NaN
      });
  }

  const Arrival* next_known(double until) {
    own_next_ =
        !own_.empty() && (next_ >= arrivals_.size() || own_.top() < arrivals_[next_]);
    const Arrival* a = own_next_                  ? &own_.top()
                       : next_ < arrivals_.size() ? &arrivals_[next_]
                                                  : nullptr;
    return a && a->t <= until ? a : nullptr;
  }

  // Everybody goes on until `to`, or until the first spike if neurons hear each other;
  // returns whether there was one.
  bool pass(double to, bool last) {
    const double h = to - t_;
    slack_ = last ? setting_->tie(to) + block_->blur : 0;
    arrived_.swap(arriving_);
    arriving_.clear();
    const bool any = states_.scan(h + slack_, row_);
    row_ = nullptr;
    find_candidates(any, to);
    const bool quiet = candidates_.empty() && waking_.empty();
    if (slack_ > 0 && (quiet || !plan_->cyclic)) states_.go(h);
    if (quiet) {
      above_.clear();
      land(h, to, {});
      return false;
    }
    if (!plan_->cyclic) {
      walk_all(to);
      return false;
    }
    return first_spike(h, to);
  }

  void find_candidates(bool any, double to) {
    candidates_.clear();
    waking_.clear();
    if (any)
      for (const auto& p : block_->populations)
        each_noted(*p, [&](int lane) { candidates_.push_back({lane, 0}); });
    if (next_wake_ > to + setting_->tie(to)) return;
    next_wake_ = kInf;
    for (int k = 0; k < plan_->width; k++) {
      if (states_.mode(k) != 1) continue;
      if (wake_at_[k] <= to + setting_->tie(to)) waking_.push_back(k);
      next_wake_ = std::min(next_wake_, wake_at_[k]);
    }
  }

  void land(double h, double to, const std::vector<int>& apart) {
    meter_.way(states_, t_, h, seq_, apart);
    states_.arrive();
    t_ = to;
  }

  // What puts a lane that is at threshold there.
  int jump_cause(int lane) {
    for (const auto& [known, cause] : above_)
      if (known == lane) return cause;
    if (seq_ == 0) return kAtStart;
    const Population& p = states_.of(lane);
    if (!p.arrivals_jump()) return kCrossing;
    if (states_.lanes().hears[lane] == 0 || arrived_.empty()) return seq_ - 1;
    // Of arrivals at one time the first that lifts it over threshold.
    State s = states_.now(lane);
    for (auto a = arrived_.rbegin(); a != arrived_.rend(); ++a) {
      s = p.received(states_.within(lane), s, -a->row[lane]);
      if (p.gap(states_.within(lane), s) < 0) return a->event;
    }
    return kCrossing;
  }

  // Neurons that do not hear each other, each by itself

  void walk_all(double to) {
    apart_.clear();
    for (const Candidate& c : candidates_) apart_.push_back(c.lane);
    apart_.insert(apart_.end(), waking_.begin(), waking_.end());
    const std::size_t from_spike = spikes_.size(), from_wake = wakes_.size();
    const double h = to - t_;
    known_until_ = to;
    for (const int lane : apart_) walk(lane, to);
    sort_new(from_spike, from_wake);
    const auto most = static_cast<std::size_t>(setting_->max_events);
    if (spikes_.size() > most) {
      // Of lanes that fire too often not all spikes are known.
      while (spikes_.back().t > known_until_ && spikes_.size() > most + 1)
        spikes_.pop_back();
      t_ = std::min(spikes_[most].t, known_until_);
      return;
    }
    land(h, to, apart_);
  }

  // One lane from now until `to`, through all of its spikes and pauses.
  void walk(int lane, double to) {
    const Population& p = states_.of(lane);
    const int k = states_.within(lane);
    State s = states_.now(lane);
    double now = t_;
    int mode = states_.mode(lane), part = 0;
    int jump = mode == 0 && p.gap(k, s) >= 0 ? jump_cause(lane) : kCrossing;
    // The state at `to`, as far as it is known: the pass told it.
    State end{states_.lanes().x_end[lane], states_.lanes().y_end[lane]};
    bool known = true;
    const auto go = [&](double until) {
      meter_.lane_way(states_, lane, s, now, until - now, mode, seq_, part++);
      s = known && until == to
              ? end
              : p.after(k, s, until - now, states_.mode_of(lane, mode));
      now = until;
      known = false;
    };
    const std::size_t most =
        spikes_.size() + static_cast<std::size_t>(setting_->max_events);
    for (;;) {
      if (spikes_.size() > most) {
        known_until_ = std::min(known_until_, now);
        break;
      }
      if (mode != 0) {
        if (mode == 2 || wake_at_[lane] > to + setting_->tie(to)) break;
        go(std::min(std::max(wake_at_[lane], now), to));
        wakes_.push_back({now, s.x, s.y, last_spike_[lane], seq_});
        mode = states_.after_wake(lane);
        jump = kWoke;
        continue;
      }
      if (slack_ > 0) known = false;
      const double wait = p.crossing(k, s, to - now + slack_, end, known);
      if (slack_ > 0) known = false;
      if (!(wait < kInf)) break;
      go(std::min(now + wait, to));
      note(lane, now, s, wait > 0 ? static_cast<int>(kCrossing) : jump);
      s = p.fired(k, s);
      mode = states_.after_spike(lane);
      if (mode == 1) {
        wake_at_[lane] = now + block_->rest[lane];
        next_wake_ = std::min(next_wake_, wake_at_[lane]);
      }
      jump = kAgain;
    }
    go(to);
    states_.set_end(lane, s);
    states_.set_mode(lane, mode);
  }

  void note(int lane, double t, State s, int cause) {
    last_spike_[lane] = static_cast<int>(spikes_.size());
    spikes_.emplace_back(t, s.x, s.y, plan_->neurons[lane], lane, seq_, cause);
  }

  // Spikes of several lanes in order of time, at one time by neuron.
  void sort_new(std::size_t from_spike, std::size_t from_wake) {
    const auto before = [&](const Spike& x, const Spike& y) {
      return x.t < y.t || (x.t == y.t && x.neuron < y.neuron);
    };
    const auto first = spikes_.begin() + static_cast<std::ptrdiff_t>(from_spike);
    if (std::is_sorted(first, spikes_.end(), before)) return;
    if (!block_->pauses) {
      std::stable_sort(first, spikes_.end(), before);
      return;
    }
    const std::size_t n = spikes_.size() - from_spike;
    std::vector<int> order(n), place(n);
    for (std::size_t j = 0; j < n; j++) order[j] = static_cast<int>(j);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
      return before(spikes_[from_spike + a], spikes_[from_spike + b]);
    });
    const std::vector<Spike> fresh(first, spikes_.end());
    for (std::size_t j = 0; j < n; j++) {
      spikes_[from_spike + j] = fresh[order[j]];
      place[order[j]] = static_cast<int>(j);
      last_spike_[fresh[order[j]].lane] = static_cast<int>(from_spike + j);
    }
    for (std::size_t j = from_wake; j < wakes_.size(); j++) {
      const int spike = wakes_[j].spike - static_cast<int>(from_spike);
      if (spike >= 0) wakes_[j].spike = static_cast<int>(from_spike) + place[spike];
    }
  }

  // Neurons that hear each other: the first spike of all

  bool first_spike(double h, double to) {
    Found best = first_of_waking(to);
    const double whole = h + slack_;
    double horizon = std::min(best.h, whole);
    above_now_.clear();
    for (Candidate& c : candidates_) {
      const Population& p = states_.of(c.lane);
      const State s = states_.now(c.lane);
      if (p.gap(states_.within(c.lane), s) >= 0)
        above_now_.emplace_back(c.lane, jump_cause(c.lane));
      c.guess = candidates_.size() > 1 ? p.guess(states_.within(c.lane), s, h) : 0;
    }
    above_.swap(above_now_);
    remaining_ = candidates_;
    bool landed = true;  // whether the state at the end is that at the horizon
    if (horizon < whole) landed = false;
    while (!remaining_.empty()) {
      std::size_t j = 0;
      for (std::size_t q = 1; q < remaining_.size(); q++)
        if (remaining_[q].guess < remaining_[j].guess) j = q;
      const int lane = remaining_[j].lane;
      remaining_.erase(remaining_.begin() + static_cast<std::ptrdiff_t>(j));
      const int k = states_.within(lane);
      Found found;
      // Over the whole way, so that neurons that are equal cross at one time.
      found.h = states_.of(lane).crossing(k, states_.now(lane), whole);
      found.lane = lane;
      found.neuron = plan_->neurons[lane];
      found.cause = found.h > 0 ? static_cast<int>(kCrossing) : cause_of(lane);
      if (!(found.h < kInf) || !found.before(best)) continue;
      best = found;
      horizon = best.h;
      landed = false;
      if (remaining_.size() > 6) {
        states_.scan(horizon, nullptr);
        landed = true;
        keep([&](int other) { return states_.lanes().may[other] >= 0; });
      } else {
        keep([&](int other) {
          return states_.of(other).may_fire(states_.within(other), states_.now(other),
                                            horizon);
        });
      }
    }
    const double at = best.lane >= 0 ? std::min(t_ + best.h, to) : to;
    landed &= at - t_ == (best.lane >= 0 ? best.h : whole);
    if (!landed) states_.go(at - t_);
    apart_.clear();
    for (const int lane : waking_)
      if (wake_at_[lane] <= at || (best.lane < 0)) apart_.push_back(lane);
    for (const int lane : apart_) {
      wake_up(lane, at);
      // Who is above threshold by then fires next, at a time that moves with its pause.
      const State end{states_.lanes().x_end[lane], states_.lanes().y_end[lane]};
      const bool awake = states_.mode(lane) == 0;
      if (awake && states_.of(lane).gap(states_.within(lane), end) >= 0)
        above_.emplace_back(lane, kWoke);
    }
    if (best.lane < 0) {
      land(h, to, apart_);
      return false;
    }
    land(at - t_, at, apart_);
    if (best.cause == kCrossing) find_together(best.lane);
    fire(best.lane, best.cause);
    return true;
  }

  template <class Keep>
  void keep(Keep wanted) {
    std::size_t n = 0;
    for (const Candidate& c : remaining_)
      if (wanted(c.lane)) remaining_[n++] = c;
    remaining_.resize(n);
  }

  int cause_of(int lane) const {
    for (const auto& [known, cause] : above_)
      if (known == lane) return cause;
    return kCrossing;
  }

  // The first spike of neurons whose pause ends before `to`.
  Found first_of_waking(double to) const {
    Found best;
    for (const int lane : waking_) {
      if (states_.after_wake(lane) != 0) continue;
      const Population& p = states_.of(lane);
      const int k = states_.within(lane);
      const double wake = std::min(std::max(wake_at_[lane], t_), to);
      const State s =
          p.after(k, states_.now(lane), wake - t_, states_.mode_of(lane, 1));
      const double wait = p.crossing(k, s, to - wake + slack_);
      if (!(wait < kInf)) continue;
      Found found;
      found.h = wake - t_ + wait;
      found.lane = lane;
      found.neuron = plan_->neurons[lane];
      found.cause = wait > 0 ? kCrossing : kWoke;
      if (found.before(best)) best = found;
    }
    return best;
  }

  // A pause ends on the way to `to`.
  void wake_up(int lane, double to) {
    const Population& p = states_.of(lane);
    const int k = states_.within(lane);
    State s = states_.now(lane);
    const double wake = std::min(std::max(wake_at_[lane], t_), to);
    meter_.lane_way(states_, lane, s, t_, wake - t_, 1, seq_, 0);
    s = p.after(k, s, wake - t_, states_.mode_of(lane, 1));
    wakes_.push_back({wake, s.x, s.y, last_spike_[lane], seq_});
    const int mode = states_.after_wake(lane);
    states_.set_mode(lane, mode);
    wake_at_[lane] = kInf;
    meter_.lane_way(states_, lane, s, wake, to - wake, mode, seq_, 1);
    states_.set_end(lane, p.after(k, s, to - wake, states_.mode_of(lane, mode)));
  }

  void fire(int lane, int cause) {
    const State s = states_.now(lane);
    note(lane, t_, s, cause);
    seq_++;
    states_.set(lane, states_.of(lane).fired(states_.within(lane), s));
    const int mode = states_.after_spike(lane);
    if (mode != 0) states_.set_mode(lane, mode);
    if (mode == 1) {
      wake_at_[lane] = t_ + block_->rest[lane];
      next_wake_ = std::min(next_wake_, wake_at_[lane]);
    }
    const int neuron = plan_->neurons[lane];
    const int number = static_cast<int>(spikes_.size()) - 1;
    send(*block_, *plan_, neuron, t_, end_, [&](double t, int row, int reach) {
      if (t > t_)
        own_.emplace(t, neuron, row, reach, number, kOwn);
      else
        deliver(row, reach);
    });
  }

  const double* weights(int row) const {
    return &block_->weights[static_cast<std::size_t>(row) * plan_->width];
  }

  void arrive(const double* row) {
    row_ = row;
    arriving_.push_back({row, seq_ - 1});
  }

  void deliver(int row, int reach) {
    const double* w = weights(row);
    const auto* lanes =
        block_->reaches.empty() ? nullptr : &block_->reaches[row][reach].lanes;
    if (!lanes || lanes->empty()) {
      arrive(w);
      return;
    }
    for (const int lane : *lanes) states_.set(lane, states_.received(lane, w[lane]));
  }

  template <class Observe>
  void consume(Observe& observe) {
    const Arrival a = own_next_ ? own_.top() : arrivals_[next_];
    if (own_next_) {
      own_.pop();
    } else {
      next_++;
    }
    seq_++;
    if (a.source == kObservation) {
      if (!meter_.on())
        observe(a.index, states_);
      else if (a.index == kWindowStart)
        meter_.open();
      return;
    }
    deliver(a.row, a.reach);
    if (!block_->jumps || a.source != kUpstream || next_ >= arrivals_.size()) return;
    // Who fires together does so before anybody who hears it.
    const Arrival& more = arrivals_[next_];
    if (more.source != kUpstream || more.t != a.t || more.block != a.block ||
        more.group != a.group)
      return;
    receive_row();
    own_next_ = false;
    consume(observe);
  }

  // Nobody fires between arrivals at one time that move no potential.
  template <class Observe>
  void consume_together(double until, Observe& observe) {
    for (;;) {
      const Arrival* more = next_known(until);
      if (!more || more->t != t_ || more->source == kObservation) return;
      receive_row();
      consume(observe);
    }
  }

  // What arrives in the next pass arrives now.
  void receive_row() {
    if (row_) states_.receive(row_);
    row_ = nullptr;
  }

  // Neurons that cross at one instant all fire at it, lower ones first; one is left out
  // if a spike before it takes it lower.
  struct Waiting {
    int lane;
    double floor;
  };

  void find_together(int first) {
    together_.clear();
    const double tie = 8 * kEpsilon * std::max(std::fabs(t_), std::fabs(setting_->t0));
    // What the one that fires is short of threshold is the error of a step.
    const double short_of =
        std::min(states_.of(first).gap(states_.within(first), states_.now(first)), 0.0);
    for (const Candidate& c : candidates_) {
      if (c.lane == first || states_.mode(c.lane) != 0) continue;
      const Population& p = states_.of(c.lane);
      const State s = states_.now(c.lane);
      const int k = states_.within(c.lane);
      const State by = p.gap_by_state(), slope = p.slope(k, s);
      const double rate = by.x * slope.x + by.y * slope.y, gap = p.gap(k, s);
      const double doubt = std::fabs(rate) * tie;
      if (rate > 0 && gap >= short_of - doubt)
        together_.push_back({c.lane, std::min(gap, 0.0) - 2 * doubt});
    }
    std::sort(together_.begin(), together_.end(),
              [&](const Waiting& a, const Waiting& b) {
                return plan_->neurons[a.lane] < plan_->neurons[b.lane];
              });
  }

  bool fire_together() {
    if (together_.empty()) return false;
    receive_row();
    while (!together_.empty()) {
      const Waiting next = together_.front();
      together_.erase(together_.begin());
      const double gap =
          states_.of(next.lane).gap(states_.within(next.lane), states_.now(next.lane));
      if (gap < next.floor || states_.mode(next.lane) != 0) continue;
      fire(next.lane, kCrossing);
      return true;
    }
    return false;
  }

  const Setting* setting_;
  const BlockPlan* plan_;
  const Block* block_ = nullptr;
  LaneStates states_;
  Meter meter_{Reading::kNone, 0, 0, false};
  std::vector<Arrival> arrivals_;
  Cursor cursor_;
  std::size_t next_ = 0;
  Queue own_;
  bool own_next_ = false;
  std::vector<Spike> spikes_;
  std::vector<Wake> wakes_;
  std::vector<double> wake_at_;
  std::vector<int> last_spike_;
  double next_wake_ = kInf, known_until_ = kInf, t_ = 0, end_ = kInf, slack_ = 0;
  double reach_ = kInf, stride_ = kInf;  // how long a way may be, and is best
  int seq_ = 0;
  const double* row_ = nullptr;  // what arrives in the next pass
  // Rows before the next pass, and before this one, with the numbers of their events.
  struct Delivery {
    const double* row;
    int event;
  };
  std::vector<Delivery> arriving_, arrived_;
  std::vector<Candidate> candidates_, remaining_;
  std::vector<int> waking_, apart_;
  std::vector<std::pair<int, int>> above_, above_now_;
  std::vector<Waiting> together_;
};

}  // namespace eventax

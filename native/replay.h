// A block's way through events that are known: states on the way, for the way back.
#pragma once

#include <algorithm>
#include <vector>

#include "simulate.h"

namespace eventax {

// What a block did: its sequence of events, its spikes and the ends of its pauses.
//
// Pass p leads from event p - 1 (or t0) to event p (or the end). On it everybody moves,
// and what is a lane's own matter happens: ends of pauses, and where neurons do not
// hear each other all spikes.
struct Story {
  const BlockPlan* plan;
  const Block* block;
  std::vector<Event> events;
  const std::vector<Spike>* spikes;
  const std::vector<Wake>* wakes;
  double t0, end;

  int passes() const { return static_cast<int>(events.size()) + 1; }
  double start_of(int p) const { return p > 0 ? events[p - 1].time(*spikes) : t0; }
  double end_of(int p) const {
    return p < static_cast<int>(events.size())
               ? std::max(events[p].time(*spikes), start_of(p))
               : std::max(end, start_of(p));
  }
};

// Something that concerns one lane only.
struct Local {
  int lane;
  int key;  // order within the lane: twice the number of the spike, one more for its
            // wake
  double t;
  int spike, wake;  // numbers, -1 if it is not one
  State before;

  explicit Local(int of, int order = -1, double when = 0, int in_spikes = -1,
                 int in_wakes = -1, double x = 0, double y = 0)
      : lane(of), key(order), t(when), spike(in_spikes), wake(in_wakes), before{x, y} {}
};

inline void locals_of(const Story& story, int pass, std::vector<Local>& locals) {
  locals.clear();
  const auto by_seq = [](const auto& a, int seq) { return a.seq < seq; };
  if (!story.plan->cyclic) {
    const auto& spikes = *story.spikes;
    for (auto s = std::lower_bound(spikes.begin(), spikes.end(), pass, by_seq);
         s != spikes.end() && s->seq == pass; ++s) {
      const int j = static_cast<int>(s - spikes.begin());
      locals.emplace_back(s->lane, 2 * j, s->t, j, -1, s->x, s->y);
    }
  }
  const auto& wakes = *story.wakes;
  if (!wakes.empty())
    for (auto w = std::lower_bound(wakes.begin(), wakes.end(), pass, by_seq);
         w != wakes.end() && w->seq == pass; ++w) {
      const int j = static_cast<int>(w - wakes.begin());
      locals.emplace_back((*story.spikes)[w->spike].lane, 2 * w->spike + 1, w->t, -1, j,
                          w->x, w->y);
    }
  if (locals.size() > 1)
    std::sort(locals.begin(), locals.end(), [](const Local& a, const Local& b) {
      return a.lane < b.lane || (a.lane == b.lane && a.key < b.key);
    });
}

// State and mode of a lane after something of its own.
inline State state_after(const LaneStates& s, const Local& l) {
  return l.spike >= 0 ? s.of(l.lane).fired(s.within(l.lane), l.before) : l.before;
}
inline int mode_after(const LaneStates& s, const Local& l) {
  return l.spike >= 0 ? s.after_spike(l.lane) : s.after_wake(l.lane);
}

// Calls take(row, lanes, reach) for what a spike of `neuron` at t delivers in its own
// event.
template <class Take>
void deliver_at_once(const Story& story, int neuron, double t, Take take) {
  const int row = story.plan->row_of[neuron];
  if (row < 0) return;
  if (story.block->reaches.empty()) {
    take(row, static_cast<const std::vector<int>*>(nullptr));
    return;
  }
  for (const Reach& reach : story.block->reaches[row])
    if (!(t + reach.delay > t)) take(row, reach.lanes.empty() ? nullptr : &reach.lanes);
}

inline const std::vector<int>* lanes_of(const Story& story, const Arrival& a) {
  if (story.block->reaches.empty()) return nullptr;
  const auto& lanes = story.block->reaches[a.row][a.reach].lanes;
  return lanes.empty() ? nullptr : &lanes;
}

// States at the start of each pass. Some are kept, others found again from these.
class Replay {
 public:
  Replay(const Story& story, Meter meter)
      : story_(story), states_(*story.plan, *story.block), meter_(std::move(meter)) {
    const std::size_t bytes = static_cast<std::size_t>(2) * width() * sizeof(double);
    const std::size_t passes = static_cast<std::size_t>(story.passes());
    length_ = passes;
    // Up to 8 MiB all of them; beyond, so many that checkpoints take as much as a
    // chunk.
    if (passes * bytes > (std::size_t{8} << 20)) {
      length_ = 1;
      while (length_ * length_ < passes) length_++;
    }
    chunk_.resize(length_ * 2 * width());
    play(0, passes, true);
    if (length_ < passes) loaded_ = passes;  // none
    meter_on_ = false;
  }

  const Meter& meter() const { return meter_; }

  // States at the start of pass p, its arrival included, as lanes of which only x and y
  // are to be read.
  const Lanes& at(int pass) {
    const std::size_t p = static_cast<std::size_t>(pass), first = p / length_ * length_;
    if (loaded_ != first) {
      const std::size_t passes = static_cast<std::size_t>(story_.passes());
      restore(first / length_);
      play(first, std::min(first + length_, passes), false);
      loaded_ = first;
    }
    seen_.x = &chunk_[(p - first) * 2 * width()];
    seen_.y = seen_.x + width();
    return seen_;
  }

 private:
  std::size_t width() const { return static_cast<std::size_t>(story_.plan->width); }

  void play(std::size_t from, std::size_t until, bool first_time) {
    for (std::size_t p = from; p < until; p++) {
      if (first_time && p % length_ == 0) keep();
      double* to = &chunk_[p % length_ * 2 * width()];
      std::copy_n(states_.lanes().x, width(), to);
      std::copy_n(states_.lanes().y, width(), to + width());
      if (p + 1 == until && !(meter_on_ && meter_.on())) break;
      pass(static_cast<int>(p));
    }
    if (first_time) loaded_ = 0;
  }

  void pass(int p) {
    const double start = story_.start_of(p), end = story_.end_of(p);
    states_.go(end - start);
    locals_of(story_, p, locals_);
    apart_.clear();
    for (std::size_t j = 0; j < locals_.size();) {
      const int lane = locals_[j].lane;
      State s = states_.now(lane);
      double now = start;
      int mode = states_.mode(lane), part = 0;
      const auto go = [&](double until) {
        if (meter_on_)
          meter_.lane_way(states_, lane, s, now, until - now, mode, p, part++);
        now = until;
      };
      for (; j < locals_.size() && locals_[j].lane == lane; j++) {
        go(locals_[j].t);
        s = state_after(states_, locals_[j]);
        mode = mode_after(states_, locals_[j]);
      }
      const double last = now;
      go(end);
      states_.set_end(lane, states_.of(lane).after(states_.within(lane), s, end - last,
                                                   states_.mode_of(lane, mode)));
      next_modes_.emplace_back(lane, mode);
      apart_.push_back(lane);
    }
    if (meter_on_) meter_.way(states_, start, end - start, p, apart_);
    for (const auto& [lane, mode] : next_modes_) states_.set_mode(lane, mode);
    next_modes_.clear();
    states_.arrive();
    if (p < static_cast<int>(story_.events.size())) event(story_.events[p]);
  }

  void event(const Event& e) {
    if (e.spike >= 0) {
      const Spike& s = (*story_.spikes)[e.spike];
      states_.set(s.lane, states_.of(s.lane).fired(states_.within(s.lane), {s.x, s.y}));
      states_.set_mode(s.lane, states_.after_spike(s.lane));
      deliver_at_once(
          story_, s.neuron, s.t,
          [&](int row, const std::vector<int>* lanes) { deliver(row, lanes); });
    } else if (e.arrival.source != kObservation) {
      deliver(e.arrival.row, lanes_of(story_, e.arrival));
    } else if (e.arrival.index == kWindowStart) {
      meter_.open();
    }
  }

  void deliver(int row, const std::vector<int>* lanes) {
    const double* w = &story_.block->weights[static_cast<std::size_t>(row) * width()];
    if (!lanes) {
      states_.receive(w);
      return;
    }
    for (const int lane : *lanes) states_.set(lane, states_.received(lane, w[lane]));
  }

  void keep() {
    const Lanes& l = states_.lanes();
    checkpoints_.insert(checkpoints_.end(), l.x, l.x + width());
    checkpoints_.insert(checkpoints_.end(), l.y, l.y + width());
    for (std::size_t k = 0; k < width(); k++)
      modes_.push_back(static_cast<std::uint8_t>(states_.mode(static_cast<int>(k))));
  }

  void restore(std::size_t number) {
    const double* from = &checkpoints_[number * 2 * width()];
    std::copy_n(from, width(), states_.lanes().x);
    std::copy_n(from + width(), width(), states_.lanes().y);
    for (std::size_t k = 0; k < width(); k++)
      states_.set_mode(static_cast<int>(k), modes_[number * width() + k]);
  }

  const Story& story_;
  LaneStates states_;
  Meter meter_;
  bool meter_on_ = true;
  std::size_t length_ = 1, loaded_ = 0;
  std::vector<double> chunk_, checkpoints_;
  std::vector<std::uint8_t> modes_;
  std::vector<Local> locals_;
  std::vector<int> apart_;
  std::vector<std::pair<int, int>> next_modes_;
  Lanes seen_{};
};

}  // namespace eventax

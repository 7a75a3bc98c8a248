// What happens in a network: arrivals known beforehand, spikes and wakes that are
// found.
#pragma once

#include <algorithm>
#include <cstdint>
#include <queue>
#include <vector>

#include "parameters.h"

namespace eventax {

// Why a simulation stopped; the numbers are those of eventax/_engine/_status.py.
enum Status {
  kOk = 0,
  kTooManyEvents = 1,
  kNotFinite = 2,
};

// An input spike of a sample, in order of time.
struct Input {
  double t;
  int channel, index;  // where it stands in the user's array

  bool operator<(const Input& o) const {
    if (t != o.t) return t < o.t;
    return channel != o.channel ? channel < o.channel : index < o.index;
  }
};

// Into order, of times from `start` to `end`: first into as many slots of time as there
// are inputs, so that little is left to compare.
inline void sort_by_time(std::vector<Input>& inputs, double start, double end) {
  if (std::is_sorted(inputs.begin(), inputs.end())) return;
  const std::size_t n = inputs.size();
  const double scale = static_cast<double>(n) / (end - start);
  if (n > 32 && scale > 0 && scale < kInf) {
    const auto slot = [&](const Input& in) {
      return std::min(n - 1, static_cast<std::size_t>((in.t - start) * scale));
    };
    std::vector<std::uint32_t> place(n + 1, 0);
    for (const Input& in : inputs) place[slot(in) + 1]++;
    for (std::size_t k = 0; k < n; k++) place[k + 1] += place[k];
    std::vector<Input> spread(n);
    for (const Input& in : inputs) spread[place[slot(in)]++] = in;
    inputs.swap(spread);
    // `place` are the ends of the slots now.
    for (std::size_t k = 0, from = 0; k < n; from = place[k++])
      if (place[k] - from > 1)
        std::sort(inputs.begin() + static_cast<std::ptrdiff_t>(from),
                  inputs.begin() + static_cast<std::ptrdiff_t>(place[k]));
    return;
  }
  std::sort(inputs.begin(), inputs.end());
}

// What there is one of per event is made where it is kept: a temporary would be written
// number by number and read whole, for which processors wait (a tenth of a call of
// jaxsnn's example).

// A spike. `seq` is its number in its block's sequence of events if the block is
// cyclic, else that of the next event.
struct Spike {
  double t;
  double x, y;  // state just before its reset
  std::int32_t neuron, lane;
  std::int32_t seq;
  std::int32_t cause;

  Spike() = default;
  Spike(double when, double x_then, double y_then, int of, int at, int number, int why)
      : t(when), x(x_then), y(y_then), neuron(of), lane(at), seq(number), cause(why) {}
};
// What a spike's time moves with: its own crossing, or what put it above threshold.
enum Cause {
  kCrossing = -1,
  kWoke = -2,     // the end of its neuron's pause
  kAgain = -3,    // its neuron's spike just before
  kAtStart = -4,  // it was there from the start
  // Not negative: the number of an event in the block's sequence.
};

// The end of a neuron's pause.
struct Wake {
  double t;
  double x, y;         // state then
  std::int32_t spike;  // that the pause is about, a number in the block's list
  std::int32_t seq;    // of the next event
};

enum Source { kInput, kUpstream, kOwn, kObservation };

// Something that reaches a block at a time known beforehand.
struct Arrival {
  double t;
  std::int32_t order;  // at one time: the sender; observations last
  std::int32_t row;    // of the sender in the block
  std::int32_t reach;  // which of the sender's delays
  std::int32_t index;  // of the input, of the spike in its block, or of the observation
  std::int32_t source;  // see Source
  std::int32_t block;   // of an upstream spike
  std::int32_t group;   // spikes of one block and group fire before anybody hears them

  Arrival() = default;
  Arrival(double when, int sender, int in_row, int delay, int number, Source from,
          int in_block = 0, int together = 0)
      : t(when),
        order(sender),
        row(in_row),
        reach(delay),
        index(number),
        source(from),
        block(in_block),
        group(together) {}

  bool operator<(const Arrival& o) const {
    return t < o.t || (t == o.t && order < o.order);
  }
  bool operator>(const Arrival& o) const { return o < *this; }
};

using Queue = std::priority_queue<Arrival, std::vector<Arrival>, std::greater<Arrival>>;

// One event of a block's sequence.
struct Event {
  Arrival arrival;
  int spike;  // its number if it is a spike, else -1

  explicit Event(const Arrival& a) : arrival(a), spike(-1) {}
  explicit Event(int number) : arrival(), spike(number) {}
  double time(const std::vector<Spike>& spikes) const {
    return spike >= 0 ? spikes[spike].t : arrival.t;
  }
};

// What a spike of `sender` at t sends to a block: calls take(time, row, reach) for each
// of its delays up to `end`. Without delays there is one, at once.
template <class Take>
void send(const Block& block, const BlockPlan& plan, int sender, double t, double end,
          Take take) {
  const int row = plan.row_of[sender];
  if (row < 0) return;
  if (block.reaches.empty()) {
    if (t <= end) take(t, row, 0);
    return;
  }
  const auto& reaches = block.reaches[row];
  for (std::size_t j = 0; j < reaches.size(); j++) {
    const double arrives = t + reaches[j].delay;
    if (!(arrives <= end)) break;
    take(arrives, row, static_cast<int>(j));
  }
}

// Arrivals that are known before a block is simulated: inputs, spikes of blocks before
// it, and observations, merged in order of time. `observe` are sorted (time, index).
struct Sources {
  const std::vector<Input>* inputs;
  const std::vector<const std::vector<Spike>*>* spikes;  // by block, null: not known
  const std::vector<std::pair<double, int>>* observe;    // null: not of this block
};

inline void append_sorted(std::vector<Arrival>& all, std::size_t from) {
  if (!std::is_sorted(all.begin() + static_cast<std::ptrdiff_t>(from), all.end()))
    std::stable_sort(all.begin() + static_cast<std::ptrdiff_t>(from), all.end());
}

// How far each source has been gone through.
struct Cursor {
  std::size_t input = 0, observation = 0;
  std::vector<std::size_t> spike;
  std::vector<Arrival> later;  // beyond the time that was asked for
  void restart() {
    input = observation = 0;
    std::fill(spike.begin(), spike.end(), 0);
    later.clear();
  }
};

// Adds arrivals up to `until` to those that are there, in order of time.
inline void gather(const Plan& plan, const Parameters& parameters, int b,
                   const Sources& sources, double until, double end, Cursor& cursor,
                   std::vector<Arrival>& arrivals) {
  const BlockPlan& p = plan.blocks[b];
  const Block& block = parameters.blocks[b];
  cursor.spike.resize(plan.blocks.size(), 0);
  const std::size_t start = arrivals.size();
  std::size_t sorted = start;
  const auto merge = [&] {
    append_sorted(arrivals, sorted);
    std::inplace_merge(arrivals.begin() + static_cast<std::ptrdiff_t>(start),
                       arrivals.begin() + static_cast<std::ptrdiff_t>(sorted),
                       arrivals.end());
    sorted = arrivals.size();
  };
  const auto list_for = [&](double t) -> std::vector<Arrival>& {
    return t <= until ? arrivals : cursor.later;
  };
  if (!cursor.later.empty()) {
    std::vector<Arrival> later;
    later.swap(cursor.later);
    for (const Arrival& a : later) list_for(a.t).push_back(a);
    merge();
  }
  const auto& inputs = *sources.inputs;
  for (; cursor.input < inputs.size() && inputs[cursor.input].t <= until;
       cursor.input++) {
    const Input& in = inputs[cursor.input];
    const int sender = plan.n_neurons + in.channel;
    send(block, p, sender, in.t, end, [&](double t, int row, int reach) {
      list_for(t).emplace_back(t, sender, row, reach, in.index, kInput);
    });
  }
  merge();
  for (int from = 0; from < b; from++) {
    if (!(*sources.spikes)[from]) continue;
    const auto& spikes = *(*sources.spikes)[from];
    for (std::size_t& j = cursor.spike[from]; j < spikes.size(); j++) {
      const Spike& s = spikes[j];
      send(block, p, s.neuron, s.t, end, [&](double t, int row, int reach) {
        list_for(t).emplace_back(t, s.neuron, row, reach, static_cast<int>(j),
                                 kUpstream, from, s.seq);
      });
    }
    merge();
  }
  if (!sources.observe) return;
  const auto& observe = *sources.observe;
  for (; cursor.observation < observe.size() &&
         observe[cursor.observation].first <= until;
       cursor.observation++)
    arrivals.emplace_back(observe[cursor.observation].first, plan.n_senders, -1, 0,
                          observe[cursor.observation].second, kObservation);
  merge();
}

// The whole sequence of a block's events, when its spikes are known already.
inline void sequence(const Plan& plan, const Parameters& parameters, int b,
                     const std::vector<Arrival>& arrivals,
                     const std::vector<Spike>& spikes, double end,
                     std::vector<Event>& events) {
  events.clear();
  const bool cyclic = plan.blocks[b].cyclic;
  events.reserve(arrivals.size() + (cyclic ? spikes.size() : 0));
  Queue own;
  std::size_t next = 0, spike = 0;
  for (;;) {
    if (cyclic && spike < spikes.size() &&
        spikes[spike].seq == static_cast<std::int32_t>(events.size())) {
      const Spike& s = spikes[spike];
      const int number = static_cast<int>(spike++);
      if (parameters.delayed)
        send(parameters.blocks[b], plan.blocks[b], s.neuron, s.t, end,
             [&](double t, int row, int reach) {
               if (t > s.t) own.emplace(t, s.neuron, row, reach, number, kOwn);
             });
      events.emplace_back(number);
      continue;
    }
    const bool mine =
        !own.empty() && (next >= arrivals.size() || own.top() < arrivals[next]);
    if (!mine && next >= arrivals.size()) break;
    events.emplace_back(mine ? own.top() : arrivals[next]);
    if (mine)
      own.pop();
    else
      next++;
  }
}

}  // namespace eventax

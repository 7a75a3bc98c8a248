// One sample through all blocks, and what is told of it.
#pragma once

#include <cmath>
#include <memory>
#include <vector>

#include "adjoint.h"

namespace eventax {

enum class Question { kFirst = 0, kTrains = 1, kRecord = 2, kStates = 3, kReading = 4 };

struct Ask {
  Question question = Question::kFirst;
  Reading reading = Reading::kNone;
  double rho = 0;
  bool window = false;       // readings count between two observations only
  std::vector<int> outputs;  // neurons
  std::vector<int> slot;     // by neuron: its place among the outputs, -1
  int max_spikes = 1;
  bool observes() const { return question == Question::kStates || window; }
};

// What is known of a sample after its simulation.
struct Trace {
  std::vector<std::vector<Spike>> spikes;  // by block
  std::vector<std::vector<Wake>> wakes;
};

inline std::vector<std::pair<double, int>> in_order(const std::vector<double>& times) {
  std::vector<std::pair<double, int>> sorted;
  for (std::size_t j = 0; j < times.size(); j++)
    if (!std::isnan(times[j])) sorted.emplace_back(times[j], static_cast<int>(j));
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

// The lanes of a block that are outputs.
inline std::vector<int> output_lanes(const Ask& ask, const BlockPlan& plan) {
  std::vector<int> lanes;
  for (std::size_t k = 0; k < plan.neurons.size(); k++)
    if (plan.neurons[k] >= 0 && ask.slot[plan.neurons[k]] >= 0)
      lanes.push_back(static_cast<int>(k));
  return lanes;
}

inline Meter meter_of(const Ask& ask, const Setting& setting, const BlockPlan& plan) {
  Meter meter(ask.question == Question::kReading ? ask.reading : Reading::kNone,
              ask.rho, setting.t0, ask.window);
  if (ask.question == Question::kReading)
    meter.watch(plan.width, output_lanes(ask, plan));
  return meter;
}

// Blocks on which an output depends; the others need not be simulated.
inline std::vector<char> needed(const Plan& plan, const Ask& ask) {
  const std::size_t n = plan.blocks.size();
  std::vector<char> wanted(n, ask.question == Question::kRecord);
  for (std::size_t b = n; b-- > 0;) {
    if (!wanted[b]) wanted[b] = !output_lanes(ask, plan.blocks[b]).empty();
    if (!wanted[b]) continue;
    for (const int s : plan.blocks[b].senders)
      if (s < plan.n_neurons) wanted[plan.places[s].block] = 1;
  }
  return wanted;
}

class Sample {
 public:
  Sample(const Setting& setting, const Plan& plan, const Ask& ask,
         const std::vector<char>& wanted)
      : setting_(setting), plan_(plan), ask_(ask) {
    for (std::size_t b = 0; b < plan.blocks.size(); b++) {
      runs_.push_back(wanted[b] ? std::make_unique<BlockRun>(setting, plan.blocks[b])
                                : nullptr);
      fired_before_.push_back(wanted[b] ? &runs_[b]->spikes() : nullptr);
    }
    trace_.spikes.resize(runs_.size());
    trace_.wakes.resize(runs_.size());
  }

  // Simulates `inputs()`; may be called again, and keeps its memory from one sample to
  // the next. `observe(index, states, plan)` is told of the observations `at`.
  template <class Observe>
  int simulate(const Parameters& parameters, double end,
               const std::vector<std::pair<double, int>>& at, Observe observe) {
    const std::size_t n = plan_.blocks.size();
    parameters_ = &parameters;
    observe_ = &at;
    end_ = end;
    stop_ = -kInf;
    for (std::size_t b = 0; b < n; b++)
      if (runs_[b])
        runs_[b]->start(parameters, static_cast<int>(b),
                        meter_of(ask_, setting_, plan_.blocks[b]));
    waiting_ =
        ask_.question == Question::kFirst ? static_cast<int>(ask_.outputs.size()) : -1;
    fired_.assign(static_cast<std::size_t>(plan_.n_neurons), 0);
    int status = kOk;
    double limit = setting_.t0;
    std::size_t input = 0;
    const double slice = longest_slice();
    bool last = false;
    while (!last && !done()) {
      limit = slice < kInf ? next_limit(limit, slice, input) : end_;
      last = limit >= end_;
      double reached = std::min(limit, end_);
      for (std::size_t b = 0; b < n; b++) {
        if (!runs_[b]) continue;
        const int found = run_block(b, reached, observe);
        if (found == kTooManyEvents) {
          // Blocks that hear it can go no further.
          reached = runs_[b]->time();
          last = true;
        }
        status = found != kOk ? found : status;
      }
    }
    stop_ = done() ? stop_ : kInf;
    if (status == kTooManyEvents && done()) status = kOk;
    for (const auto& run : runs_)
      if (run && !run->finite()) status = kNotFinite;
    for (std::size_t b = 0; b < n; b++) {
      if (!runs_[b]) continue;
      trace_.spikes[b].swap(runs_[b]->spikes());
      trace_.wakes[b].swap(runs_[b]->wakes());
      cut(trace_.spikes[b], trace_.wakes[b]);
    }
    return status;
  }

  const Trace& trace() const { return trace_; }
  double stop() const { return stop_; }
  const Meter& meter(std::size_t b) const { return runs_[b]->meter(); }
  std::vector<Input>& inputs() { return inputs_; }
  const std::vector<Input>& inputs() const { return inputs_; }

 private:
  bool done() const { return waiting_ == 0; }

  // Blocks take turns, so that none runs far beyond the last spike that is waited for.
  double longest_slice() const {
    constexpr double kSlices = 32;
    return waiting_ >= 0 ? (end_ - setting_.t0) / kSlices : kInf;
  }

  // Up to where all blocks go before the next turn.
  double next_limit(double now, double slice, std::size_t& input) const {
    constexpr std::size_t kInputs = 32;
    double limit = now + slice;
    if (!(limit > now)) limit = end_;
    if (waiting_ < 0) return std::min(limit, end_);
    input += kInputs;
    while (input < inputs_.size() && inputs_[input].t <= now) input += kInputs;
    if (input < inputs_.size()) limit = std::min(limit, inputs_[input].t);
    return std::min(limit, end_);
  }

  template <class Observe>
  int run_block(std::size_t b, double until, Observe& observe) {
    BlockRun& run = *runs_[b];
    const bool watched =
        ask_.observes() && !output_lanes(ask_, plan_.blocks[b]).empty();
    const Sources sources{&inputs_, &fired_before_, watched ? observe_ : nullptr};
    gather(plan_, *parameters_, static_cast<int>(b), sources, until, end_, run.cursor(),
           run.arrivals());
    const int status = run.run(
        until, end_,
        [&](int index, const LaneStates& states) {
          observe(index, states, plan_.blocks[b]);
        },
        [&](const std::vector<Spike>& spikes, std::size_t from) {
          return halt(spikes, from);
        });
    return status;
  }

  bool halt(const std::vector<Spike>& spikes, std::size_t from) {
    if (waiting_ < 0) return false;
    for (std::size_t j = from; j < spikes.size(); j++) {
      const int neuron = spikes[j].neuron;
      if (ask_.slot[neuron] < 0 || fired_[neuron]) continue;
      fired_[neuron] = 1;
      waiting_--;
      stop_ = std::max(stop_, spikes[j].t);
    }
    return waiting_ == 0;
  }

  // Leaves out what comes after the last spike that was waited for.
  void cut(std::vector<Spike>& spikes, std::vector<Wake>& wakes) const {
    while (!spikes.empty() && spikes.back().t > stop_) spikes.pop_back();
    while (!wakes.empty() && wakes.back().spike >= static_cast<int>(spikes.size()))
      wakes.pop_back();
    wakes.erase(std::remove_if(wakes.begin(), wakes.end(),
                               [&](const Wake& w) {
                                 return w.spike >= static_cast<int>(spikes.size());
                               }),
                wakes.end());
  }

  const Setting& setting_;
  const Plan& plan_;
  const Ask& ask_;
  const Parameters* parameters_ = nullptr;
  std::vector<Input> inputs_;
  const std::vector<std::pair<double, int>>* observe_ = nullptr;
  double end_ = kInf, stop_ = -kInf;
  std::vector<std::unique_ptr<BlockRun>> runs_;
  std::vector<const std::vector<Spike>*> fired_before_;
  Trace trace_;
  int waiting_ = -1;
  std::vector<char> fired_;
};

// All spikes in order of time, as (block, number).
inline std::vector<std::pair<int, int>> all_in_order(const Trace& trace) {
  const auto before = [&](const std::pair<int, int>& a, const std::pair<int, int>& b) {
    const Spike &x = trace.spikes[a.first][a.second],
                &y = trace.spikes[b.first][b.second];
    return x.t < y.t || (x.t == y.t && x.neuron < y.neuron);
  };
  std::vector<std::pair<int, int>> all;
  for (std::size_t b = 0; b < trace.spikes.size(); b++) {
    const auto middle = static_cast<std::ptrdiff_t>(all.size());
    for (std::size_t j = 0; j < trace.spikes[b].size(); j++)
      all.emplace_back(static_cast<int>(b), static_cast<int>(j));
    std::inplace_merge(all.begin(), all.begin() + middle, all.end(), before);
  }
  return all;
}

// Calls take(slot of the output, number of the spike among its own, block, spike).
template <class Take>
void each_output_spike(const Ask& ask, const Trace& trace, Take take) {
  std::vector<int> count(ask.outputs.size(), 0);
  for (std::size_t b = 0; b < trace.spikes.size(); b++)
    for (std::size_t j = 0; j < trace.spikes[b].size(); j++) {
      const int slot = ask.slot[trace.spikes[b][j].neuron];
      if (slot < 0) continue;
      if (count[slot] < ask.max_spikes) take(slot, count[slot], b, j);
      count[slot]++;
    }
}

}  // namespace eventax

// What JAX calls: many samples forward, and back.
#pragma once

#include <cstring>
#include <deque>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "operands.h"
#include "plans.h"
#include "sample.h"
#include "threads.h"

namespace eventax {

// As written by eventax/_native/_call.py.
struct Header {
  std::int64_t n_neurons, n_inputs, per_input, max_events, question, reading,
      max_spikes, n_populations, counts_deliveries, keeps;
};
constexpr std::size_t kHeader = sizeof(Header) / sizeof(std::int64_t);
struct PopulationHeader {
  std::int64_t kind, size, trains, spread, pauses, first, then, n_fixed, has_rest;
};
constexpr std::size_t kPopulationHeader =
    sizeof(PopulationHeader) / sizeof(std::int64_t);

inline Mode mode_of_flags(std::int64_t f) {
  return {(f & 1) != 0, (f & 2) != 0, (f & 4) != 0, (f & 8) != 0};
}

template <class T>
constexpr ffi::DataType kType =
    sizeof(T) == 4 ? ffi::DataType::F32 : ffi::DataType::F64;

// Operands that both ways have.
template <class T>
class Problem {
 public:
  template <class R>
  Problem(R& args, ffi::Span<const std::int64_t> ints, ffi::Span<const double> reals,
          std::int64_t samples)
      : samples_(samples) {
    if (ints.size() < kHeader || reals.size() < 3)
      throw BadArray("eventax: bad attributes.");
    std::memcpy(&header, ints.begin(), sizeof(header));
    const auto n_populations = static_cast<std::size_t>(header.n_populations);
    if (ints.size() != kHeader + n_populations * kPopulationHeader)
      throw BadArray("eventax: bad attributes.");
    populations.resize(n_populations);
    std::memcpy(populations.data(), ints.begin() + kHeader,
                n_populations * sizeof(PopulationHeader));
    const std::int64_t n = header.n_neurons, senders = n + header.n_inputs;

    const auto times_shape = args.shape("in_spike_times");
    n_times = times_shape.empty() ? 0 : times_shape[0];
    times = args.take(kType<T>, {n_times}, "in_spike_times");
    channels =
        args.take(ffi::DataType::S32, {header.per_input > 0 ? 0 : n_times}, "channels");
    end = args.take(kType<T>, {}, "t_end");
    const auto observe_shape = args.shape("comp_times");
    n_observe = observe_shape.empty() ? 0 : observe_shape[0];
    observe = args.take(kType<T>, {n_observe}, "comp_times");
    const auto delay_shape = args.shape("delays");
    has_delays = !delay_shape.empty() && delay_shape[0] > 0;
    delays =
        args.take(kType<T>, {has_delays ? senders : 0, has_delays ? n : 0}, "delays");
    const auto axonal_shape = args.shape("axonal_delays");
    has_axonal = !axonal_shape.empty() && axonal_shape[0] > 0;
    axonal = args.take(kType<T>, {has_axonal ? senders : 0}, "axonal_delays");
    for (const PopulationHeader& p : populations) {
      const std::int64_t many = p.spread ? p.size : 1;
      weights.push_back(args.take(kType<T>, {senders, p.size}, "weights"));
      bias.push_back(args.take(kType<T>, {p.size}, "ic"));
      tau_1.push_back(args.take(kType<T>, {many}, "time constants"));
      tau_2.push_back(args.take(kType<T>, {many}, "time constants"));
      start.push_back(args.take(kType<T>, {p.size, 2}, "init_state"));
    }
    const View mask = args.take(ffi::DataType::PRED, {senders, n}, "wmask");
    const auto output_shape = args.shape("outputs");
    n_outputs = output_shape.empty() ? 0 : output_shape[0];
    const View outputs = args.take(ffi::DataType::S32, {n_outputs}, "outputs");
    const std::size_t many = static_cast<std::size_t>(n);
    Wiring wiring{static_cast<int>(n),
                  static_cast<int>(senders),
                  mask.template of<const bool>(0),
                  std::vector<int>(many, -1),
                  std::vector<int>(many, -1),
                  std::vector<std::uint8_t>(many, 0)};
    for (std::size_t q = 0; q < n_populations; q++) {
      const PopulationHeader& p = populations[q];
      const View who = args.take(ffi::DataType::S32, {p.size}, "neurons");
      const View fixed = args.take(kType<T>, {p.n_fixed, p.size}, "constants");
      const View rest = args.take(kType<T>, {p.has_rest ? p.size : 0}, "t_refrac");
      Model model;
      model.kind = static_cast<int>(p.kind);
      model.size = static_cast<int>(p.size);
      model.trains = p.trains != 0;
      model.spread = p.spread != 0;
      model.pauses = p.pauses != 0;
      model.first = mode_of_flags(p.first);
      model.then = mode_of_flags(p.then);
      model.n_fixed = static_cast<int>(p.n_fixed);
      const T* numbers = fixed.template of<T>(0);
      model.fixed.assign(numbers, numbers + p.n_fixed * p.size);
      if (p.has_rest)
        model.rest.assign(rest.template of<T>(0), rest.template of<T>(0) + p.size);
      models.push_back(std::move(model));
      for (std::int64_t k = 0; k < p.size; k++) {
        const std::int32_t neuron = who.template of<std::int32_t>(0)[k];
        if (neuron < 0 || neuron >= n) throw BadArray("eventax: neurons out of range.");
        wiring.population[neuron] = static_cast<int>(q);
        wiring.member[neuron] = static_cast<int>(k);
        wiring.jumps[neuron] = p.kind == kAlif;
      }
    }
    time_rests = args.take(kType<T>, {n_times}, "in_spike_times");
    end_rest = args.take(kType<T>, {}, "t_end");
    observe_rests = args.take(kType<T>, {n_observe}, "comp_times");
    for (const int q : wiring.population)
      if (q < 0) throw BadArray("eventax: a neuron without a model.");
    plan_ = plans().of(wiring);
    setting.t0 = reals[0];
    setting.rounding = reals[2];
    setting.max_events = static_cast<int>(header.max_events);
    ask.question = static_cast<Question>(header.question);
    ask.reading = static_cast<Reading>(header.reading);
    ask.rho = reals[1];
    ask.window = ask.question == Question::kReading && n_observe > 0;
    ask.max_spikes = static_cast<int>(header.max_spikes);
    ask.slot.assign(static_cast<std::size_t>(n), -1);
    for (std::int64_t k = 0; k < n_outputs; k++) {
      const int neuron = outputs.template of<std::int32_t>(0)[k];
      if (neuron < 0 || neuron >= n) throw BadArray("eventax: outputs out of range.");
      ask.slot[neuron] = static_cast<int>(k);
      ask.outputs.push_back(neuron);
    }
    wanted = needed(plan(), ask);
  }

  const Plan& plan() const { return *plan_; }

  // Whether all samples have the same parameters, or at least these two.
  bool same_parameters(std::int64_t a, std::int64_t b) const {
    const auto same = [&](const View& v) { return v.place(a) == v.place(b); };
    bool all = same(delays) && same(axonal);
    for (const auto* views : {&weights, &bias, &tau_1, &tau_2, &start})
      for (const View& v : *views) all &= same(v);
    return all;
  }

  Parameters parameters(std::int64_t sample) const {
    Arrays<T> arrays{{},
                     has_delays ? delays.template of<T>(sample) : nullptr,
                     has_axonal ? axonal.template of<T>(sample) : nullptr};
    for (std::size_t q = 0; q < populations.size(); q++)
      arrays.populations.push_back(
          {weights[q].template of<T>(sample), bias[q].template of<T>(sample),
           tau_1[q].template of<T>(sample), tau_2[q].template of<T>(sample),
           start[q].template of<T>(sample)});
    return pack(plan(), models, arrays);
  }

  double t_end(std::int64_t sample) const {
    const double at = static_cast<double>(*end.template of<T>(sample)) +
                      static_cast<double>(*end_rest.template of<T>(sample));
    return at >= setting.t0 ? at : setting.t0;  // NaN is no end
  }

  // Into `found`, in order of time.
  void inputs(std::int64_t sample, std::vector<Input>& found) const {
    const T* t = times.template of<T>(sample);
    const T* rest = time_rests.template of<T>(sample);
    const std::int32_t* own =
        header.per_input > 0 ? nullptr : channels.template of<std::int32_t>(sample);
    const double last = t_end(sample);
    found.clear();
    for (std::int64_t k = 0; k < n_times; k++) {
      const double at = static_cast<double>(t[k]) + static_cast<double>(rest[k]);
      if (!(at >= setting.t0 && at <= last)) continue;
      const std::int64_t channel = own ? own[k] : k / header.per_input;
      if (channel < 0 || channel >= header.n_inputs) continue;
      found.push_back({at, static_cast<int>(channel), static_cast<int>(k)});
    }
    sort_by_time(found, setting.t0, last);
  }

  std::vector<std::pair<double, int>> observations(std::int64_t sample) const {
    std::vector<double> at;
    for (std::int64_t k = 0; k < n_observe; k++)
      at.push_back(static_cast<double>(observe.template of<T>(sample)[k]) +
                   static_cast<double>(observe_rests.template of<T>(sample)[k]));
    return in_order(at);
  }

  // What a spike of each sender counts: arrivals after different delays are several
  // events.
  std::vector<std::vector<double>> distinct_delays(const Parameters& parameters) const {
    std::vector<std::vector<double>> distinct(
        static_cast<std::size_t>(plan().n_senders));
    for (std::size_t b = 0; b < plan().blocks.size(); b++)
      for (std::size_t r = 0; r < plan().blocks[b].senders.size(); r++)
        for (const Reach& reach : parameters.blocks[b].reaches[r])
          distinct[plan().blocks[b].senders[r]].push_back(reach.delay);
    for (auto& d : distinct) {
      std::sort(d.begin(), d.end());
      d.erase(std::unique(d.begin(), d.end()), d.end());
    }
    return distinct;
  }

  Header header;
  std::vector<PopulationHeader> populations;
  std::vector<Model> models;
  std::int64_t samples_, n_times = 0, n_observe = 0, n_outputs = 0;
  bool has_delays = false, has_axonal = false;
  View times, channels, end, observe, delays, axonal;
  // What is left of times that one number of the network's type does not hold.
  View time_rests, end_rest, observe_rests;
  std::vector<View> weights, bias, tau_1, tau_2, start;
  Setting setting;
  Ask ask;
  std::vector<char> wanted;

 private:
  std::shared_ptr<const Plan> plan_;
};

// Parameters of the sample in hand: packed once if all samples share them.
template <class T>
class Packed {
 public:
  explicit Packed(const Problem<T>& problem, const Parameters* shared)
      : problem_(problem), shared_(shared) {}
  const Parameters& of(std::int64_t sample) {
    if (shared_) return *shared_;
    if (last_ < 0 || !problem_.same_parameters(last_, sample))
      own_ = problem_.parameters(sample);
    last_ = sample;
    return own_;
  }

 private:
  const Problem<T>& problem_;
  const Parameters* shared_;
  Parameters own_;
  std::int64_t last_ = -1;
};

template <class T>
std::optional<Parameters> shared_parameters(const Problem<T>& problem) {
  for (std::int64_t b = 1; b < problem.samples_; b++)
    if (!problem.same_parameters(0, b)) return std::nullopt;
  return problem.samples_ > 0 ? std::optional<Parameters>(problem.parameters(0))
                              : std::nullopt;
}

using Args = Reader<ffi::RemainingArgs, ffi::AnyBuffer>;
using Rets = Reader<ffi::RemainingRets, ffi::AnyBuffer>;

struct Counted {
  std::int64_t events = 0, under_way = 0;
};

// Events until `stop` (arrivals before it, if it is a spike that was waited for), and
// the most spikes that were under way at once. `pending` gets how many were after each
// spike.
template <class T>
Counted count_events(const Problem<T>& problem, const Parameters& parameters,
                     const Sample& sample, double end, std::vector<int>* pending) {
  Counted counted;
  const double stop = sample.stop();
  const auto arrives = [&](double t) { return t <= end && (stop == kInf || t < stop); };
  const bool deliveries = parameters.delayed && problem.header.counts_deliveries;
  std::vector<std::vector<double>> distinct;
  if (parameters.delayed) distinct = problem.distinct_delays(parameters);
  for (const Input& in : sample.inputs()) {
    const int sender = problem.plan().n_neurons + in.channel;
    if (!problem.plan().heard[sender]) continue;
    if (!deliveries) {
      counted.events += arrives(in.t);
      continue;
    }
    for (const double d : distinct[sender]) counted.events += arrives(in.t + d);
  }
  const Trace& trace = sample.trace();
  for (const auto& spikes : trace.spikes) {
    counted.events += static_cast<std::int64_t>(spikes.size());
    if (!deliveries) continue;
    for (const Spike& s : spikes)
      for (const double d : distinct[s.neuron])
        counted.events += s.t + d > s.t && arrives(s.t + d);
  }
  if (!parameters.delayed || !(deliveries || pending)) return counted;
  std::priority_queue<double, std::vector<double>, std::greater<double>> last;
  for (const auto& [b, j] : all_in_order(trace)) {
    const Spike& s = trace.spikes[b][j];
    while (!last.empty() &&
           (last.top() < s.t || (last.top() == s.t && s.cause != kCrossing)))
      last.pop();
    double longest = -1;
    for (const double d : distinct[s.neuron])
      if (s.t + d > s.t && s.t + d <= end) longest = d;
    if (longest >= 0) last.push(s.t + longest);
    counted.under_way =
        std::max(counted.under_way, static_cast<std::int64_t>(last.size()));
    if (pending) pending->push_back(static_cast<int>(last.size()));
  }
  return counted;
}

// For the error that there are too many events: how many inputs arrived until the last
// event, when that was (the bits of a float), and the three neurons that fired most.
inline void tell_activity(const Plan& plan, const Sample& sample, std::int32_t* told) {
  double last = -kInf;
  std::vector<std::int32_t> count(static_cast<std::size_t>(plan.n_neurons), 0);
  for (const auto& spikes : sample.trace().spikes) {
    for (const Spike& s : spikes) count[static_cast<std::size_t>(s.neuron)]++;
    if (!spikes.empty()) last = std::max(last, spikes.back().t);
  }
  if (last == -kInf && !sample.inputs().empty()) last = sample.inputs().back().t;
  told[0] = 0;
  for (const Input& in : sample.inputs()) told[0] += in.t <= last;
  const auto when = static_cast<float>(last);
  std::memcpy(told + 1, &when, sizeof(when));
  for (int k = 0; k < 3; k++) {
    const auto most = std::max_element(count.begin(), count.end());
    const bool any = most != count.end() && *most > 0;
    told[2 + k] = any ? static_cast<std::int32_t>(most - count.begin()) : -1;
    told[5 + k] = any ? *most : 0;
    if (any) *most = 0;
  }
}

template <class T>
void forward_samples(ffi::ThreadPool& pool, const Problem<T>& problem, Rets& rets) {
  const Header& h = problem.header;
  const std::int64_t n = h.n_neurons, room = h.max_events;
  const bool record = problem.ask.question == Question::kRecord;
  const bool states = problem.ask.question == Question::kStates;
  const bool reads = problem.ask.question == Question::kReading;
  const bool pauses = [&] {
    bool any = false;
    for (const Model& m : problem.models) any |= m.pauses;
    return any;
  }();
  const bool trains = problem.ask.question == Question::kFirst ||
                      problem.ask.question == Question::kTrains;
  const auto outputs = problem.n_outputs;
  const View status = rets.take(ffi::DataType::S32, {12}, "status");
  const View times =
      record ? rets.take(kType<T>, {room}, "times")
             : rets.take(kType<T>, {trains ? outputs : 0, h.max_spikes}, "times");
  const View who = rets.take(ffi::DataType::S32, {record ? room : 0}, "neurons");
  const View under_way = rets.take(ffi::DataType::S32, {record ? room : 0}, "pending");
  const View seen =
      rets.take(kType<T>, {states ? problem.n_observe : 0, n, 2}, "states");
  const View read = rets.take(kType<T>, {reads ? outputs : 0}, "readouts");
  const View spikes = rets.take(ffi::DataType::S32, {h.keeps ? room : 0, 10}, "spikes");
  const View wakes =
      rets.take(ffi::DataType::S32, {h.keeps && pauses ? room : 0, 8}, "wakes");
  const View counts = rets.take(ffi::DataType::S32, {h.keeps ? n : 0, 2}, "counts");
  static_assert(sizeof(Spike) == 40 && sizeof(Wake) == 32);

  const auto shared = shared_parameters(problem);
  const int parts = parts_of(pool, problem.samples_);
  const auto one = [&](std::int64_t b, const Parameters& parameters, Sample& sample) {
    const double end = problem.t_end(b);
    const auto observe = problem.observations(b);
    problem.inputs(b, sample.inputs());
    T* seen_to = states ? seen.template of<T>(b) : nullptr;
    if (states) std::fill_n(seen_to, problem.n_observe * n * 2, T(0));
    int code =
        sample.simulate(parameters, end, observe,
                        [&](int index, const LaneStates& s, const BlockPlan& plan) {
                          for (int k = 0; k < plan.width; k++) {
                            const int neuron = plan.neurons[k];
                            if (neuron < 0) continue;
                            T* to = seen_to + (index * n + neuron) * 2;
                            to[0] = static_cast<T>(s.now(k).x);
                            to[1] = static_cast<T>(s.now(k).y);
                          }
                        });
    const Trace& trace = sample.trace();
    std::vector<int> pending;
    const Counted counted =
        count_events(problem, parameters, sample, end, record ? &pending : nullptr);
    if (code == kOk && counted.events > room) code = kTooManyEvents;
    std::int64_t n_spikes = 0;
    for (const auto& s : trace.spikes) n_spikes += static_cast<std::int64_t>(s.size());
    std::int32_t* told = status.template of<std::int32_t>(b);
    told[0] = code;
    told[1] = static_cast<std::int32_t>(counted.events);
    told[2] = static_cast<std::int32_t>(n_spikes);
    told[3] = static_cast<std::int32_t>(counted.under_way);
    std::fill_n(told + 4, 8, 0);
    if (code == kTooManyEvents) tell_activity(problem.plan(), sample, told + 4);
    if (trains) {
      T* to = times.template of<T>(b);
      std::fill_n(to, outputs * h.max_spikes, static_cast<T>(kInf));
      each_output_spike(
          problem.ask, trace, [&](int slot, int number, std::size_t q, std::size_t j) {
            to[slot * h.max_spikes + number] = static_cast<T>(trace.spikes[q][j].t);
          });
    }
    if (record) {
      T* to = times.template of<T>(b);
      std::int32_t* neurons = who.template of<std::int32_t>(b);
      std::int32_t* waiting = under_way.template of<std::int32_t>(b);
      std::fill_n(to, room, static_cast<T>(kInf));
      std::fill_n(neurons, room, -1);
      std::fill_n(waiting, room, -1);
      std::int64_t k = 0;
      for (const auto& [q, j] : all_in_order(trace)) {
        if (k >= room) break;
        to[k] = static_cast<T>(trace.spikes[q][j].t);
        neurons[k] = trace.spikes[q][j].neuron;
        waiting[k] = pending.empty() ? 0 : pending[static_cast<std::size_t>(k)];
        k++;
      }
    }
    if (reads)
      for (std::int64_t k = 0; k < outputs; k++) {
        const Place& place = problem.plan().places[problem.ask.outputs[k]];
        read.template of<T>(b)[k] = static_cast<T>(
            sample.meter(static_cast<std::size_t>(place.block)).value(place.lane));
      }
    if (!h.keeps) return;
    std::int32_t* number = counts.template of<std::int32_t>(b);
    std::fill_n(number, 2 * n, 0);
    std::int32_t* spike_to = spikes.template of<std::int32_t>(b);
    std::int32_t* wake_to = wakes.template of<std::int32_t>(b);
    std::int64_t left = room, wakes_left = wakes.size() / 8;
    for (std::size_t q = 0; q < trace.spikes.size(); q++) {
      const auto some =
          std::min(left, static_cast<std::int64_t>(trace.spikes[q].size()));
      std::memcpy(spike_to, trace.spikes[q].data(), some * sizeof(Spike));
      spike_to += some * 10;
      left -= some;
      const auto woken =
          std::min(wakes_left, static_cast<std::int64_t>(trace.wakes[q].size()));
      std::memcpy(wake_to, trace.wakes[q].data(), woken * sizeof(Wake));
      wake_to += woken * 8;
      wakes_left -= woken;
      number[2 * q] = static_cast<std::int32_t>(some);
      number[2 * q + 1] = static_cast<std::int32_t>(woken);
    }
  };
  const auto work = [&](int part) {
    Packed<T> packed(problem, shared ? &*shared : nullptr);
    Sample sample(problem.setting, problem.plan(), problem.ask, problem.wanted);
    for (std::int64_t b = part; b < problem.samples_; b += parts)
      one(b, packed.of(b), sample);
  };
  in_parallel(pool, parts, work);
}

// A gradient that several samples may share: then each thread adds up its own, unless
// each number is `added_once`.
template <class T>
class Sum {
 public:
  Sum(View view, int parts, bool added_once) : view_(std::move(view)) {
    if (view_.size() == 0) return;
    direct_ = view_.own() || added_once;
    if (direct_)
      std::memset(view_.of<T>(0), 0,
                  static_cast<std::size_t>(view_.count() * view_.size()) * sizeof(T));
    else
      parts_.assign(static_cast<std::size_t>(parts),
                    std::vector<double>(
                        static_cast<std::size_t>(view_.count() * view_.size()), 0.0));
  }
  bool wanted() const { return view_.size() > 0; }
  bool same(std::int64_t a, std::int64_t b) const {
    return view_.place(a) == view_.place(b);
  }
  void add(int part, std::int64_t sample, std::int64_t k, double value) {
    if (direct_) {
      view_.of<T>(sample)[k] += static_cast<T>(value);
      return;
    }
    parts_[static_cast<std::size_t>(part)]
          [static_cast<std::size_t>(view_.place(sample) * view_.size() + k)] += value;
  }
  // A row of them, of the members that hear.
  void add_row(int part, std::int64_t sample, std::int64_t offset, const Group& group,
               const std::uint8_t* hears, const double* values) {
    const auto add_to = [&](auto* to) {
      using Number = std::remove_reference_t<decltype(*to)>;
      if (group.side_by_side()) {
        to += group.members[0];
        for (int k = 0; k < group.size; k++)
          to[k] += static_cast<Number>(hears[k] ? values[k] : 0.0);
      } else {
        for (int k = 0; k < group.size; k++)
          if (hears[k]) to[group.members[k]] += static_cast<Number>(values[k]);
      }
    };
    if (direct_)
      add_to(view_.of<T>(sample) + offset);
    else
      add_to(parts_[static_cast<std::size_t>(part)].data() +
             view_.place(sample) * view_.size() + offset);
  }
  void finish() {
    if (parts_.empty()) return;
    T* to = view_.of<T>(0);
    std::vector<double>& sum = parts_[0];
    for (std::size_t p = 1; p < parts_.size(); p++)
      for (std::size_t k = 0; k < sum.size(); k++) sum[k] += parts_[p][k];
    for (std::size_t k = 0; k < sum.size(); k++) to[k] = static_cast<T>(sum[k]);
  }

 private:
  View view_;
  bool direct_ = false;
  std::vector<std::vector<double>> parts_;
};

template <class T>
struct Gradients {
  std::vector<Sum<T>> all;
  Sum<T>& times() { return all[0]; }
  Sum<T>& observe() { return all[1]; }
  Sum<T>& delays() { return all[2]; }
  Sum<T>& axonal() { return all[3]; }
  Sum<T>& weights(std::size_t q) { return all[4 + 5 * q]; }
  Sum<T>& bias(std::size_t q) { return all[5 + 5 * q]; }
  Sum<T>& tau_1(std::size_t q) { return all[6 + 5 * q]; }
  Sum<T>& tau_2(std::size_t q) { return all[7 + 5 * q]; }
  Sum<T>& start(std::size_t q) { return all[8 + 5 * q]; }

  // One number per synapse.
  static bool is_large(std::size_t k) { return k == 2 || (k >= 4 && (k - 4) % 5 == 0); }

  // From lanes of blocks to the arrays of the user.
  void add(const Problem<T>& problem, const std::vector<BlockGradient>& found, int part,
           std::int64_t sample) {
    for (std::size_t b = 0; b < found.size(); b++) {
      const BlockPlan& plan = problem.plan().blocks[b];
      const BlockGradient& g = found[b];
      const std::size_t width = static_cast<std::size_t>(plan.width);
      if (g.bias.empty()) continue;
      for (const Group& group : plan.groups) {
        const std::size_t q = static_cast<std::size_t>(group.population);
        const std::int64_t size = problem.populations[q].size;
        for (int k = 0; k < group.size; k++) {
          const std::size_t lane = static_cast<std::size_t>(group.first + k);
          const int member = group.members[k];
          const int constant = problem.populations[q].spread ? member : 0;
          if (bias(q).wanted()) bias(q).add(part, sample, member, g.bias[lane]);
          if (tau_1(q).wanted()) tau_1(q).add(part, sample, constant, g.tau_1[lane]);
          if (tau_2(q).wanted()) tau_2(q).add(part, sample, constant, g.tau_2[lane]);
          if (start(q).wanted()) {
            start(q).add(part, sample, 2 * member, g.start_x[lane]);
            start(q).add(part, sample, 2 * member + 1, g.start_y[lane]);
          }
        }
        if (!weights(q).wanted()) continue;
        for (std::size_t r = 0; r < plan.senders.size(); r++) {
          const std::size_t at = r * width + static_cast<std::size_t>(group.first);
          weights(q).add_row(part, sample, plan.senders[r] * size, group,
                             &plan.hears[at], &g.weights[at]);
        }
      }
      if (g.delays.empty()) continue;
      for (std::size_t r = 0; r < plan.senders.size(); r++)
        for (std::size_t lane = 0; lane < width; lane++) {
          if (!plan.hears[r * width + lane]) continue;
          const double value = g.delays[r * width + lane];
          if (delays().wanted())
            delays().add(
                part, sample,
                static_cast<std::int64_t>(plan.senders[r]) * problem.plan().n_neurons +
                    plan.neurons[lane],
                value);
          if (axonal().wanted()) axonal().add(part, sample, plan.senders[r], value);
        }
    }
  }
};

// What a thread needs on the way back, from sample to sample.
struct WayBack {
  explicit WayBack(const Plan& plan) {
    trace.spikes.resize(plan.blocks.size());
    trace.wakes.resize(plan.blocks.size());
    times.spikes.resize(plan.blocks.size());
    for (const auto& spikes : trace.spikes) known.push_back(&spikes);
    for (const BlockPlan& block : plan.blocks) blocks.emplace_back(block);
  }
  Trace trace;
  TimeCotangents times;
  std::vector<Input> inputs;
  std::vector<const std::vector<Spike>*> known;
  std::vector<Arrival> arrivals;
  Cursor cursor;
  Story story{};
  std::vector<double> read;
  std::deque<BlockBack> blocks;
};

template <class T>
void backward_samples(ffi::ThreadPool& pool, const Problem<T>& problem, Args& args,
                      Rets& rets, ffi::Span<const std::int64_t> wanted) {
  const Header& h = problem.header;
  const std::int64_t n = h.n_neurons, room = h.max_events;
  const auto outputs = problem.n_outputs;
  const bool record = problem.ask.question == Question::kRecord;
  const bool states = problem.ask.question == Question::kStates;
  const bool reads = problem.ask.question == Question::kReading;
  const bool trains = problem.ask.question == Question::kFirst ||
                      problem.ask.question == Question::kTrains;
  bool pauses = false;
  for (const Model& m : problem.models) pauses |= m.pauses;
  const View spikes = args.take(ffi::DataType::S32, {room, 10}, "spikes");
  const View wakes = args.take(ffi::DataType::S32, {pauses ? room : 0, 8}, "wakes");
  const View counts = args.take(ffi::DataType::S32, {n, 2}, "counts");
  const View by_times =
      record ? args.take(kType<T>, {room}, "cotangents")
             : args.take(kType<T>, {trains ? outputs : 0, h.max_spikes}, "cotangents");
  const View by_states =
      args.take(kType<T>, {states ? problem.n_observe : 0, n, 2}, "cotangents");
  const View by_read = args.take(kType<T>, {reads ? outputs : 0}, "cotangents");

  const int parts = parts_of(pool, problem.samples_);
  std::vector<View> views;
  const auto next = [&](std::vector<std::int64_t> own, const char* name) {
    if (views.size() >= wanted.size()) throw BadArray("eventax: bad attributes.");
    if (!wanted[views.size()]) std::fill(own.begin(), own.end(), 0);
    views.push_back(rets.take(kType<T>, own, name));
  };
  const std::int64_t senders = n + h.n_inputs;
  next({problem.n_times}, "times");
  next({problem.n_observe}, "comp_times");
  next({problem.has_delays ? senders : 0, problem.has_delays ? n : 0}, "delays");
  next({problem.has_axonal ? senders : 0}, "axonal_delays");
  for (const PopulationHeader& p : problem.populations) {
    const std::int64_t many = p.spread ? p.size : 1;
    next({senders, p.size}, "weights");
    next({p.size}, "ic");
    next({many}, "time constants");
    next({many}, "time constants");
    next({p.size, 2}, "init_state");
  }
  // Whether all samples have the same parameters: what threads found is added up then,
  // and told once.
  bool together = true;
  for (std::size_t k = 2; k < views.size(); k++)
    together &= views[k].size() == 0 || views[k].count() <= 1;
  Gradients<T> gradients;
  for (std::size_t k = 0; k < views.size(); k++)
    gradients.all.emplace_back(views[k], parts, together && Gradients<T>::is_large(k));
  Wish wish;
  const bool delays = gradients.delays().wanted() || gradients.axonal().wanted();
  wish.inputs = gradients.times().wanted() || delays;
  wish.observations = gradients.observe().wanted();
  for (std::size_t q = 0; q < problem.populations.size(); q++)
    wish.trains |= problem.populations[q].trains &&
                   (gradients.tau_1(q).wanted() || gradients.tau_2(q).wanted());

  const auto shared = shared_parameters(problem);
  const auto one = [&](std::int64_t b, const Parameters& parameters, WayBack& way,
                       std::vector<BlockGradient>& found, int part) {
    const double end = problem.t_end(b);
    problem.inputs(b, way.inputs);
    const auto observe = problem.observations(b);
    const std::size_t n_blocks = problem.plan().blocks.size();
    Trace& trace = way.trace;
    TimeCotangents& times = way.times;
    times.inputs.assign(static_cast<std::size_t>(problem.n_times), 0.0);
    times.observations.assign(static_cast<std::size_t>(problem.n_observe), 0.0);
    const std::int32_t* count = counts.template of<std::int32_t>(b);
    const std::int32_t* from = spikes.template of<std::int32_t>(b);
    const std::int32_t* wake_from = wakes.template of<std::int32_t>(b);
    for (std::size_t q = 0; q < n_blocks; q++) {
      trace.spikes[q].resize(static_cast<std::size_t>(count[2 * q]));
      std::memcpy(trace.spikes[q].data(), from, trace.spikes[q].size() * sizeof(Spike));
      from += trace.spikes[q].size() * 10;
      trace.wakes[q].resize(static_cast<std::size_t>(count[2 * q + 1]));
      std::memcpy(trace.wakes[q].data(), wake_from,
                  trace.wakes[q].size() * sizeof(Wake));
      wake_from += trace.wakes[q].size() * 8;
      times.spikes[q].assign(trace.spikes[q].size(), 0.0);
    }
    if (trains) {
      const T* by = by_times.template of<T>(b);
      each_output_spike(
          problem.ask, trace, [&](int slot, int k, std::size_t q, std::size_t j) {
            times.spikes[q][j] = static_cast<double>(by[slot * h.max_spikes + k]);
          });
    }
    if (record) {
      std::int64_t k = 0;
      for (const auto& [q, j] : all_in_order(trace))
        if (k < room)
          times.spikes[q][j] = static_cast<double>(by_times.template of<T>(b)[k++]);
    }
    const T* by_state = states ? by_states.template of<T>(b) : nullptr;
    const auto observed = [&](int index, int neuron, int column) {
      return static_cast<double>(by_state[(index * n + neuron) * 2 + column]);
    };
    for (std::size_t q = n_blocks; q-- > 0;) {
      if (!problem.wanted[q]) continue;
      const BlockPlan& plan = problem.plan().blocks[q];
      Meter meter = meter_of(problem.ask, problem.setting, plan);
      std::vector<double>& read = way.read;
      read.assign(static_cast<std::size_t>(plan.width), 0.0);
      if (reads)
        for (const int lane : meter.lanes())
          read[lane] = static_cast<double>(
              by_read.template of<T>(b)[problem.ask.slot[plan.neurons[lane]]]);
      const bool watched =
          problem.ask.observes() && !output_lanes(problem.ask, plan).empty();
      const Sources sources{&way.inputs, &way.known, watched ? &observe : nullptr};
      way.arrivals.clear();
      way.cursor.restart();
      gather(problem.plan(), parameters, static_cast<int>(q), sources, end, end,
             way.cursor, way.arrivals);
      Story& story = way.story;
      story.plan = &plan;
      story.block = &parameters.blocks[q];
      story.spikes = &trace.spikes[q];
      story.wakes = &trace.wakes[q];
      story.t0 = problem.setting.t0;
      story.end = end;
      sequence(problem.plan(), parameters, static_cast<int>(q), way.arrivals,
               trace.spikes[q], end, story.events);
      if (found[q].bias.empty()) found[q].reset(plan, delays);
      way.blocks[q].run(story, static_cast<int>(q), wish, meter, read, observed,
                        watched, found[q], times);
    }
    if (gradients.times().wanted())
      for (const Input& in : way.inputs)
        gradients.times().add(part, b, in.index,
                              times.inputs[static_cast<std::size_t>(in.index)]);
    if (gradients.observe().wanted())
      for (std::int64_t j = 0; j < problem.n_observe; j++)
        gradients.observe().add(part, b, j,
                                times.observations[static_cast<std::size_t>(j)]);
  };
  std::vector<std::vector<BlockGradient>> found_by_part(
      static_cast<std::size_t>(parts));
  const auto work = [&](int part) {
    Packed<T> packed(problem, shared ? &*shared : nullptr);
    WayBack way(problem.plan());
    std::vector<BlockGradient>& found = found_by_part[static_cast<std::size_t>(part)];
    found.resize(problem.plan().blocks.size());
    std::int64_t last = -1;
    const auto flush = [&](std::int64_t sample) {
      gradients.add(problem, found, part, sample);
      for (BlockGradient& g : found) g = {};
    };
    for (std::int64_t b = part; b < problem.samples_; b += parts) {
      bool same = last >= 0;
      for (std::size_t k = 2; same && k < gradients.all.size(); k++)
        same = !gradients.all[k].wanted() || gradients.all[k].same(last, b);
      if (last >= 0 && !same) flush(last);
      one(b, packed.of(b), way, found, part);
      last = b;
    }
    if (last >= 0 && !together) flush(last);
  };
  in_parallel(pool, parts, work);
  if (together && problem.samples_ > 0) {
    for (std::size_t p = 1; p < found_by_part.size(); p++)
      for (std::size_t b = 0; b < found_by_part[p].size(); b++)
        found_by_part[0][b].add(found_by_part[p][b]);
    gradients.add(problem, found_by_part[0], 0, 0);
  }
  for (Sum<T>& sum : gradients.all) sum.finish();
}

template <class Work>
ffi::Error guarded(Work work) {
  try {
    work();
    return ffi::Error::Success();
  } catch (const BadArray& error) {
    return ffi::Error::InvalidArgument(error.what());
  } catch (const std::exception& error) {
    return ffi::Error::Internal(std::string("eventax: ") + error.what());
  }
}

inline std::pair<std::vector<std::int64_t>, std::int64_t> batches_of(
    ffi::Span<const std::int64_t> batch) {
  std::vector<std::int64_t> sizes(batch.begin(), batch.end());
  std::int64_t samples = 1;
  for (const std::int64_t n : sizes) samples *= n;
  return {sizes, samples};
}

template <class T>
ffi::Error forward(ffi::ThreadPool pool, ffi::RemainingArgs args,
                   ffi::RemainingRets rets, ffi::Span<const std::int64_t> batch,
                   ffi::Span<const std::int64_t> ints, ffi::Span<const double> reals) {
  return guarded([&] {
    const auto [sizes, samples] = batches_of(batch);
    Args reader(args, sizes);
    Rets results(rets, sizes);
    const Problem<T> problem(reader, ints, reals, samples);
    forward_samples(pool, problem, results);
  });
}

template <class T>
ffi::Error backward(ffi::ThreadPool pool, ffi::RemainingArgs args,
                    ffi::RemainingRets rets, ffi::Span<const std::int64_t> batch,
                    ffi::Span<const std::int64_t> ints, ffi::Span<const double> reals,
                    ffi::Span<const std::int64_t> wanted) {
  return guarded([&] {
    const auto [sizes, samples] = batches_of(batch);
    Args reader(args, sizes);
    Rets results(rets, sizes);
    const Problem<T> problem(reader, ints, reals, samples);
    backward_samples(pool, problem, reader, results, wanted);
  });
}

}  // namespace eventax

// Whole samples through simulation and adjoint: random networks of every model, with
// pauses and delays, against finite differences of their own spike times.
#include <cmath>
#include <random>
#include <thread>
#include <vector>

#include "../sample.h"
#include "check.h"

using namespace eventax;

namespace {

struct Numbers {
  std::vector<double> weights, bias, tau_1, tau_2, start, delays, times;
};

struct Network {
  int n = 4, m = 2;
  Model model;
  bool delayed = false;
  std::vector<char> mask;
  Numbers numbers;

  Network(int kind, int pause, bool with_delays, unsigned seed) : delayed(with_delays) {
    std::mt19937 rng(seed);
    std::uniform_real_distribution<double> unit(0, 1);
    const auto many = [&](int count, double low, double high) {
      std::vector<double> v(static_cast<std::size_t>(count));
      for (double& x : v) x = low + (high - low) * unit(rng);
      return v;
    };
    mask.assign(static_cast<std::size_t>((n + m) * n), 1);
    for (char& one : mask) one = unit(rng) < 0.8;
    const double size = kind == kAlif ? 0.3 : kind == kQif ? 4 : 1.5;
    numbers.weights = many((n + m) * n, -size, 2 * size);
    numbers.bias = many(n, 0.5, kind == kQif ? 3.0 : 1.6);
    numbers.tau_1 = many(n, 8, 12);
    numbers.tau_2 = many(n, 4, 7);
    numbers.start.assign(static_cast<std::size_t>(2 * n), 0.0);
    if (kind == kAlif)
      for (int k = 0; k < n; k++)
        numbers.start[static_cast<std::size_t>(2 * k + 1)] = 0.8;
    numbers.times = many(6, 0.5, 20);
    if (delayed) numbers.delays = many((n + m) * n, 0.2, 4);
    model.kind = kind;
    model.size = n;
    model.trains = true;
    model.spread = true;
    model.pauses = pause != 0;
    if (pause == 1) {  // a refractory period
      model.first = {true, true, true, true};
      model.rest = many(n, 0.5, 3);
    } else if (pause == 2) {  // one spike
      model.first = model.then = {true, true, true, false};
      model.rest.assign(static_cast<std::size_t>(n), 0.0);
    }
    if (kind == kAlif) {
      model.fixed = many(4 * n, 0, 0);
      for (int k = 0; k < n; k++) {
        const auto at = [&](int j) -> double& {
          return model.fixed[static_cast<std::size_t>(j * n + k)];
        };
        at(0) = 0.8, at(1) = 0.3, at(2) = 1.2, at(3) = 1;
      }
      model.n_fixed = 4;
    } else if (kind == kQif) {
      model.fixed.assign(static_cast<std::size_t>(n), 1e-10);
      model.n_fixed = 1;
    } else {
      model.fixed.assign(static_cast<std::size_t>(2 * n), 0.0);
      for (int k = 0; k < n; k++) model.fixed[static_cast<std::size_t>(k)] = 1;
      model.n_fixed = 2;
    }
  }

  Plan plan() const {
    std::vector<int> population(static_cast<std::size_t>(n), 0), member;
    for (int k = 0; k < n; k++) member.push_back(k);
    const std::vector<std::uint8_t> jumps(static_cast<std::size_t>(n),
                                          model.kind == kAlif);
    return make_plan(n, n + m, reinterpret_cast<const bool*>(mask.data()), population,
                     member, jumps);
  }
  Parameters parameters(const Plan& plan, const Numbers& x) const {
    const Arrays<double> arrays{{{x.weights.data(), x.bias.data(), x.tau_1.data(),
                                  x.tau_2.data(), x.start.data()}},
                                delayed ? x.delays.data() : nullptr,
                                nullptr};
    return pack(plan, {model}, arrays);
  }
  std::vector<Input> inputs(const Numbers& x) const {
    std::vector<Input> found;
    for (int k = 0; k < static_cast<int>(x.times.size()); k++)
      found.push_back({x.times[static_cast<std::size_t>(k)], k % m, k});
    std::sort(found.begin(), found.end(),
              [](const Input& a, const Input& b) { return a.t < b.t; });
    return found;
  }
};

constexpr double kEnd = 30;

Ask ask_all(int n) {
  Ask ask;
  ask.question = Question::kTrains;
  ask.max_spikes = 1000;
  for (int k = 0; k < n; k++) {
    ask.outputs.push_back(k);
    ask.slot.push_back(k);
  }
  return ask;
}

double weight_of(std::size_t block, std::size_t number) {
  return std::cos(static_cast<double>(block + 3 * number)) + 1.5;
}

// A weighted sum of spike times, and the order in which neurons fire.
double loss(const Network& network, const Numbers& x, std::vector<int>& order) {
  const Plan plan = network.plan();
  const Parameters parameters = network.parameters(plan, x);
  const Setting setting{0, 100000, kEpsilon};
  const Ask ask = ask_all(network.n);
  const auto wanted = needed(plan, ask);
  const std::vector<std::pair<double, int>> none;
  Sample sample(setting, plan, ask, wanted);
  const auto ignore = [](int, const LaneStates&, const BlockPlan&) {};
  // The first time, and with what is left of it.
  for (int k = 0; k < 2; k++) {
    sample.inputs() = network.inputs(x);
    CHECK(sample.simulate(parameters, kEnd, none, ignore) == kOk);
  }
  double sum = 0;
  order.clear();
  for (std::size_t b = 0; b < plan.blocks.size(); b++)
    for (std::size_t j = 0; j < sample.trace().spikes[b].size(); j++) {
      sum += weight_of(b, j) * sample.trace().spikes[b][j].t;
      order.push_back(sample.trace().spikes[b][j].neuron);
    }
  return sum;
}

Numbers gradient(const Network& network, const Numbers& x) {
  const Plan plan = network.plan();
  const Parameters parameters = network.parameters(plan, x);
  const Setting setting{0, 100000, kEpsilon};
  const Ask ask = ask_all(network.n);
  const auto wanted = needed(plan, ask);
  const std::vector<std::pair<double, int>> none;
  const auto inputs = network.inputs(x);
  Sample sample(setting, plan, ask, wanted);
  sample.inputs() = inputs;
  sample.simulate(parameters, kEnd, none,
                  [](int, const LaneStates&, const BlockPlan&) {});
  const Trace& trace = sample.trace();
  TimeCotangents times;
  times.inputs.assign(x.times.size(), 0.0);
  std::vector<const std::vector<Spike>*> known;
  for (std::size_t b = 0; b < plan.blocks.size(); b++) {
    known.push_back(&trace.spikes[b]);
    times.spikes.emplace_back();
    for (std::size_t j = 0; j < trace.spikes[b].size(); j++)
      times.spikes[b].push_back(weight_of(b, j));
  }
  Numbers g = x;
  for (auto* v :
       {&g.weights, &g.bias, &g.tau_1, &g.tau_2, &g.start, &g.delays, &g.times})
    std::fill(v->begin(), v->end(), 0.0);
  const Wish wish{true, false, true};
  for (std::size_t b = plan.blocks.size(); b-- > 0;) {
    const BlockPlan& p = plan.blocks[b];
    Story story{&p,  &parameters.blocks[b], {}, &trace.spikes[b], &trace.wakes[b], 0,
                kEnd};
    std::vector<Arrival> arrivals;
    Cursor cursor;
    gather(plan, parameters, static_cast<int>(b), {&inputs, &known, nullptr}, kEnd,
           kEnd, cursor, arrivals);
    sequence(plan, parameters, static_cast<int>(b), arrivals, trace.spikes[b], kEnd,
             story.events);
    const Meter meter = meter_of(ask, setting, p);
    const std::vector<double> read(static_cast<std::size_t>(p.width), 0.0);
    BlockGradient found;
    BlockBack back(p);
    // The first time, and with what is left of it.
    for (int k = 0; k < 2; k++) {
      found.reset(p, network.delayed);
      TimeCotangents own = times;
      back.run(
          story, static_cast<int>(b), wish, meter, read,
          [](int, int, int) { return 0.0; }, false, found, own);
      if (k == 1) times = own;
    }
    const auto width = static_cast<std::size_t>(p.width);
    for (std::size_t k = 0; k < width; k++) {
      if (p.neurons[k] < 0) continue;
      const auto neuron = static_cast<std::size_t>(p.neurons[k]);
      g.bias[neuron] += found.bias[k];
      g.tau_1[neuron] += found.tau_1[k];
      g.tau_2[neuron] += found.tau_2[k];
      g.start[2 * neuron] += found.start_x[k];
      g.start[2 * neuron + 1] += found.start_y[k];
      for (std::size_t r = 0; r < p.senders.size(); r++) {
        if (!p.hears[r * width + k]) continue;
        const std::size_t place =
            static_cast<std::size_t>(p.senders[r] * network.n) + neuron;
        g.weights[place] += found.weights[r * width + k];
        if (network.delayed) g.delays[place] += found.delays[r * width + k];
      }
    }
  }
  g.times = times.inputs;
  return g;
}

double along(const std::vector<double>& g, const std::vector<double>& d) {
  double sum = 0;
  for (std::size_t k = 0; k < g.size(); k++) sum += g[k] * d[k];
  return sum;
}

// Gradients along a random direction against central differences, for every array.
void check_gradient(int kind, int pause, bool delays, unsigned seed) {
  const Network network(kind, pause, delays, seed);
  const Numbers g = gradient(network, network.numbers);
  std::mt19937 rng(seed + 1);
  std::normal_distribution<double> normal;
  std::vector<int> order, lower_order, upper_order;
  loss(network, network.numbers, order);
  for (auto part : {&Numbers::weights, &Numbers::bias, &Numbers::tau_1, &Numbers::tau_2,
                    &Numbers::delays, &Numbers::times, &Numbers::start}) {
    // ALIF trains no time constants.
    if (kind == kAlif && (part == &Numbers::tau_1 || part == &Numbers::tau_2)) continue;
    std::vector<double> direction((network.numbers.*part).size());
    for (double& x : direction) x = normal(rng);
    const double h = 1e-6;
    Numbers lower = network.numbers, upper = network.numbers;
    for (std::size_t k = 0; k < direction.size(); k++) {
      (lower.*part)[k] -= h * direction[k];
      (upper.*part)[k] += h * direction[k];
    }
    const double difference =
        (loss(network, upper, upper_order) - loss(network, lower, lower_order)) /
        (2 * h);
    if (order != lower_order || order != upper_order) continue;
    const double exact = along(g.*part, direction);
    double size = 1;
    for (const double x : g.*part) size += std::fabs(x);
    CHECK(std::fabs(exact - difference) < 3e-5 * size);
  }
}

void check_all(unsigned seed) {
  for (const int kind : {kLif, kAlif, kQif})
    for (const int pause : {0, 1, 2})
      for (const bool delays : {false, true}) check_gradient(kind, pause, delays, seed);
}

}  // namespace

int main() {
  for (unsigned seed = 0; seed < 4; seed++) check_all(seed);
  // Samples share parameters and nothing else.
  std::thread other([] { check_all(11); });
  check_all(12);
  other.join();
  return eventax::tests::failures();
}

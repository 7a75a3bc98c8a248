// Parameters of a network, packed by block: what simulation and adjoint read.
#pragma once

#include <memory>
#include <vector>

#include "closed_form.h"
#include "linear_form.h"
#include "neurons/alif.h"
#include "neurons/lif.h"
#include "plan.h"
#include "population.h"

namespace eventax {

enum Kind { kLi = 0, kLif = 1, kAlif = 2, kQif = 3 };

// What is fixed of a population: its model and what a pause does.
struct Model {
  int kind = 0;
  int size = 0;
  Mode first, then;  // of a pause
  bool pauses = false;
  bool trains = false;  // time constants
  bool spread =
      false;  // a value of each time constant for every neuron, else one for all
  std::vector<double> fixed;  // (constants, size)
  std::vector<double> rest;   // (size): length of a pause, or empty
  int n_fixed = 0;
};

// Numbers of one sample, as arrays of the network's type.
template <class T>
struct PopulationArrays {
  const T *weights, *bias, *tau_1, *tau_2, *start;
};

template <class T>
struct Arrays {
  std::vector<PopulationArrays<T>> populations;
  const T *delays, *axonal;  // null without
};

// Receivers of a sender that its spike reaches after one and the same delay.
struct Reach {
  double delay = 0;
  std::vector<int> lanes;  // empty: all who hear it
};

struct Block {
  std::vector<double> weights;              // (rows, width)
  std::vector<double> rest;                 // by lane: length of a pause
  std::vector<State> start;                 // by lane
  std::vector<std::vector<Reach>> reaches;  // by row, in ascending order; empty without
  std::vector<std::unique_ptr<Population>> populations;
  std::vector<int> population_of;  // by lane
  bool pauses = false, jumps = false, fires = false;
  double blur = 0;  // of its spike times, beside rounding
};

struct Parameters {
  std::vector<Block> blocks;
  bool delayed = false;
};

// How neurons of a model move.
template <class Neuron>
struct PopulationOf {
  using type = ClosedForm<Neuron>;
};
template <>
struct PopulationOf<Qif> {
  using type = LinearForm;
};

inline std::unique_ptr<Population> make_population(const Model& model, const Group& g,
                                                   const double* tau_1,
                                                   const double* tau_2,
                                                   const double* bias) {
  const auto build = [&](auto of_kind) -> std::unique_ptr<Population> {
    using Neuron = decltype(of_kind);
    constexpr int kN = Neuron::kConstants;
    std::vector<double> c(static_cast<std::size_t>(kN) * g.width);
    std::vector<double> fixed(model.n_fixed);
    for (int k = 0; k < g.width; k++) {
      if (k >= g.size) {
        for (int j = 0; j < kN; j++) c[j * g.width + k] = Neuron::kPadding[j];
        continue;
      }
      const int member = g.members[k];
      for (int j = 0; j < model.n_fixed; j++)
        fixed[j] = model.fixed[j * model.size + member];
      Neuron::constants(tau_1[model.spread ? member : 0],
                        tau_2[model.spread ? member : 0], bias[member], fixed.data(),
                        c.data(), g.width, k);
    }
    const Pause pause{model.first, model.then, model.pauses};
    using Kept = typename PopulationOf<Neuron>::type;
    return std::make_unique<Kept>(g.first, g.size, g.width, pause, std::move(c));
  };
  switch (model.kind) {
    case kLi:
      return build(Li{});
    case kLif:
      return build(Lif{});
    case kAlif:
      return build(Alif{});
    default:
      return build(Qif{});
  }
}

template <class T>
Parameters pack(const Plan& plan, const std::vector<Model>& models,
                const Arrays<T>& arrays) {
  Parameters parameters;
  parameters.delayed = arrays.delays || arrays.axonal;
  parameters.blocks.resize(plan.blocks.size());
  std::vector<std::vector<double>> bias(models.size()), tau_1(models.size()),
      tau_2(models.size());
  for (std::size_t q = 0; q < models.size(); q++) {
    const auto& a = arrays.populations[q];
    const int n = models[q].spread ? models[q].size : 1;
    bias[q].assign(a.bias, a.bias + models[q].size);
    tau_1[q].assign(a.tau_1, a.tau_1 + n);
    tau_2[q].assign(a.tau_2, a.tau_2 + n);
  }
  for (std::size_t b = 0; b < plan.blocks.size(); b++) {
    const BlockPlan& p = plan.blocks[b];
    Block& block = parameters.blocks[b];
    block.start.resize(p.width);
    block.rest.assign(p.width, 0.0);
    block.population_of.assign(p.width, 0);
    block.weights.assign(p.senders.size() * p.width, 0.0);
    for (const Group& g : p.groups) {
      const Model& model = models[g.population];
      const auto& a = arrays.populations[g.population];
      const int number = static_cast<int>(block.populations.size());
      block.populations.push_back(make_population(model, g, tau_1[g.population].data(),
                                                  tau_2[g.population].data(),
                                                  bias[g.population].data()));
      block.pauses |= model.pauses;
      block.jumps |= block.populations.back()->arrivals_jump();
      block.fires |= block.populations.back()->fires();
      block.blur = std::max(block.blur, block.populations.back()->blur());
      for (int k = 0; k < g.width; k++) {
        const int lane = g.first + k;
        block.population_of[lane] = number;
        if (k >= g.size) {
          // Padding: an adaptive threshold is far away, a phase at rest.
          block.start[lane] = {0, model.kind == kAlif ? 1e300 : 0};
          continue;
        }
        const int member = g.members[k];
        block.start[lane] = {static_cast<double>(a.start[2 * member]),
                             static_cast<double>(a.start[2 * member + 1])};
        if (!model.rest.empty()) block.rest[lane] = model.rest[member];
      }
      for (std::size_t r = 0; r < p.senders.size(); r++) {
        const T* row = a.weights + static_cast<std::size_t>(p.senders[r]) * model.size;
        double* to = &block.weights[r * p.width + g.first];
        const std::uint8_t* hears = &p.hears[r * p.width + g.first];
        if (g.side_by_side()) {
          row += g.members[0];
          for (int k = 0; k < g.size; k++)
            to[k] = hears[k] ? static_cast<double>(row[k]) : 0.0;
        } else {
          for (int k = 0; k < g.size; k++)
            to[k] = hears[k] ? static_cast<double>(row[g.members[k]]) : 0.0;
        }
      }
    }
    if (!parameters.delayed) continue;
    block.reaches.resize(p.senders.size());
    for (std::size_t r = 0; r < p.senders.size(); r++) {
      const std::size_t s = static_cast<std::size_t>(p.senders[r]);
      const double axonal = arrays.axonal ? static_cast<double>(arrays.axonal[s]) : 0.0;
      if (!arrays.delays) {
        block.reaches[r].push_back({axonal, {}});
        continue;
      }
      std::vector<std::pair<T, int>> by_delay;
      for (int lane = 0; lane < p.width; lane++)
        if (p.hears[r * p.width + lane]) {
          const T own = arrays.delays[s * plan.n_neurons + p.neurons[lane]];
          const T total = arrays.axonal ? static_cast<T>(own + arrays.axonal[s]) : own;
          by_delay.emplace_back(total, lane);
        }
      std::sort(by_delay.begin(), by_delay.end());
      for (const auto& [delay, lane] : by_delay) {
        auto& reaches = block.reaches[r];
        const double d = static_cast<double>(delay);
        if (reaches.empty() || reaches.back().delay != d) reaches.push_back({d, {}});
        reaches.back().lanes.push_back(lane);
      }
      // All at once is a row as without delays.
      if (block.reaches[r].size() == 1) block.reaches[r][0].lanes.clear();
    }
  }
  return parameters;
}

}  // namespace eventax

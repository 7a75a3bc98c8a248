// Which neurons are simulated together: blocks of a network, from who hears whom.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace eventax {

// Neurons of one model within a block: lanes first to first + size, padded to `width`.
struct Group {
  int population, first, size, width;
  std::vector<int> members;  // numbers within the population, ascending
  bool side_by_side() const {
    return size > 0 && members[size - 1] - members[0] == size - 1;
  }
};

struct BlockPlan {
  bool cyclic = false;       // its neurons hear each other
  int width = 0;             // lanes, padding included
  std::vector<int> neurons;  // by lane, -1 for padding
  std::vector<Group> groups;
  std::vector<int> senders;         // by row: whom anybody here hears
  std::vector<int> row_of;          // by sender, -1 if nobody here hears it
  std::vector<std::uint8_t> hears;  // (rows, width)
};

struct Place {
  int population, member;  // of a neuron
  int block, lane;
};

struct Plan {
  int n_neurons = 0, n_senders = 0;
  std::vector<BlockPlan> blocks;  // senders come before receivers
  std::vector<Place> places;
  std::vector<std::uint8_t> heard;  // by sender: whether anybody hears it
};

namespace detail {

// Strongly connected components of "is heard by" (Tarjan), numbered so that senders
// have higher numbers than those who hear them. Without recursion: a network may be
// deep.
inline std::vector<int> components(int n, const std::vector<std::vector<int>>& hears) {
  std::vector<int> component(n, -1), order(n, -1), low(n, 0), stack, path, at(n, 0);
  int found = 0, visited = 0;
  for (int root = 0; root < n; root++) {
    if (order[root] >= 0) continue;
    path.push_back(root);
    while (!path.empty()) {
      const int v = path.back();
      if (order[v] < 0) {
        order[v] = low[v] = visited++;
        stack.push_back(v);
      }
      if (at[v] < static_cast<int>(hears[v].size())) {
        const int w = hears[v][at[v]++];
        if (order[w] < 0)
          path.push_back(w);
        else if (component[w] < 0)
          low[v] = std::min(low[v], order[w]);
        continue;
      }
      path.pop_back();
      if (!path.empty()) low[path.back()] = std::min(low[path.back()], low[v]);
      if (low[v] != order[v]) continue;
      for (int w = -1; w != v;) {
        w = stack.back();
        stack.pop_back();
        component[w] = found;
      }
      found++;
    }
  }
  return component;
}

// Lanes of so many neurons.
inline int padded(int size) { return (size + 7) / 8 * 8; }

// Neurons that hear a block of neurons which hear each other go along with it where
// that costs nothing, in lanes that are padding otherwise: an output neuron, for
// instance. `block` tells each neuron's block, of which senders come first; `cyclic`
// those in which neurons hear each other.
inline void fill_padding(const std::vector<std::vector<int>>& hears,
                         const std::vector<int>& population,
                         std::vector<std::uint8_t>& cyclic, std::vector<int>& block) {
  const int n = static_cast<int>(block.size());
  const int n_blocks = static_cast<int>(cyclic.size());
  std::vector<int> last(n_blocks, -1);  // the last block it hears
  std::vector<std::vector<int>> members(n_blocks);
  for (int k = 0; k < n; k++) {
    members[block[k]].push_back(k);
    for (const int r : hears[k])
      if (block[r] != block[k]) last[block[r]] = std::max(last[block[r]], block[k]);
  }
  const auto count = [&](int b, int q) {
    int found = 0;
    for (const int k : members[b]) found += population[k] == q;
    return found;
  };
  std::vector<int> number(n_blocks, 0);
  int kept = 0;
  for (int b = 0; b < n_blocks; b++) {
    bool joins = !cyclic[b] && last[b] >= 0 && cyclic[last[b]] && !members[b].empty();
    if (joins) {
      const int q = population[members[b][0]], own = count(b, q);
      const int there = count(last[b], q);
      joins = own == static_cast<int>(members[b].size()) && there > 0 &&
              padded(there + own) == padded(there);
    }
    if (joins) {
      auto& host = members[last[b]];
      host.insert(host.end(), members[b].begin(), members[b].end());
    }
    number[b] = joins ? number[last[b]] : kept++;
  }
  std::vector<std::uint8_t> found(kept, 0);
  for (int b = 0; b < n_blocks; b++) found[number[b]] |= cyclic[b];
  cyclic.swap(found);
  for (int& b : block) b = number[b];
}

}  // namespace detail

// `mask` is (senders, neurons), rows are senders, neurons first. `population` and
// `member` tell each neuron's model and its number there. `jumps` are neurons whose gap
// an arrival changes at once: for them the order of arrivals at one time counts, so
// that a network in which one hears more than one block (or inputs too) is one block.
inline Plan make_plan(int n_neurons, int n_senders, const bool* mask,
                      const std::vector<int>& population,
                      const std::vector<int>& member,
                      const std::vector<std::uint8_t>& jumps) {
  Plan plan;
  plan.n_neurons = n_neurons;
  plan.n_senders = n_senders;
  std::vector<std::vector<int>> hears(n_neurons);
  std::vector<std::uint8_t> own(n_neurons, 0);
  plan.heard.assign(n_senders, 0);
  for (int s = 0; s < n_senders; s++)
    for (int k = 0; k < n_neurons; k++)
      if (mask[static_cast<std::size_t>(s) * n_neurons + k]) {
        plan.heard[s] = 1;
        if (s < n_neurons) hears[s].push_back(k);
        if (s == k) own[k] = 1;
      }
  std::vector<int> component = detail::components(n_neurons, hears);
  const int n_components =
      n_neurons ? *std::max_element(component.begin(), component.end()) + 1 : 0;
  std::vector<int> size(n_components, 0), cyclic(n_components, 0),
      level(n_components, 0);
  for (int k = 0; k < n_neurons; k++) {
    size[component[k]]++;
    cyclic[component[k]] |= own[k];
  }
  for (int c = 0; c < n_components; c++) cyclic[c] |= size[c] > 1;
  // Levels: the longest way from an input. Senders have higher component numbers.
  std::vector<std::vector<int>> by_component(n_components);
  for (int k = 0; k < n_neurons; k++) by_component[component[k]].push_back(k);
  for (int c = n_components - 1; c >= 0; c--)
    for (const int k : by_component[c])
      for (const int r : hears[k])
        if (component[r] != c)
          level[component[r]] = std::max(level[component[r]], level[c] + 1);
  // A cyclic component is a block of its own, the others of a level are one.
  struct Key {
    int level, cyclic, component;
    bool operator<(const Key& o) const {
      if (level != o.level) return level < o.level;
      if (cyclic != o.cyclic) return cyclic < o.cyclic;
      return component < o.component;
    }
    bool operator==(const Key& o) const { return !(*this < o) && !(o < *this); }
  };
  std::vector<Key> keys(n_neurons);
  for (int k = 0; k < n_neurons; k++) {
    const int c = component[k];
    keys[k] = {level[c], cyclic[c], cyclic[c] ? c : 0};
  }
  std::vector<Key> distinct = keys;
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  std::vector<int> block(n_neurons);
  for (int k = 0; k < n_neurons; k++)
    block[k] = static_cast<int>(
        std::lower_bound(distinct.begin(), distinct.end(), keys[k]) - distinct.begin());
  int n_blocks = static_cast<int>(distinct.size());
  bool one = false;
  for (int k = 0; k < n_neurons && !one; k++) {
    if (!jumps[k]) continue;
    int source = -1;
    for (int s = 0; s < n_senders && !one; s++) {
      if (!mask[static_cast<std::size_t>(s) * n_neurons + k]) continue;
      const int from = s < n_neurons ? block[s] : n_blocks;
      if (from == block[k]) continue;
      one = source >= 0 && source != from;
      source = from;
    }
  }
  std::vector<std::uint8_t> goes_by_event(n_blocks, 1);
  if (one) {
    n_blocks = 1;
    std::fill(block.begin(), block.end(), 0);
  } else {
    for (int b = 0; b < n_blocks; b++) goes_by_event[b] = distinct[b].cyclic != 0;
    detail::fill_padding(hears, population, goes_by_event, block);
    n_blocks = static_cast<int>(goes_by_event.size());
  }

  plan.places.resize(n_neurons);
  plan.blocks.resize(n_blocks);
  const int n_populations =
      n_neurons ? *std::max_element(population.begin(), population.end()) + 1 : 0;
  for (int b = 0; b < n_blocks; b++) {
    BlockPlan& p = plan.blocks[b];
    p.cyclic = goes_by_event[b] != 0;
  }
  std::vector<std::vector<int>> of_block(n_blocks);
  for (int k = 0; k < n_neurons; k++) of_block[block[k]].push_back(k);
  for (int b = 0; b < n_blocks; b++) {
    BlockPlan& p = plan.blocks[b];
    for (int q = 0; q < n_populations; q++) {
      Group group{q, p.width, 0, 0, {}};
      for (const int k : of_block[b]) {
        if (population[k] != q) continue;
        plan.places[k] = {q, member[k], b, p.width + group.size};
        p.neurons.push_back(k);
        group.members.push_back(member[k]);
        group.size++;
      }
      if (group.size == 0) continue;
      group.width = detail::padded(group.size);
      p.neurons.resize(p.width + group.width, -1);
      p.width += group.width;
      p.groups.push_back(std::move(group));
    }
    p.row_of.assign(n_senders, -1);
    for (int s = 0; s < n_senders; s++) {
      const bool* row = mask + static_cast<std::size_t>(s) * n_neurons;
      bool any = false;
      for (const int k : of_block[b]) any |= row[k];
      if (!any) continue;
      p.row_of[s] = static_cast<int>(p.senders.size());
      p.senders.push_back(s);
      for (const int k : p.neurons) p.hears.push_back(k >= 0 && row[k]);
    }
  }
  return plan;
}

}  // namespace eventax

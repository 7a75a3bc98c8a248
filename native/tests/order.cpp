// What puts things in their places: inputs in order of time, neurons in blocks and
// lanes, signs in bits.
#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "../events.h"
#include "../plans.h"
#include "../signs.h"
#include "check.h"

using namespace eventax;

namespace {

void check_inputs(unsigned seed) {
  std::mt19937 rng(seed);
  for (const int n : {0, 1, 2, 33, 500})
    for (const double spread : {0.0, 1e-13, 1.0, 50.0}) {
      std::uniform_real_distribution<double> time(-10, -10 + spread);
      std::vector<Input> inputs;
      for (int k = 0; k < n; k++)
        inputs.push_back({k % 3 ? time(rng) : std::floor(time(rng)), k % 7, k});
      std::vector<Input> sorted = inputs;
      std::sort(sorted.begin(), sorted.end());
      for (const double end : {40.0, -10.0, kInf}) {
        std::vector<Input> found = inputs;
        sort_by_time(found, -11, end);
        bool same = found.size() == sorted.size();
        for (std::size_t k = 0; same && k < found.size(); k++)
          same = found[k].index == sorted[k].index;
        CHECK(same);
      }
    }
}

void check_signs() {
  std::vector<double> v{0,  -1, 2,  -0.5, kInf, -kInf, 1e-300, -1e-300,
                        -3, -4, -5, -6,   -7,   -8,    -9,     -1};
  std::uint8_t bits[2];
  CHECK(note_signs(v.data(), 16, bits));
  CHECK(bits[0] == 0b01010101 && bits[1] == 0);
  std::vector<int> set;
  each_set(bits[0], [&](int k) { set.push_back(k); });
  CHECK((set == std::vector<int>{0, 2, 4, 6}));
  CHECK(!note_signs(v.data() + 8, 8, bits));
}

// Of `n` neurons the last `outputs` hear the others, which all hear each other.
std::shared_ptr<const Plan> with_outputs(int n, int outputs, bool own_model) {
  std::vector<char> mask(static_cast<std::size_t>(n) * n, 0);
  for (int s = 0; s < n - outputs; s++)
    for (int k = 0; k < n; k++) mask[static_cast<std::size_t>(s) * n + k] = 1;
  Wiring wiring{n, n, reinterpret_cast<const bool*>(mask.data()), {}, {}, {}};
  for (int k = 0; k < n; k++) {
    const bool other = own_model && k >= n - outputs;
    wiring.population.push_back(other);
    wiring.member.push_back(other ? k - (n - outputs) : k);
    wiring.jumps.push_back(0);
  }
  return plans().of(wiring);
}

void check_plans() {
  const auto one = with_outputs(21, 1, false);
  CHECK(one->blocks.size() == 1 && one->blocks[0].cyclic && one->blocks[0].width == 24);
  CHECK(with_outputs(21, 1, false) == one);
  CHECK(with_outputs(21, 1, true)->blocks.size() == 2);   // another model: other lanes
  CHECK(with_outputs(17, 1, false)->blocks.size() == 2);  // no padding is left
  for (int n = 3; n < 9; n++) CHECK(with_outputs(n, 1, false)->n_neurons == n);
  const auto again = with_outputs(21, 1, false);  // thrown out, and made again
  CHECK(again != one && again->blocks.size() == 1);
}

}  // namespace

int main() {
  check_inputs(0);
  check_signs();
  check_plans();
  return eventax::tests::failures();
}

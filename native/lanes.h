// The state of a block's neurons, who pauses, and their memory.
#pragma once

#include <cstdlib>
#include <new>
#include <utility>
#include <vector>

#include "events.h"

namespace eventax {

// Columns of n numbers in full vectors, aligned to a cache line.
class Columns {
 public:
  Columns(std::size_t count, std::size_t n)
      : size_((n + 7) / 8 * 8), numbers_(count * size_ + 8, 0.0) {
    // In doubles, of which a cache line has eight.
    const auto place =
        reinterpret_cast<std::uintptr_t>(numbers_.data()) / sizeof(double);
    next_ = numbers_.data() + (8 - place % 8) % 8;
  }
  double* take() { return std::exchange(next_, next_ + size_); }

 private:
  std::size_t size_;
  std::vector<double> numbers_;
  double* next_;
};

// Lanes with their modes: 0 free, 1 in a pause's first mode, 2 in the one after it.
class LaneStates {
 public:
  explicit LaneStates(const BlockPlan& plan)
      : width_(plan.width), columns_(9, plan.width) {
    for (double** column : {&l_.x, &l_.y, &l_.x_end, &l_.y_end, &l_.may, &l_.free_x,
                            &l_.free_y, &l_.hears, &l_.awake})
      *column = columns_.take();
    flags_.resize(width_ / kVector + 1);
    l_.flags = flags_.data();
  }
  LaneStates(const BlockPlan& plan, const Block& block) : LaneStates(plan) {
    start(block);
  }
  LaneStates(const LaneStates&) = delete;
  LaneStates& operator=(const LaneStates&) = delete;

  // As at t0.
  void start(const Block& block) {
    block_ = &block;
    modes_.assign(width_, 0);
    for (int k = 0; k < width_; k++) {
      l_.x[k] = block_->start[k].x;
      l_.y[k] = block_->start[k].y;
      l_.free_x[k] = l_.free_y[k] = l_.hears[k] = l_.awake[k] = 1;
    }
  }

  Lanes& lanes() { return l_; }
  const Lanes& lanes() const { return l_; }
  int width() const { return width_; }
  const Population& of(int lane) const {
    return *block_->populations[block_->population_of[lane]];
  }
  int within(int lane) const { return lane - of(lane).first(); }
  State now(int lane) const { return {l_.x[lane], l_.y[lane]}; }
  void set(int lane, State s) {
    l_.x[lane] = s.x;
    l_.y[lane] = s.y;
  }
  void set_end(int lane, State s) {
    l_.x_end[lane] = s.x;
    l_.y_end[lane] = s.y;
  }
  void arrive() {
    std::swap(l_.x, l_.x_end);
    std::swap(l_.y, l_.y_end);
  }

  int mode(int lane) const { return modes_[lane]; }
  Mode mode_of(int lane, int mode) const {
    const Pause& p = of(lane).pause();
    return mode == 0 ? Mode{} : mode == 1 ? p.first : p.then;
  }
  void set_mode(int lane, int mode) {
    modes_[lane] = static_cast<std::uint8_t>(mode);
    const Mode m = mode_of(lane, mode);
    l_.awake[lane] = !m.off;
    l_.free_x[lane] = !m.hold_x;
    l_.free_y[lane] = !m.hold_y;
    l_.hears[lane] = !m.deaf;
  }
  // The mode of a neuron that has just fired, and of one whose pause ends.
  int after_spike(int lane) const {
    const Pause& p = of(lane).pause();
    if (!p.ever) return 0;
    return block_->rest[lane] > 0 ? 1 : after_wake(lane);
  }
  int after_wake(int lane) const { return of(lane).pause().then.off ? 2 : 0; }

  bool scan(double h, const double* row) {
    bool any = false;
    for (const auto& p : block_->populations) any |= p->scan(l_, h, row);
    return any;
  }
  void go(double h) {
    for (const auto& p : block_->populations) p->go(l_, h);
  }
  void receive(const double* row) {
    for (const auto& p : block_->populations) p->receive(l_, row);
  }
  State received(int lane, double w) const {
    return l_.hears[lane] > 0 ? of(lane).received(within(lane), now(lane), w)
                              : now(lane);
  }

 private:
  const Block* block_ = nullptr;
  int width_;
  Columns columns_;
  Lanes l_{};
  std::vector<std::uint8_t> flags_, modes_;
};

}  // namespace eventax

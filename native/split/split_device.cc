#include "split/split_device.h"

#include <chrono>
#include <cstring>
#include <exception>
#include <limits>

#include "base/error.h"

namespace kexa {
namespace {

// The time in which a waiting caller notices that nobody wants the step any more.
constexpr std::chrono::milliseconds kGlance{20};

// An event to wait for, which comes once.
class Ending {
 public:
  void end() {
    // Notifies under the lock: a waiter may return and destroy this object as soon as the lock is free.
    std::lock_guard lock(mutex_);
    is_over_ = true;
    rung_.notify_all();
  }
  template <typename Glance>
  void wait(const Glance& glance) {
    std::unique_lock lock(mutex_);
    while (!rung_.wait_for(lock, kGlance, [&] { return is_over_; })) glance();
  }

 private:
  std::mutex mutex_;
  std::condition_variable rung_;
  bool is_over_ = false;
};

}  // namespace

// A step on its way through the parts. A part's thread skips its work once the step is void.
struct SplitDevice::RunningStep {
  explicit RunningStep(std::function<bool()> is_wanted) : is_wanted(std::move(is_wanted)) {}

  std::function<bool()> is_wanted;    // called only while the step's owner waits
  std::atomic<bool> is_void = false;  // the step has failed, or nobody wants it
  bool has_ended = false;             // end_step() was called

  void fail(std::exception_ptr what) {
    std::lock_guard lock(mutex);
    if (!failure) failure = std::move(what);
    is_void = true;
  }
  void attempt(const DeviceCall& call, Device& device) {
    if (is_void) return;
    try {
      call(device);
    } catch (...) {
      fail(std::current_exception());
    }
  }
  // Throws the step's failure, or Cancelled.
  void wait(Ending& awaited) {
    awaited.wait([&] {
      if (is_wanted && !is_wanted()) is_void = true;
    });
    std::lock_guard lock(mutex);
    if (failure) std::rethrow_exception(failure);
    if (is_void) throw Cancelled{};
  }

 private:
  std::mutex mutex;
  std::exception_ptr failure;
};

// The result that a ticket of end_step() stands for. A step has several if its ops are timed one by one.
struct SplitDevice::End {
  std::shared_ptr<RunningStep> step;
  Ending ending;               // ends when all work of the step so far is done
  std::vector<Chosen> chosen;  // by the step up to then
};

// Cache rows on their way to main memory, from all parts.
struct SplitDevice::CacheCopy {
  CacheCopy(size_t size, size_t row_bytes, int parts) : bytes(size), row_bytes(row_bytes), parts_left(parts) {}

  std::vector<std::byte> bytes;  // each part writes its own rows
  const size_t row_bytes;

  void read(Device& device, std::vector<CacheRun> runs);
  // Does a part's share of the work.
  template <typename Work>
  void attempt(const Work& work) {
    std::exception_ptr found;
    try {
      work();
    } catch (...) {
      found = std::current_exception();
    }
    std::lock_guard lock(mutex);
    if (!failure) failure = found;
    if (--parts_left == 0) ending.end();
  }
  // Waits for all parts. Throws the failure of one.
  void wait() {
    ending.wait([] {});
    if (failure) std::rethrow_exception(failure);
  }

 private:
  std::mutex mutex;
  std::exception_ptr failure;
  int parts_left;
  Ending ending;
};

SplitDevice::SplitDevice(std::vector<Member> members) {
  for (Member& member : members) {
    cache_row_bytes_ = std::max(cache_row_bytes_, member.device->cache_row_bytes());
    parts_.push_back(std::make_unique<SplitPart>());
    parts_.back()->member = std::move(member);
  }
}

SplitDevice::~SplitDevice() {
  if (step_) step_->is_void = true;
  for (const auto& [ticket, end] : ends_) end->step->is_void = true;
}

int SplitDevice::part_of(int layer) const {
  int part = 0;
  while (layer >= parts_[part]->end_layer()) ++part;
  return part;
}

void SplitDevice::ask(int part, DeviceCall call) const {
  SplitPart& target = *parts_[part];
  target.thread.post([step = step_, &target, call = std::move(call)] { step->attempt(call, *target.member.device); });
}

void SplitDevice::ask_and_wait(int part, const DeviceCall& call) const {
  SplitPart& target = *parts_[part];
  Ending answered;
  target.thread.post([&] {
    step_->attempt(call, *target.member.device);
    answered.end();
  });
  step_->wait(answered);
}

void SplitDevice::run(int part, const DeviceCall& call) const {
  SplitPart& target = *parts_[part];
  Ending answered;
  std::exception_ptr failure;
  target.thread.post([&] {
    try {
      call(*target.member.device);
    } catch (...) {
      failure = std::current_exception();
    }
    answered.end();
  });
  answered.wait([] {});
  if (failure) std::rethrow_exception(failure);
}

void SplitDevice::ask_layer(int layer, void (Device::*op)(int)) {
  const int part = part_of(layer);
  bring(part);
  ask(part, [op, local = layer - parts_[part]->first_layer()](Device& device) { (device.*op)(local); });
}

void SplitDevice::bring(int part) {
  if (part == residual_at_) return;
  struct Handover {
    std::vector<float> residual;
    Ending reading;
  };
  const auto handover = std::make_shared<Handover>();
  SplitPart& from = *parts_[std::exchange(residual_at_, part)];
  from.thread.post([step = step_, &from, handover] {
    step->attempt(
        [&](Device& device) {
          const auto residual = device.residual();
          handover->residual.assign(residual.begin(), residual.end());
        },
        *from.member.device);
    // Ends in any case, because the other part must not wait for ever.
    handover->reading.end();
  });
  ask(part, [step = step_, handover, &thread = parts_[part]->thread](Device& device) {
    thread.rest([&] { handover->reading.wait([] {}); });
    if (!step->is_void) device.set_residual(handover->residual);
  });
}

void SplitDevice::begin_on(int part, Step step, std::shared_ptr<const KvSlots> tables) {
  SplitPart& target = *parts_[part];
  ask(part, [&target, step = std::move(step), tables = std::move(tables)](Device& device) {
    target.tables = tables;
    device.begin(step, *tables);
  });
}

void SplitDevice::begin(const Step& step, const KvSlots& slots) {
  if (std::any_of(step.groups.begin(), step.groups.end(), [](const Group& group) { return group.is_following; }))
    throw Error("KEXA_INTERNAL", "a group follows on devices that share a model");
  // The step before may have been cut short.
  if (step_ && !step_->has_ended) step_->is_void = true;
  step_ = std::make_shared<RunningStep>(step.is_wanted);
  residual_at_ = 0;
  // A copy, because the slots change while the devices work.
  const std::shared_ptr<const KvSlots> tables = slots.row_tables();
  begin_on(last(), step, tables);
  Step known = step;
  known.groups.clear();
  for (int part = 0; part < last(); ++part) begin_on(part, known, tables);
}

void SplitDevice::embed() {
  residual_at_ = 0;
  ask(0, [](Device& device) { device.embed(); });
}

void SplitDevice::attention_input(int layer) { ask_layer(layer, &Device::attention_input); }
void SplitDevice::attention(int layer) { ask_layer(layer, &Device::attention); }
void SplitDevice::attention_output(int layer) { ask_layer(layer, &Device::attention_output); }
void SplitDevice::dense_ffn(int layer) { ask_layer(layer, &Device::dense_ffn); }
void SplitDevice::route(int layer) {
  routed_at_ = part_of(layer);
  ask_layer(layer, &Device::route);
}
void SplitDevice::experts(int layer) { ask_layer(layer, &Device::experts); }

void SplitDevice::final_norm(bool is_mtp) {
  bring(last());
  ask(last(), [is_mtp](Device& device) { device.final_norm(is_mtp); });
}

void SplitDevice::head() {
  ask(last(), [](Device& device) { device.head(); });
}

void SplitDevice::draft_input() {
  residual_at_ = last();
  ask(last(), [](Device& device) { device.draft_input(); });
}

void SplitDevice::begin_choosing(int slot, const SamplingParams& params, std::span<const int> ids, size_t prompt_size) {
  run(last(), [&](Device& device) { device.begin_choosing(slot, params, ids, prompt_size); });
}

void SplitDevice::choose() {
  ask(last(), [](Device& device) { device.choose(); });
}

void SplitDevice::choose_draft() {
  ask(last(), [](Device& device) { device.choose_draft(); });
}

void SplitDevice::begin_draft() {
  ask(last(), [](Device& device) { device.begin_draft(); });
}

int SplitDevice::end_step() {
  // The residual may be on another device, if ops were timed one by one. Then this also waits for that device.
  bring(last());
  SplitPart& target = *parts_[last()];
  step_->has_ended = true;
  const auto end = std::make_shared<End>();
  end->step = step_;
  target.thread.post([end, &target] {
    // Taken at once, because a later take would wait for all later work of this device.
    end->step->attempt([&](Device& device) { end->chosen = device.take(device.end_step()); }, *target.member.device);
    end->ending.end();
  });
  ends_[next_ticket_] = end;
  return next_ticket_++;
}

std::vector<Chosen> SplitDevice::take(int ticket) {
  const std::shared_ptr<End> end = ends_.extract(ticket).mapped();
  end->step->wait(end->ending);
  return std::move(end->chosen);
}

void SplitDevice::drop(int ticket) {
  // There is no entry if take() has thrown.
  if (const auto end = ends_.extract(ticket)) end.mapped()->step->is_void = true;
}

bool SplitDevice::mixes_prompts() const {
  return std::all_of(parts_.begin(), parts_.end(),
                     [](const auto& part) { return part->member.device->mixes_prompts(); });
}

std::vector<int64_t> SplitDevice::busy_ns() const {
  std::vector<int64_t> busy;
  for (const auto& part : parts_) busy.push_back(part->thread.busy_ns());
  return busy;
}

void SplitDevice::set_residual(std::span<const float> rows) {
  residual_at_ = 0;
  ask_and_wait(0, [&](Device& device) { device.set_residual(rows); });
}

std::vector<Row> SplitDevice::rows() const {
  std::vector<Row> rows;
  ask_and_wait(last(), [&](Device& device) { rows = device.rows(); });
  return rows;
}

void SplitDevice::start_profile() {
  for (int part = 0; part <= last(); ++part) run(part, [](Device& device) { device.start_profile(); });
}

std::optional<Profile> SplitDevice::take_profile() {
  std::optional<Profile> sum;
  int64_t buffer_bytes = 0;
  for (int part = 0; part <= last(); ++part)
    run(part, [&](Device& device) {
      const std::optional<Profile> measured = device.take_profile();
      if (!measured) return;
      buffer_bytes += measured->buffer_bytes;
      (sum ? *sum : sum.emplace()) += *measured;
    });
  if (sum) sum->buffer_bytes = buffer_bytes;
  return sum;
}

std::optional<ExpertTraffic> SplitDevice::expert_traffic() const {
  std::optional<ExpertTraffic> sum;
  for (int part = 0; part <= last(); ++part) {
    // The question waits for all work of the part.
    if (!parts_[part]->member.part->plan.options.has_expert_slots()) continue;
    run(part, [&](Device& device) {
      if (const auto counted = device.expert_traffic()) (sum ? *sum : sum.emplace()) += *counted;
    });
  }
  return sum;
}

std::vector<float> SplitDevice::expert_heat() const {
  std::vector<float> all;
  bool has_any = false;
  for (int part = 0; part <= last(); ++part) {
    const ModelDescription& description = parts_[part]->member.part->description;
    std::vector<float> heat;
    run(part, [&](Device& device) { heat = device.expert_heat(); });
    has_any |= !heat.empty();
    heat.resize(description.moe ? size_t(description.layer_count()) * description.moe->experts : 0);
    all.insert(all.end(), heat.begin(), heat.end());
  }
  return has_any ? all : std::vector<float>{};
}

void SplitDevice::force_loss() {
  for (int part = last(); part >= 0; --part) {
    if (parts_[part]->member.part->plan.options.adapter.empty()) continue;
    return run(part, [](Device& device) { device.force_loss(); });
  }
}

// Limits the last GPU.
void SplitDevice::force_room(int64_t bytes) {
  for (int part = last(); part >= 0; --part) {
    if (parts_[part]->member.part->plan.options.adapter.empty()) continue;
    return run(part, [&](Device& device) { device.force_room(bytes); });
  }
}

// If one part fails, the parts that grew before it keep their additional pages.
int SplitDevice::hold_pages(int pages) {
  int fewest = std::numeric_limits<int>::max();
  for (int part = 0; part <= last(); ++part)
    run(part, [&](Device& device) { fewest = std::min(fewest, device.hold_pages(pages)); });
  return fewest;
}

// Copies a part's rows into a copy of all. Narrow rows are filled up with zeros.
void SplitDevice::CacheCopy::read(Device& device, std::vector<CacheRun> runs) {
  const size_t narrow = size_t(device.cache_row_bytes());
  std::vector<CacheRun> tight = runs;
  size_t size = 0;
  for (CacheRun& run : tight) {
    const size_t keys = size_t(run.count) * narrow;
    run.keys_at = size, run.values_at = size + keys;
    size += 2 * keys;
  }
  std::vector<std::byte> found(size);
  // Taken at once, because a later take would wait for all later work of this device.
  device.take_cache(device.read_cache(tight, size), found);
  for (size_t i = 0; i < runs.size(); ++i)
    for (size_t row = 0; row < size_t(runs[i].count); ++row) {
      std::memcpy(&bytes[runs[i].keys_at + row * row_bytes], &found[tight[i].keys_at + row * narrow], narrow);
      std::memcpy(&bytes[runs[i].values_at + row * row_bytes], &found[tight[i].values_at + row * narrow], narrow);
    }
}

int SplitDevice::read_cache(std::span<const CacheRun> runs, size_t bytes) {
  const auto copy = std::make_shared<CacheCopy>(bytes, size_t(cache_row_bytes_), int(parts_.size()));
  std::vector<std::vector<CacheRun>> by_part(parts_.size());
  for (CacheRun run : runs) {
    const int part = part_of(run.layer);
    run.layer -= parts_[part]->first_layer();
    by_part[part].push_back(run);
  }
  for (int part = 0; part <= last(); ++part) {
    SplitPart& target = *parts_[part];
    target.thread.post([copy, &target, runs = std::move(by_part[part])] {
      copy->attempt([&] {
        if (!runs.empty()) copy->read(*target.member.device, runs);
      });
    });
  }
  cache_copies_[next_ticket_] = copy;
  return next_ticket_++;
}

void SplitDevice::take_cache(int ticket, std::span<std::byte> bytes) {
  const std::shared_ptr<CacheCopy> copy = std::move(cache_copies_.extract(ticket).mapped());
  copy->wait();
  std::copy(copy->bytes.begin(), copy->bytes.end(), bytes.begin());
}

void SplitDevice::copy_cache(int layer, int64_t from, int64_t to, int count) {
  const int part = part_of(layer), local = layer - parts_[part]->first_layer();
  SplitPart& target = *parts_[part];
  target.thread.post([&target, local, from, to, count] { target.member.device->copy_cache(local, from, to, count); });
}

void SplitDevice::write_cache(int layer, int64_t row, int count, std::span<const std::byte> bytes) {
  const int part = part_of(layer), local = layer - parts_[part]->first_layer();
  run(part, [&](Device& device) {
    const size_t narrow = size_t(device.cache_row_bytes()), wide = size_t(cache_row_bytes_), rows = 2 * size_t(count);
    if (narrow == wide) return device.write_cache(local, row, count, bytes);
    std::vector<std::byte> tight(rows * narrow);
    for (size_t i = 0; i < rows; ++i) std::memcpy(&tight[i * narrow], &bytes[i * wide], narrow);
    device.write_cache(local, row, count, tight);
  });
}

std::span<const float> SplitDevice::residual() const {
  std::span<const float> found;
  ask_and_wait(residual_at_, [&](Device& device) { found = device.residual(); });
  return found;
}

std::span<const float> SplitDevice::hidden() const {
  std::span<const float> found;
  ask_and_wait(last(), [&](Device& device) { found = device.hidden(); });
  return found;
}

std::span<const float> SplitDevice::logits(int logit_row) const {
  std::span<const float> found;
  ask_and_wait(last(), [&](Device& device) { found = device.logits(logit_row); });
  return found;
}

std::span<const int> SplitDevice::route_experts() const {
  std::span<const int> found;
  ask_and_wait(routed_at_, [&](Device& device) { found = device.route_experts(); });
  return found;
}

std::span<const float> SplitDevice::route_weights() const {
  std::span<const float> found;
  ask_and_wait(routed_at_, [&](Device& device) { found = device.route_weights(); });
  return found;
}

}  // namespace kexa

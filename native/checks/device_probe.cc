#include "checks/device_probe.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "base/error.h"
#include "checks/cache_image.h"
#include "cpu/matmul.h"

namespace kexa {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr uint32_t kScratchPattern = 0x42c842c8;  // 100.1 as an f32, twice 3.39 as f16

// Gives the slots pages in turns, so that no slot's pages are in order.
KvSlots make_slots(const ModelDescription& description, const Plan& plan, const Step& step) {
  KvSlots slots(description, plan);
  std::vector<int> ends(size_t(plan.kv.slots));
  for (const Row& row : step.rows) ends[row.slot] = std::max(ends[row.slot], row.position + 1);
  for (int slot = 0; slot < plan.kv.slots; ++slot) slots.acquire(uint64_t(slot) + 1);
  const int longest = *std::max_element(ends.begin(), ends.end());
  for (int end = kPageRows; end < longest + kPageRows; end += kPageRows)
    for (int slot = plan.kv.slots - 1; slot >= 0; --slot) slots.reserve(slot, std::min(end, ends[slot]));
  return slots;
}

// The CPU device takes activations as they are. A GPU that rounds them must give nearly the same.
PlanOptions as_they_are(PlanOptions options) {
  options.is_rounding = false;
  return options;
}

}  // namespace

DeviceProbe::DeviceProbe(const ModelDescription& description, const PlanOptions& options)
    : description_(description),
      plan_(make_plan(description_, options)),
      weights_(description_, options.weight_type, ConversionPlace::kHere, 0, [](int64_t, int64_t) {}),
      cpu_plan_(make_plan(description_, as_they_are(options))),
      cpu_(description_, weights_, cpu_plan_),
      gpu_(description_, weights_, plan_, open_gpu(options), nullptr, [](int64_t, int64_t) {}) {
  gpu_.hold_pages(plan_.kv.pages);
}

// The state of one request.
struct DeviceProbe::Run {
  DeviceProbe& probe;
  const OpRequest& request;
  CpuDevice& cpu = probe.cpu_;
  GpuDevice& gpu = probe.gpu_;
  const ModelDescription& description = probe.description_;
  const KvLayout& kv = probe.plan_.kv;
  Activations& buffers = gpu.activations_;
  KvSlots slots = make_slots(description, probe.plan_, request.step);
  int rows = int(request.step.rows.size()), max_rows = probe.plan_.options.prefill_chunk;
  int hidden = description.hidden_size, q_width = description.q_width();
  int qkv_width = q_width + 2 * description.kv_width();
  bool has_f16_elements = gpu.kernels_.element_bytes() == 2;
  std::mt19937 random{request.seed};
  std::vector<OpResult> results{};

  std::vector<float> normals(size_t count) {
    std::normal_distribution<float> normal;
    std::vector<float> values(count);
    for (float& value : values) value = normal(random);
    // Numbers that round_rows keeps exactly, so that products differ only by the order of their additions.
    if (probe.plan_.options.is_rounding)
      for (float& value : values) value = std::round(value * 1024) / 1024;
    return values;
  }

  std::vector<float> elements(size_t count) {
    std::vector<float> values = normals(count);
    if (has_f16_elements)
      for (float& value : values) value = f16_to_f32(f32_to_f16(value));
    return values;
  }

  // Fills a whole buffer of rows of `columns`: `values` row by row, NaN in the other rows, zero in the padding.
  void fill(const Buffer& buffer, const std::vector<float>& values, int columns, bool is_element = false,
            bool is_padded = true) {
    const size_t stride = is_padded ? padded(columns) : columns;
    const size_t bytes = is_element && has_f16_elements ? 2 : 4;
    std::vector<std::byte> image(max_rows * stride * bytes);
    for (size_t r = 0; r < size_t(max_rows); ++r)
      for (size_t c = 0; c < size_t(columns); ++c) {
        const float value = r * columns < values.size() ? values[r * columns + c] : kNan;
        const uint16_t half = f32_to_f16(value);
        std::memcpy(&image[(r * stride + c) * bytes], bytes == 2 ? (const void*)&half : &value, bytes);
      }
    gpu.gpu_->write(buffer, 0, image);
  }
  void poison(const Buffer& buffer, int columns, bool is_element = false, bool is_padded = true) {
    fill(buffer, {}, columns, is_element, is_padded);
  }
  void scribble(const Buffer& buffer) {
    if (!buffer.handle) return;
    const std::vector<uint32_t> words(buffer.bytes / 4, kScratchPattern);
    gpu.gpu_->write(buffer, 0, std::as_bytes(std::span(words)));
  }

  // Adds a result: `count` rows of both devices, and whether the GPU's padding is still zero.
  struct Rows {
    int count, columns;
    int width = 0;            // elements of a row that hold more than `columns` results; 0: `columns`
    bool is_element = false;  // E; false: f32
    bool is_padded = true;
  };
  void compare(const char* name, std::span<const float> from_cpu, const Buffer& buffer, const Rows& compared,
               bool is_exact = false) {
    const auto& [count, columns, width, is_element, is_padded] = compared;
    const size_t stride = is_padded ? padded(width ? width : columns) : columns;
    const size_t bytes = is_element && has_f16_elements ? 2 : 4;
    std::vector<std::byte> image(count * stride * bytes);
    gpu.gpu_->read(buffer, image);
    OpResult result{.name = name, .columns = columns, .is_exact = is_exact, .cpu = {}, .gpu = {}};
    result.cpu.assign(from_cpu.begin(), from_cpu.begin() + size_t(count) * columns);
    float dirty = 0;
    for (size_t at = 0; at < count * stride; ++at) {
      float value;
      uint16_t half;
      std::memcpy(bytes == 2 ? (void*)&half : &value, &image[at * bytes], bytes);
      if (bytes == 2) value = f16_to_f32(half);
      if (int(at % stride) < columns)
        result.gpu.push_back(value);
      else if (int(at % stride) >= (width ? width : columns) && value != 0)
        ++dirty;
    }
    results.push_back(std::move(result));
    if (stride > size_t(columns)) report_count(std::string(name) + ": padding that is not zero", dirty);
  }
  void report_count(std::string name, float found) {
    results.push_back({.name = std::move(name), .columns = 1, .is_exact = true, .cpu = {0}, .gpu = {found}});
  }

  void give_residual() {
    const std::vector<float> values = normals(size_t(rows) * hidden);
    std::copy(values.begin(), values.end(), cpu.residual_.begin());
    fill(buffers.residual, values, hidden);
  }
  void give_hidden(int count) {
    const std::vector<float> values = normals(size_t(count) * hidden);
    std::copy(values.begin(), values.end(), cpu.hidden_.begin());
    fill(buffers.hidden, values, hidden);
  }
  void compare_residual(bool is_exact = false) {
    compare("residual", cpu.residual_, buffers.residual, {rows, hidden}, is_exact);
  }

  // Runs the op on the CPU and then on the GPU.
  template <typename Op>
  void on_both(const Op& op) {
    op(static_cast<Device&>(cpu));
    op(static_cast<Device&>(gpu));
  }
  void begin() {
    on_both([&](Device& device) { device.begin(request.step, slots); });
  }

  const Buffer& cache_buffer(bool is_keys) const {
    const Attention& attention = gpu.layers_[request.layer].attention;
    return is_keys ? attention.keys_ : attention.values_;
  }
  std::span<std::byte> cpu_cache(bool is_keys) const {
    const auto& cache = cpu.cache_[request.layer];
    const LazyMemory& memory = is_keys ? cache.keys : cache.values;
    return {memory.data(), memory.size()};
  }
  // Fills the cache on both devices alike: normal numbers in the rows that `is_filled` names, NaN in the others.
  template <typename IsFilled>
  void give_cache(bool is_keys, const IsFilled& is_filled) {
    const auto image = cpu_cache(is_keys);
    const int64_t count = int64_t(image.size()) / kv.row_bytes();
    const std::vector<float> nothing(kv.kv_width(), kNan);
    for (int64_t row = 0; row < count; ++row) {
      const std::vector<float> values = is_filled(row) ? normals(kv.kv_width()) : nothing;
      cpu.write_cache_row(values.data(), &image[row * kv.row_bytes()], cpu.attending_[0]);
    }
    gpu.gpu_->write(cache_buffer(is_keys), 0, to_gpu_cache(kv, image));
  }
  std::vector<float> cache_rows(std::span<const std::byte> image, std::span<const int64_t> which) const {
    std::vector<float> values, head(size_t(kv.head_elements()));
    for (int64_t row : which)
      for (int h = 0; h < kv.kv_heads; ++h) {
        read_elements(&image[row * kv.row_bytes() + h * kv.head_bytes()], kv.type, kv.head_elements(), head.data());
        values.insert(values.end(), head.begin(), head.begin() + kv.head_dim);
      }
    return values;
  }
  void compare_cache(bool is_keys, std::span<const int64_t> written) {
    const auto image = cpu_cache(is_keys);
    std::vector<std::byte> stored(to_gpu_cache(kv, image).size());
    gpu.gpu_->read(cache_buffer(is_keys), stored);
    const std::vector<std::byte> found = from_gpu_cache(kv, stored);
    const std::string name = is_keys ? "keys" : "values";
    results.push_back({.name = name,
                       .columns = kv.kv_width(),
                       .is_exact = false,
                       .cpu = cache_rows(image, written),
                       .gpu = cache_rows(found, written)});
    float touched = 0;
    for (int64_t row = 0; row * kv.row_bytes() < int64_t(image.size()); ++row)
      if (std::find(written.begin(), written.end(), row) == written.end() &&
          std::memcmp(&image[row * kv.row_bytes()], &found[row * kv.row_bytes()], kv.row_bytes()) != 0)
        ++touched;
    report_count(name + ": other rows that were written", touched);
  }

  void embed();
  void attention_input();
  void attention();
  void attention_output();
  void feed_forward();
  void route();
  void final_norm();
  void head();
  void begin_draft();
  void draft_input();
};

void DeviceProbe::Run::embed() {
  begin();
  poison(buffers.residual, hidden);
  on_both([](Device& device) { device.embed(); });
  compare_residual(true);
}

void DeviceProbe::Run::attention_input() {
  begin();
  give_residual();
  poison(buffers.qkv, qkv_width, true);
  for (bool is_keys : {true, false}) give_cache(is_keys, [](int64_t row) { return row % 2 == 0; });
  on_both([&](Device& device) { device.attention_input(request.layer); });
  compare("q", cpu.q_, buffers.qkv, {.count = rows, .columns = q_width, .width = qkv_width, .is_element = true});
  std::vector<int64_t> written;
  for (const Row& row : request.step.rows) written.push_back(slots.row(request.layer, row.slot, row.position));
  for (bool is_keys : {true, false}) compare_cache(is_keys, written);
}

void DeviceProbe::Run::attention() {
  begin();
  const int window = description.layer(request.layer).window;
  std::vector<int64_t> seen;
  for (const Row& row : request.step.rows)
    for (int key = window ? std::max(0, row.position - window + 1) : 0; key <= row.position; ++key)
      seen.push_back(slots.row(request.layer, row.slot, key));
  std::sort(seen.begin(), seen.end());
  for (bool is_keys : {true, false})
    give_cache(is_keys, [&](int64_t row) { return std::binary_search(seen.begin(), seen.end(), row); });
  const std::vector<float> q = elements(size_t(rows) * q_width);
  std::copy(q.begin(), q.end(), cpu.q_.begin());
  std::vector<float> qkv(size_t(rows) * qkv_width, kNan);
  for (int r = 0; r < rows; ++r) std::copy_n(&q[size_t(r) * q_width], q_width, &qkv[size_t(r) * qkv_width]);
  fill(buffers.qkv, qkv, qkv_width, true);
  scribble(buffers.partial);
  poison(buffers.attended, q_width, true);
  on_both([&](Device& device) { device.attention(request.layer); });
  compare("attended", cpu.attended_, buffers.attended, {.count = rows, .columns = q_width, .is_element = true});
}

void DeviceProbe::Run::attention_output() {
  begin();
  give_residual();
  const std::vector<float> attended = elements(size_t(rows) * q_width);
  std::copy(attended.begin(), attended.end(), cpu.attended_.begin());
  fill(buffers.attended, attended, q_width, true);
  scribble(buffers.branch);
  on_both([&](Device& device) { device.attention_output(request.layer); });
  compare_residual();
}

void DeviceProbe::Run::feed_forward() {
  begin();
  give_residual();
  scribble(buffers.inner), scribble(buffers.branch);
  if (!description.layer(request.layer).is_moe()) {
    on_both([&](Device& device) { device.dense_ffn(request.layer); });
    return compare_residual();
  }
  // experts() needs the state that route() leaves. Only the choice of experts is replaced.
  on_both([&](Device& device) { device.route(request.layer); });
  gpu.gpu_->submit();
  std::vector<float> weights = normals(request.experts.size());
  for (float& weight : weights) weight = std::abs(weight);
  std::copy(request.experts.begin(), request.experts.end(), cpu.routed_.begin());
  std::copy(weights.begin(), weights.end(), cpu.routed_weights_.begin());
  // Rows past the step keep valid ids, because a kernel may look up an expert by them.
  const std::vector<uint32_t> no_experts(size_t(max_rows) * description.moe->top_k);
  gpu.gpu_->write(buffers.experts, 0, std::as_bytes(std::span(no_experts)));
  gpu.gpu_->write(buffers.experts, 0, std::as_bytes(std::span(request.experts)));
  fill(buffers.expert_weights, weights, description.moe->top_k, false, false);
  on_both([&](Device& device) { device.experts(request.layer); });
  compare_residual();
}

void DeviceProbe::Run::route() {
  begin();
  give_residual();
  const int top_k = description.moe->top_k, experts = description.moe->experts;
  const std::vector<uint32_t> no_experts(size_t(max_rows) * top_k, ~0u);
  gpu.gpu_->write(buffers.experts, 0, std::as_bytes(std::span(no_experts)));
  poison(buffers.expert_weights, top_k, false, false);
  on_both([&](Device& device) { device.route(request.layer); });
  const auto floats = [](std::span<const int> ids) { return std::vector<float>(ids.begin(), ids.end()); };
  results.push_back({.name = "experts",
                     .columns = top_k,
                     .is_exact = true,
                     .cpu = floats(cpu.route_experts()),
                     .gpu = floats(gpu.route_experts())});
  compare("weights", cpu.routed_weights_, buffers.expert_weights,
          {.count = rows, .columns = top_k, .is_padded = false});
  // The biased scores, by which a test recognises near ties.
  std::vector<float> biased(cpu.router_.begin(), cpu.router_.begin() + size_t(rows) * experts);
  for (size_t i = 0; i < biased.size(); ++i) biased[i] += probe.weights_.layers[request.layer].router_bias[i % experts];
  results.push_back({.name = "scores", .columns = experts, .is_exact = true, .cpu = biased, .gpu = biased});
}

void DeviceProbe::Run::final_norm() {
  begin();
  give_residual();
  poison(buffers.hidden, hidden);
  on_both([&](Device& device) { device.final_norm(request.is_mtp); });
  compare("hidden", cpu.hidden_, buffers.hidden, {rows, hidden});
}

void DeviceProbe::Run::head() {
  begin();
  give_hidden(rows);
  poison(buffers.logits, description.vocab_size, false, false);
  on_both([](Device& device) { device.head(); });
  compare("logits", cpu.logits_, buffers.logits,
          {.count = int(request.step.logit_rows.size()), .columns = description.vocab_size, .is_padded = false});
}

void DeviceProbe::Run::draft_input() {
  Step step = request.step;
  for (int r = 0; r < rows; ++r) step.rows[r].next = request.next_tokens[r];
  on_both([&](Device& device) { device.begin(step, slots); });
  give_hidden(rows);
  poison(buffers.residual, hidden);
  scribble(buffers.pair), scribble(buffers.next_embedding);
  on_both([&](Device& device) { device.draft_input(); });
  compare_residual();
}

void DeviceProbe::Run::begin_draft() {
  Step step;
  for (int r = 0; r < max_rows; ++r)
    step.rows.push_back({.token = r, .slot = request.step.rows[0].slot, .position = r});
  step.logit_rows = {request.hidden_row};
  step.is_prompt = true;
  step.groups = {{.slot = step.rows[0].slot, .rows = max_rows, .chooses = true, .drafts = 2}};
  const std::vector<float> logits = normals(size_t(description.vocab_size));
  const int first_token[] = {0};
  on_both([&](Device& device) {
    device.begin(step, slots);
    device.begin_choosing(step.rows[0].slot, {.temperature = 0, .logit_bias = {}}, first_token, 1);
  });
  give_hidden(max_rows);
  std::copy(logits.begin(), logits.end(), cpu.logits_.begin());
  fill(buffers.logits, logits, description.vocab_size, false, false);
  poison(buffers.residual, hidden);
  scribble(buffers.pair), scribble(buffers.next_embedding);
  // A draft cannot be read back itself, so the step that is made from it is compared.
  on_both([](Device& device) {
    device.choose_draft();
    device.begin_draft();
    device.draft_input();
  });
  compare("hidden", cpu.hidden_, buffers.hidden, {1, hidden}, true);
  rows = 1;
  compare_residual();
}

std::vector<OpResult> DeviceProbe::run(const OpRequest& request) {
  Run run{*this, request};
  const std::string& op = request.op;
  if (op == "embed")
    run.embed();
  else if (op == "attention_input")
    run.attention_input();
  else if (op == "attention")
    run.attention();
  else if (op == "attention_output")
    run.attention_output();
  else if (op == "dense_ffn" || op == "experts")
    run.feed_forward();
  else if (op == "route")
    run.route();
  else if (op == "final_norm")
    run.final_norm();
  else if (op == "head")
    run.head();
  else if (op == "begin_draft")
    run.begin_draft();
  else if (op == "draft_input")
    run.draft_input();
  else
    throw Error("KEXA_INTERNAL", "there is no op " + op);
  gpu_.gpu_->check();
  return std::move(run.results);
}

}  // namespace kexa

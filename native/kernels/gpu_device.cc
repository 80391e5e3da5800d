#include "kernels/gpu_device.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/rope.h"

namespace kexa {
namespace {

// The step state, in words; kernels know these places by the constants of common().
constexpr int kRowCount = 0, kLogitCount = 1, kRows = 4;  // then four words a row: token, slot, position, next token
constexpr int kRowWords = 4;

// Steps of up to this many rows part a row's keys among workgroups; longer ones have rows enough to fill the GPU.
constexpr int kSmallRows = 16;
constexpr int kPartsOfSmall = 32;
constexpr uint32_t kKeysAtOnce = 64;
constexpr uint32_t kMinPartBlocks = 4;
constexpr int kTileOutputs = 4, kTileRows = 4;
constexpr uint32_t kThreads = 64, kRouteThreads = 256;

uint32_t ceil_div(int64_t n, int64_t by) { return uint32_t((n + by - 1) / by); }

uint64_t floats(int64_t n) { return uint64_t(n) * sizeof(float); }

template <typename Value>
void read_back(Gpu& gpu, const Buffer& from, size_t count, std::vector<Value>& to) {
  to.resize(count);
  gpu.read(from, std::as_writable_bytes(std::span(to)));
}

}  // namespace

GpuDevice::GpuDevice(const ModelDescription& description, const Weights& weights, const Plan& plan,
                     std::unique_ptr<Gpu> gpu, const LoadProgress& progress)
    : description_(description),
      kv_(plan.kv),
      max_rows_(plan.options.prefill_chunk),
      gpu_(std::move(gpu)),
      weights_(*gpu_, description, weights, progress),
      frequencies_(rope_frequencies(description)) {
  make_buffers();
  layers_.resize(description.layer_count());
  for (int layer = 0; layer < description.layer_count(); ++layer) make_layer(layer);

  const int stride = padded(description.hidden);
  const Type embed_type = weights_.embed.type;
  const auto make_embed = [&](const Buffer& to, int token_field) {
    Prelude prelude = common();
    prelude.weights(embed_type)
        .set("COLUMN_CHUNKS", weights_.embed.column_chunks())
        .set("Y_STRIDE", stride)
        .set("TOKEN_FIELD", token_field);
    return make_op("embed", prelude, {read(weights_.embed.buffer), read(step_state_), write(to)},
                   ceil_div(weights_.embed.column_chunks(), 64));
  };
  embed_ = make_embed(residual_, 0);
  final_norm_ = make_norm(weights_.norm, residual_, hidden_, stride, 0, false);
  head_ = make_multiply(description.has_tied_head ? weights_.embed : weights_.head, hidden_, stride, nullptr, logits_,
                        description.vocab, false, true);
  if (!description.mtp) return;
  embed_next_ = make_embed(next_embedding_, 3);
  const int pair_stride = padded(2 * description.hidden);
  mtp_embedding_norm_ = make_norm(weights_.mtp_embedding_norm, next_embedding_, pair_, pair_stride, 0, false);
  mtp_hidden_norm_ = make_norm(weights_.mtp_hidden_norm, hidden_, pair_, pair_stride, description.hidden, false);
  mtp_fc_ = make_multiply(weights_.mtp_fc, pair_, pair_stride, nullptr, residual_, stride, false);
  mtp_norm_ = make_norm(weights_.mtp_norm, residual_, hidden_, stride, 0, false);
}

void GpuDevice::make_buffers() {
  const int64_t rows = max_rows_, stride = padded(description_.hidden), head_dim = description_.head_dim;
  const int pages_per_slot = kv_.pages;
  // Zeroed: kernels read the padding of rows, and zero weights times what was never written must be zero.
  const auto make = [&](const char* label, int64_t count) { return gpu_->create_buffer(label, floats(count), true); };
  step_state_ = make("step state", kRows + rows * kRowWords + rows);
  pages_ = make("page tables", int64_t(kSlots) * pages_per_slot);
  rope_ = make("rope", rows * head_dim);
  residual_ = make("residual", rows * stride);
  branch_ = make("branch", rows * stride);
  hidden_ = make("hidden", rows * stride);
  if (description_.mtp) {
    pair_ = make("mtp pair", rows * padded(2 * description_.hidden));
    next_embedding_ = make("next embedding", rows * stride);
  }
  qkv_ = make("qkv", rows * padded(description_.q_width() + 2 * description_.kv_width()));
  attended_ = make("attended", rows * padded(description_.q_width()));
  const int64_t part = description_.heads * (head_dim + 2);
  partial_few_ = make("attention parts, few rows", std::min<int64_t>(rows, kSmallRows) * part * kPartsOfSmall);
  if (rows > kSmallRows) partial_many_ = make("attention parts, many rows", rows * part);
  int64_t inner = 0;
  for (int i = 0; i < description_.layer_count(); ++i) {
    const LayerDescription& layer = description_.layer(i);
    inner = std::max<int64_t>(inner, layer.is_moe ? int64_t(description_.moe->top_k) * padded(layer.ffn_width) +
                                                        padded(description_.moe->shared_experts * layer.ffn_width)
                                                  : padded(layer.ffn_width));
  }
  inner_ = make("inner", rows * inner);
  const int64_t top_k = description_.moe ? description_.moe->top_k : 1;
  experts_ = make("experts", rows * top_k);
  expert_weights_ = make("expert weights", rows * top_k);
  logits_ = make("logits", rows * description_.vocab);
}

Prelude GpuDevice::common() const {
  Prelude prelude;
  prelude.set("STEP_ROW_COUNT", kRowCount).set("STEP_LOGIT_COUNT", kLogitCount).set("STEP_ROWS", kRows);
  prelude.set("STEP_LOGIT_ROWS", kRows + max_rows_ * kRowWords);
  prelude.set("EPSILON", description_.norm_epsilon).set("NORM_SIZE", float(description_.hidden));
  prelude.set("LOWEST", -3.0e38f);
  return prelude;
}

GpuDevice::Op GpuDevice::make_op(const std::string& name, const Prelude& prelude, const std::vector<Binding>& bindings,
                                 uint32_t workgroups, int rows_per_workgroup) {
  const std::string text = prelude.text() + std::string(kernel_source(name));
  auto found = kernels_.find(text);
  if (found == kernels_.end()) {
    bool access[16];
    for (size_t i = 0; i < bindings.size(); ++i) access[i] = bindings[i].is_written;
    found = kernels_.emplace(text, gpu_->create_kernel(name, text, {access, bindings.size()})).first;
  }
  return {.kernel = &found->second,
          .group = gpu_->bind(found->second, bindings),
          .workgroups = workgroups,
          .rows_per_workgroup = rows_per_workgroup};
}

GpuDevice::Op GpuDevice::make_multiply(const GpuMatrix& weight, const Buffer& x, int x_stride, const Buffer* gain,
                                       const Buffer& y, int y_stride, bool adds, bool is_gathered) {
  Prelude prelude = common();
  prelude.weights(weight.type).set("OUTPUTS", weight.rows).set("COLUMN_CHUNKS", weight.column_chunks());
  prelude.set("X_STRIDE", x_stride).set("Y_STRIDE", y_stride).set("HAS_NORM", gain != nullptr).set("ADDS", adds);
  prelude.set("IS_GATHERED", is_gathered)
      .set("TILE_OUTPUTS", kTileOutputs)
      .set("TILE_ROWS", kTileRows)
      .set("THREADS", kThreads);
  return make_op("multiply", prelude,
                 {read(weight.buffer), read(x), read(gain ? *gain : weights_.nothing), read(step_state_), write(y)},
                 ceil_div(weight.rows, kTileOutputs), kTileRows);
}

GpuDevice::Op GpuDevice::make_norm(const Buffer& gain, const Buffer& x, const Buffer& y, int y_stride, int y_offset,
                                   bool adds) {
  Prelude prelude = common();
  prelude.set("SIZE", description_.hidden).set("X_STRIDE", padded(description_.hidden)).set("Y_STRIDE", y_stride);
  prelude.set("Y_OFFSET", y_offset).set("ADDS", adds).set("THREADS", kThreads);
  return make_op("rms_norm", prelude, {read(gain), read(x), write(y)}, 1);
}

void GpuDevice::make_layer(int index) {
  const LayerDescription& layer = description_.layer(index);
  const GpuLayer& weights = weights_.layers[index];
  LayerOps& ops = layers_[index];
  const int hidden = description_.hidden, stride = padded(hidden), head_dim = description_.head_dim;
  const int heads = description_.heads, kv_heads = description_.kv_heads;
  const int qkv_stride = padded(description_.q_width() + 2 * description_.kv_width());
  const bool is_post_norm = description_.is_post_norm;
  const int ring = kv_.ring_rows[index];
  const uint64_t cache_bytes =
      uint64_t(ring ? int64_t(kSlots) * ring : int64_t(kv_.pages) * kPageRows) * kv_.row_bytes();
  ops.keys = gpu_->create_buffer("keys of layer " + std::to_string(index), cache_bytes);
  ops.values = gpu_->create_buffer("values of layer " + std::to_string(index), cache_bytes);

  Prelude attention = common();
  attention.cache(kv_.type)
      .set("HEADS", heads)
      .set("KV_HEADS", kv_heads)
      .set("HEAD_DIM", head_dim)
      .set("QKV_STRIDE", qkv_stride);
  attention.set("RING", ring).set("PAGES_PER_SLOT", kv_.pages).set("PAGE_ROWS", kPageRows).set("THREADS", kThreads);
  attention.set("WINDOW", layer.window);

  ops.qkv = make_multiply(weights.qkv, residual_, stride, is_post_norm ? nullptr : &weights.attention_norm, qkv_,
                          qkv_stride, false);
  Prelude heads_prelude = attention;
  heads_prelude.set("HAS_ROPE", layer.has_rope);
  ops.heads = make_op("attention_input", heads_prelude,
                      {read(weights.head_norms), read(rope_), read(step_state_), read(pages_), write(qkv_),
                       write(ops.keys), write(ops.values)},
                      uint32_t(heads + 2 * kv_heads));

  const auto attend = [&](int parts, const Buffer& partial, Op& attend_op, Op& reduce_op) {
    Prelude prelude = attention;
    prelude.set("PARTS", parts)
        .set("MIN_PART_BLOCKS", kMinPartBlocks)
        .set("SCORE_SCALE", 1.0f / std::sqrt(float(head_dim)));
    prelude.set("DIMS_PER_THREAD", ceil_div(head_dim, kThreads));
    attend_op = make_op("attention", prelude,
                        {read(qkv_), read(ops.keys), read(ops.values), read(step_state_), read(pages_), write(partial)},
                        uint32_t(heads));
    Prelude reduce = common();
    reduce.set("HEADS", heads)
        .set("HEAD_DIM", head_dim)
        .set("WINDOW", layer.window)
        .set("PARTS", parts)
        .set("KEY_BLOCK", kKeysAtOnce);
    reduce.set("MIN_PART_BLOCKS", kMinPartBlocks).set("ATTENDED_STRIDE", padded(description_.q_width()));
    reduce_op =
        make_op("attention_reduce", reduce, {read(partial), read(step_state_), write(attended_)}, uint32_t(heads));
  };
  attend(kPartsOfSmall, partial_few_, ops.attend_few, ops.reduce_few);
  if (max_rows_ > kSmallRows) attend(1, partial_many_, ops.attend_many, ops.reduce_many);

  // A post-norm model normalises what a branch adds; it goes through a buffer of its own.
  const Buffer& branch = is_post_norm ? branch_ : residual_;
  ops.o = make_multiply(weights.o, attended_, padded(description_.q_width()), nullptr, branch, stride, !is_post_norm);
  if (is_post_norm) {
    ops.o_norm = make_norm(weights.attention_norm, branch_, residual_, stride, 0, true);
    ops.ffn_norm = make_norm(weights.ffn_norm, branch_, residual_, stride, 0, true);
  }

  const int top_k = layer.is_moe ? description_.moe->top_k : 0;
  const int width = layer.is_moe ? layer.ffn_width : 0;
  const int shared_width = layer.is_moe ? description_.moe->shared_experts * layer.ffn_width : layer.ffn_width;
  const int inner_stride = top_k * padded(width) + padded(shared_width);
  const Buffer& ffn_gain = is_post_norm ? weights_.nothing : weights.ffn_norm;
  const auto bound = [&](const GpuMatrix& matrix) { return read(matrix.rows ? matrix.buffer : weights_.nothing); };
  if (layer.is_moe) {
    const MoeDescription& moe = *description_.moe;
    Prelude prelude = common();
    prelude.weights(weights.router.type).set("COLUMN_CHUNKS", weights.router.column_chunks()).set("X_STRIDE", stride);
    prelude.set("HAS_NORM", !is_post_norm)
        .set("EXPERTS", moe.experts)
        .set("TOP_K", moe.top_k)
        .set("GROUPS", moe.groups);
    prelude.set("KEPT_GROUPS", moe.kept_groups)
        .set("ROUTED_SCALE", moe.scale)
        .set("IS_NORMALIZED", moe.is_normalized)
        .set("THREADS", kRouteThreads);
    ops.route = make_op("route", prelude,
                        {read(weights.router.buffer), read(weights.router_bias), read(residual_), read(ffn_gain),
                         write(experts_), write(expert_weights_)},
                        1);
  }
  const GpuMatrix& any_input = weights.shared_input.rows ? weights.shared_input : weights.routed_input;
  Prelude ffn = common();
  ffn.weights(any_input.type).set("THREADS", kThreads).set("TILE_OUTPUTS", kTileOutputs).set("TOP_K", top_k);
  ffn.set("INNER_STRIDE", inner_stride);
  Prelude input = ffn;
  input.set("COLUMN_CHUNKS", any_input.column_chunks()).set("X_STRIDE", stride).set("HAS_NORM", !is_post_norm);
  input.set("WIDTH", width)
      .set("WIDTH_STRIDE", padded(width))
      .set("SHARED_WIDTH", shared_width)
      .set("SWIGLU_LIMIT", layer.swiglu_limit);
  ops.ffn_input = make_op("swiglu_input", input,
                          {bound(weights.routed_input), bound(weights.shared_input), read(residual_), read(ffn_gain),
                           read(experts_), write(inner_)},
                          ceil_div(int64_t(top_k) * width + shared_width, kTileOutputs));
  Prelude output = ffn;
  output.set("OUTPUTS", hidden).set("Y_STRIDE", stride).set("ADDS", !is_post_norm);
  output.set("WIDTH_CHUNKS", padded(width) / 8).set("SHARED_CHUNKS", padded(shared_width) / 8);
  ops.ffn_output = make_op("swiglu_output", output,
                           {bound(weights.routed_output), bound(weights.shared_output), read(inner_), read(experts_),
                            read(expert_weights_), write(branch)},
                           ceil_div(hidden, kTileOutputs));
  if (weights.routed_input.rows && weights.shared_input.rows &&
      (weights.routed_input.type != weights.shared_input.type ||
       weights.routed_output.type != weights.shared_output.type ||
       weights.routed_output.type != weights.routed_input.type))
    throw Error("KEXA_UNSUPPORTED",
                "layer " + std::to_string(index) +
                    ": routed and shared experts are stored in different types; load with weights: 'bf16'");
}

void GpuDevice::run(const Op& op, int rows, uint32_t parts) {
  gpu_->dispatch(*op.kernel, op.group, op.workgroups, ceil_div(rows, op.rows_per_workgroup), parts);
}

void GpuDevice::begin(const Step& step, const KvSlots& slots) {
  gpu_->check();
  // An earlier step that was cut short may have left dispatches behind that still read the old step state.
  gpu_->submit();
  step_ = &step;
  rows_ = int(step.rows.size());
  is_small_ = rows_ <= kSmallRows;
  for (auto* copy : {&residual_copy_, &hidden_copy_, &logits_copy_, &weights_copy_}) copy->clear();
  experts_copy_.clear();
  state_.assign(kRows + size_t(max_rows_) * (kRowWords + 1), 0);
  state_[kRowCount] = uint32_t(rows_);
  const size_t half = frequencies_.size();
  std::vector<float> rope(size_t(rows_) * half * 2);
  for (int r = 0; r < rows_; ++r) {
    const Row& row = step.rows[r];
    uint32_t* words = &state_[kRows + size_t(r) * kRowWords];
    words[0] = uint32_t(row.token), words[1] = uint32_t(row.slot), words[2] = uint32_t(row.position);
    for (size_t i = 0; i < half; ++i) {
      const double angle = row.position * frequencies_[i];
      rope[(r * half + i) * 2] = float(std::cos(angle));
      rope[(r * half + i) * 2 + 1] = float(std::sin(angle));
    }
  }
  write_logit_rows();
  gpu_->write(step_state_, 0, std::as_bytes(std::span(state_)));
  gpu_->write(rope_, 0, std::as_bytes(std::span(rope)));
  for (int slot = 0; slot < kSlots; ++slot) {
    const auto pages = slots.pages(slot);
    if (!pages.empty()) gpu_->write(pages_, uint64_t(slot) * kv_.pages * sizeof(uint32_t), std::as_bytes(pages));
  }
}

void GpuDevice::write_logit_rows() {
  state_[kLogitCount] = uint32_t(step_->logit_rows.size());
  std::copy(step_->logit_rows.begin(), step_->logit_rows.end(), state_.begin() + kRows + size_t(max_rows_) * kRowWords);
}

void GpuDevice::embed() { run(embed_, rows_); }

void GpuDevice::attention_input(int layer) {
  run(layers_[layer].qkv, rows_);
  run(layers_[layer].heads, rows_);
}

void GpuDevice::attention(int layer) {
  const LayerOps& ops = layers_[layer];
  if (!is_small_) {
    run(ops.attend_many, rows_);
    run(ops.reduce_many, rows_);
    return;
  }
  int longest = 0;
  for (const Row& row : step_->rows) longest = std::max(longest, row.position + 1);
  const int window = description_.layer(layer).window;
  if (window) longest = std::min(longest, window);
  const uint32_t parts = std::min<uint32_t>(kPartsOfSmall, ceil_div(longest, kKeysAtOnce * kMinPartBlocks));
  run(ops.attend_few, rows_, parts);
  run(ops.reduce_few, rows_);
}

void GpuDevice::attention_output(int layer) {
  run(layers_[layer].o, rows_);
  if (description_.is_post_norm) run(layers_[layer].o_norm, rows_);
  residual_copy_.clear();
}

void GpuDevice::dense_ffn(int layer) { experts(layer); }

void GpuDevice::route(int layer) {
  run(layers_[layer].route, rows_);
  experts_copy_.clear();
  weights_copy_.clear();
}

void GpuDevice::experts(int layer) {
  run(layers_[layer].ffn_input, rows_);
  run(layers_[layer].ffn_output, rows_);
  if (description_.is_post_norm) run(layers_[layer].ffn_norm, rows_);
  residual_copy_.clear();
}

void GpuDevice::final_norm(bool is_mtp) {
  run(is_mtp ? mtp_norm_ : final_norm_, rows_);
  hidden_copy_.clear();
}

void GpuDevice::head() {
  if (!step_->logit_rows.empty()) run(head_, int(step_->logit_rows.size()));
  logits_copy_.clear();
}

void GpuDevice::begin_draft(const Step& step, const KvSlots& slots, int hidden_row) {
  if (hidden_row) {
    // By way of another buffer: a copy's ends must not be one.
    const uint64_t bytes = floats(padded(description_.hidden));
    gpu_->copy(hidden_, hidden_row * bytes, branch_, 0, bytes);
    gpu_->copy(branch_, 0, hidden_, 0, bytes);
  }
  begin(step, slots);
}

void GpuDevice::draft_input(std::span<const int> next_tokens) {
  // The step state is about to change under what has been encoded.
  gpu_->submit();
  for (int r = 0; r < rows_; ++r) state_[kRows + size_t(r) * kRowWords + 3] = uint32_t(next_tokens[r]);
  write_logit_rows();
  gpu_->write(step_state_, 0, std::as_bytes(std::span(state_)));
  run(embed_next_, rows_);
  run(mtp_embedding_norm_, rows_);
  run(mtp_hidden_norm_, rows_);
  run(mtp_fc_, rows_);
  residual_copy_.clear();
}

static std::span<const float> without_padding(std::vector<float>& rows, int count, int width) {
  const int stride = padded(width);
  if (stride != width)
    for (int r = 1; r < count; ++r) std::copy_n(&rows[size_t(r) * stride], width, &rows[size_t(r) * width]);
  return {rows.data(), size_t(count) * width};
}

std::span<const float> GpuDevice::residual() const {
  if (!residual_copy_.empty()) return {residual_copy_.data(), size_t(rows_) * description_.hidden};
  read_back(*gpu_, residual_, size_t(rows_) * padded(description_.hidden), residual_copy_);
  return without_padding(residual_copy_, rows_, description_.hidden);
}

std::span<const float> GpuDevice::hidden() const {
  if (!hidden_copy_.empty()) return {hidden_copy_.data(), size_t(rows_) * description_.hidden};
  read_back(*gpu_, hidden_, size_t(rows_) * padded(description_.hidden), hidden_copy_);
  return without_padding(hidden_copy_, rows_, description_.hidden);
}

std::span<const float> GpuDevice::logits(int logit_row) const {
  if (logits_copy_.empty()) read_back(*gpu_, logits_, step_->logit_rows.size() * description_.vocab, logits_copy_);
  return {&logits_copy_[size_t(logit_row) * description_.vocab], size_t(description_.vocab)};
}

std::span<const int> GpuDevice::route_experts() const {
  if (experts_copy_.empty()) read_back(*gpu_, experts_, size_t(rows_) * description_.moe->top_k, experts_copy_);
  return experts_copy_;
}

std::span<const float> GpuDevice::route_weights() const {
  if (weights_copy_.empty()) read_back(*gpu_, expert_weights_, size_t(rows_) * description_.moe->top_k, weights_copy_);
  return weights_copy_;
}

}  // namespace kexa

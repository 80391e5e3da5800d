#include "cpu/cpu_device.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "cpu/ffn.h"
#include "cpu/logprobs.h"
#include "cpu/matmul.h"
#include "device/vocabulary.h"
#include "model/rope.h"
#include "quant/cache_blocks.h"

namespace kexa {

CpuDevice::CpuDevice(const ModelDescription& description, const Weights& weights, const Plan& plan)
    : description_(description),
      weights_(weights),
      cores_(plan.options.pins_threads ? plan.options.threads : 0),
      pool_(plan.options.threads, cores_.list()),
      options_(plan.options),
      kv_(plan.kv),
      frequencies_(rope_frequencies(description)) {
  pool_.demand(plan.options.threads);
  const size_t rows = plan.options.prefill_chunk, hidden = description.hidden_size;
  for (int layer = 0; layer < description.layer_count(); ++layer) {
    const size_t bytes = size_t(kv_.cache_rows(layer)) * kv_.row_bytes();
    cache_.push_back({LazyMemory(bytes, "keys of the KV cache"), LazyMemory(bytes, "values of the KV cache")});
  }
  const int group = description.heads / description.kv_heads, head_dim = description.head_dim;
  for (int i = 0; i < pool_.threads(); ++i)
    attending_.push_back({.scores = std::vector<float>(size_t(group) * kKeyBlock),
                          .output = std::vector<double>(size_t(group) * kv_.head_elements()),
                          .sum = std::vector<double>(group),
                          .maximum = std::vector<float>(group),
                          .block = std::vector<float>(kv_.head_elements()),
                          .queries = std::vector<float>(size_t(group) * kv_.head_elements()),
                          .row = std::vector<float>(kv_.head_elements())});
  cosines_.resize(rows * head_dim / 2), sines_.resize(rows * head_dim / 2);
  residual_.resize(rows * hidden), normed_.resize(rows * hidden), branch_.resize(rows * hidden),
      hidden_.resize(rows * hidden);
  if (description.mtp) pair_.resize(rows * hidden * 2);
  q_.resize(size_t(plan.scratch.q)), attended_.resize(size_t(plan.scratch.attention));
  k_.resize(size_t(plan.scratch.kv / 2)), v_.resize(size_t(plan.scratch.kv / 2));
  inner_.resize(size_t(plan.scratch.ffn)), router_.resize(size_t(plan.scratch.router));
  routed_.resize(size_t(plan.scratch.routes / 2)), routed_weights_.resize(size_t(plan.scratch.routes / 2));
  logits_.resize(size_t(plan.scratch.logits));
  is_rounding_ = plan.options.is_rounding;
  if (is_rounding_) {
    rounded_.reserve(int(rows), widest_input(description));
    int64_t blocks = 0;
    for (int i = 0; i < description.layer_count(); ++i) blocks = std::max(blocks, rounded_inner_blocks(description, i));
    rounded_inner_.resize(rows * size_t(blocks));
  }
  sequences_.resize(size_t(kv_.slots));
}

void CpuDevice::begin(const Step& step, const KvSlots& slots) {
  check_tokens(step, description_.vocab_size);
  step_ = step;
  slots_ = &slots;
  rows_ = int(step.rows.size());
  choosing_.clear();
  draft_rows_.clear();
  drafts_made_ = 0;
  for (const LogitGroup& own : logit_groups(step)) {
    const Group& group = own.group;
    if (group.chooses) choosing_.push_back({own, {.slot = group.slot}});
    if (group.drafts) draft_rows_.push_back(step.logit_rows[own.first_logit + own.logits - 1]);
    if (!group.is_following) continue;
    const Sequence& sequence = *sequences_[group.slot];
    for (int i = 0; i < group.rows; ++i) {
      Row& row = step_.rows[group.first_row + i];
      row.token = i ? sequence.drafts[i - 1] : sequence.ids.back();
      row.position = int(sequence.ids.size()) - 1 + i;
    }
  }
  prepare_rope();
}

void CpuDevice::prepare_rope() {
  const size_t half = frequencies_.size();
  for (int r = 0; r < rows_; ++r)
    for (size_t i = 0; i < half; ++i) {
      // In f64, because at position 262,143 an f32 angle is off by up to 0.016 radians.
      const double angle = step_.rows[r].position * frequencies_[i];
      cosines_[r * half + i] = float(std::cos(angle));
      sines_[r * half + i] = float(std::sin(angle));
    }
}

void CpuDevice::embed() {
  for (int r = 0; r < rows_; ++r)
    read_row(weights_.embed, step_.rows[r].token, &residual_[size_t(r) * description_.hidden_size]);
}

void normalize(const float* from, const std::vector<float>& gain, float epsilon, float* to) {
  const int n = int(gain.size());
  const float scale = 1.0f / std::sqrt(dot(from, from, n) / float(n) + epsilon);
  for (int i = 0; i < n; ++i) to[i] = from[i] * scale * gain[i];
}

void CpuDevice::normalize_rows(const std::vector<float>& gain, const float* from, float* to) {
  pool_.run(rows_, [&](int r, int) {
    const size_t at = size_t(r) * gain.size();
    normalize(from + at, gain, description_.norm_epsilon, to + at);
  });
}

const float* CpuDevice::branch_input(const std::vector<float>& norm) {
  if (description_.is_post_norm()) return residual_.data();
  normalize_rows(norm, residual_.data(), normed_.data());
  return normed_.data();
}

void CpuDevice::add_branch(const std::vector<float>& norm) {
  if (description_.is_post_norm()) normalize_rows(norm, branch_.data(), branch_.data());
  const size_t n = size_t(rows_) * description_.hidden_size;
  for (size_t i = 0; i < n; ++i) residual_[i] += branch_[i];
}

const RoundedRows* CpuDevice::rounded(const std::vector<const Matrix*>& weights, const float* x, int rows,
                                      int columns) {
  const auto takes = [](const Matrix* weight) { return takes_rounded(weight->type); };
  if (!is_rounding_ || std::none_of(weights.begin(), weights.end(), takes)) return nullptr;
  rounded_.make(pool_, x, columns, rows, columns);
  return &rounded_;
}

// A pair is dimension i and dimension i + head_dim / 2.
void CpuDevice::rotate(float* head, int row) const {
  const int half = int(frequencies_.size());
  const float* cosine = &cosines_[size_t(row) * half];
  const float* sine = &sines_[size_t(row) * half];
  for (int i = 0; i < half; ++i) {
    const float a = head[i], b = head[i + half];
    head[i] = a * cosine[i] - b * sine[i];
    head[i + half] = b * cosine[i] + a * sine[i];
  }
}

void CpuDevice::attention_input(int layer) {
  const LayerWeights& weights = weights_.layers[layer];
  const int hidden = description_.hidden_size, head_dim = description_.head_dim;
  const int q_width = description_.q_width(), kv_width = description_.kv_width();
  const float* input = branch_input(weights.attention_norm);
  const RoundedRows* rounded_input = rounded({&weights.q, &weights.k, &weights.v}, input, rows_, hidden);
  multiply(pool_, weights.q, {input, hidden}, {q_.data(), q_width}, rows_, rounded_input);
  multiply(pool_, weights.k, {input, hidden}, {k_.data(), kv_width}, rows_, rounded_input);
  multiply(pool_, weights.v, {input, hidden}, {v_.data(), kv_width}, rows_, rounded_input);

  const bool has_rope = description_.layer(layer).rope;
  const auto finish_head = [&](float* head, const std::vector<float>& gain, int row) {
    if (description_.qk_norm) normalize(head, gain, description_.norm_epsilon, head);
    if (has_rope) rotate(head, row);
  };
  pool_.run(rows_, [&](int r, int thread) {
    for (int h = 0; h < description_.heads; ++h)
      finish_head(&q_[size_t(r) * q_width + h * head_dim], weights.q_norm, r);
    for (int h = 0; h < description_.kv_heads; ++h)
      finish_head(&k_[size_t(r) * kv_width + h * head_dim], weights.k_norm, r);
    const int64_t at = slots_->row(description_.part.first_layer + layer, step_.rows[r].slot, step_.rows[r].position) *
                       kv_.row_bytes();
    write_cache_row(&k_[size_t(r) * kv_width], cache_[layer].keys.data() + at, attending_[thread]);
    write_cache_row(&v_[size_t(r) * kv_width], cache_[layer].values.data() + at, attending_[thread]);
  });
}

void CpuDevice::write_cache_row(const float* from, std::byte* to, Attending& attending) const {
  if (!is_quantized(kv_.type)) return write_elements(from, kv_.type, kv_.kv_width(), to);
  // Heads are stored as whole blocks, so that a head is read without its neighbours.
  std::vector<float>& head = attending.row;
  std::fill(head.begin(), head.end(), 0.0f);
  for (int h = 0; h < kv_.kv_heads; ++h) {
    std::copy_n(from + size_t(h) * kv_.head_dim, kv_.head_dim, head.begin());
    write_cache_blocks(kv_.type, head.data(), kv_.head_elements(), to + h * kv_.head_bytes());
  }
}

int CpuDevice::read_cache(std::span<const CacheRun> runs, size_t bytes) {
  std::vector<std::byte> copy(bytes);
  for (const CacheRun& run : runs) {
    const size_t at = size_t(run.row * kv_.row_bytes()), size = size_t(run.count * kv_.row_bytes());
    std::memcpy(&copy[run.keys_at], cache_[run.layer].keys.data() + at, size);
    std::memcpy(&copy[run.values_at], cache_[run.layer].values.data() + at, size);
  }
  cache_copies_[next_ticket_] = std::move(copy);
  return next_ticket_++;
}

void CpuDevice::take_cache(int ticket, std::span<std::byte> bytes) {
  const std::vector<std::byte> copy = std::move(cache_copies_.extract(ticket).mapped());
  std::copy(copy.begin(), copy.end(), bytes.begin());
}

void CpuDevice::write_cache(int layer, int64_t row, int count, std::span<const std::byte> bytes) {
  const size_t at = size_t(row * kv_.row_bytes()), size = size_t(count * kv_.row_bytes());
  std::memcpy(cache_[layer].keys.data() + at, bytes.data(), size);
  std::memcpy(cache_[layer].values.data() + at, bytes.data() + size, size);
}

void CpuDevice::copy_cache(int layer, int64_t from, int64_t to, int count) {
  const size_t size = size_t(count * kv_.row_bytes());
  for (LazyMemory* rows : {&cache_[layer].keys, &cache_[layer].values})
    std::memcpy(rows->data() + to * kv_.row_bytes(), rows->data() + from * kv_.row_bytes(), size);
}

void CpuDevice::attention_output(int layer) {
  const LayerWeights& weights = weights_.layers[layer];
  const int q_width = description_.q_width();
  multiply(pool_, weights.o, {attended_.data(), q_width}, {branch_.data(), description_.hidden_size}, rows_,
           rounded({&weights.o}, attended_.data(), rows_, q_width));
  add_branch(weights.attention_norm);
}

void CpuDevice::final_norm(bool is_mtp) {
  normalize_rows(is_mtp ? weights_.mtp.norm : weights_.norm, residual_.data(), hidden_.data());
}

void CpuDevice::head() {
  const int hidden = description_.hidden_size;
  const int count = int(step_.logit_rows.size());
  // Gathers the rows whose logits are wanted, because multiply() needs an even stride.
  for (int i = 0; i < count; ++i)
    std::copy_n(&hidden_[size_t(step_.logit_rows[i]) * hidden], hidden, &normed_[size_t(i) * hidden]);
  multiply(pool_, weights_.head, {normed_.data(), hidden}, {logits_.data(), description_.vocab_size}, count,
           rounded({&weights_.head}, normed_.data(), count, hidden));
}

void CpuDevice::draft_input() {
  const int hidden = description_.hidden_size;
  const float epsilon = description_.norm_epsilon;
  if (step_.mtp_rows >= 0) rows_ = step_.mtp_rows;
  if (!choosing_.empty()) step_.logit_rows = draft_rows_;
  for (int r = 0; r < rows_; ++r) {
    float* pair = &pair_[size_t(r) * hidden * 2];
    read_row(weights_.embed, step_.rows[r].next, pair);
    normalize(pair, weights_.mtp.embedding_norm, epsilon, pair);
    normalize(&hidden_[size_t(r) * hidden], weights_.mtp.hidden_norm, epsilon, pair + hidden);
  }
  multiply(pool_, weights_.mtp.fc, {pair_.data(), 2 * hidden}, {residual_.data(), hidden}, rows_,
           rounded({&weights_.mtp.fc}, pair_.data(), rows_, 2 * hidden));
}

void CpuDevice::set_residual(std::span<const float> rows) { std::copy(rows.begin(), rows.end(), residual_.begin()); }

void CpuDevice::begin_choosing(int slot, const SamplingParams& params, std::span<const int> ids, size_t prompt_size) {
  check_tokens(ids, description_.vocab_size);
  sequences_[slot] = Sequence{Sampler(params, description_.vocab_size), {ids.begin(), ids.end()}, prompt_size, {}};
}

void CpuDevice::choose() {
  // Each group has its own sampler and writes its own rows.
  pool_.run(int(choosing_.size()), [&](int i, int) {
    try {
      choose(choosing_[i]);
    } catch (...) {
      choosing_[i].chosen.problem = std::current_exception();
      choosing_[i].chosen.tokens.clear();
      choosing_[i].chosen.logits.clear();
      choosing_[i].chosen.choices.clear();
    }
  });
}

void CpuDevice::choose(Choosing& choosing) {
  const Group& group = choosing.group;
  Sequence& sequence = *sequences_[group.slot];
  sequence.drafts.clear();
  for (int i = 0;; ++i) {
    const std::span<const float> found = logits(choosing.first_logit + i);
    check_logits(found, options_);
    const size_t words = size_t(mask_words(description_.vocab_size));
    const auto mask = group.masks ? std::span(*group.masks).subspan(i * words, words) : std::span<const uint32_t>{};
    const int token = sequence.sampler.choose(found, sequence.ids, sequence.prompt_size, mask);
    sequence.ids.push_back(token);
    choosing.chosen.tokens.push_back(token);
    if (group.alternatives >= 0) choosing.chosen.choices.push_back(with_logprobs(token, found, group.alternatives));
    if (group.wants_logits) choosing.chosen.logits.insert(choosing.chosen.logits.end(), found.begin(), found.end());
    const int row = step_.logit_rows[choosing.first_logit + i];
    step_.rows[row].next = token;
    if (group.drafts) draft_rows_[size_t(&choosing - choosing_.data())] = row;
    if (i + 1 == choosing.logits || step_.rows[step_.logit_rows[choosing.first_logit + i + 1]].token != token) return;
  }
}

void CpuDevice::choose_draft() {
  pool_.run(int(draft_rows_.size()), [&](int i, int) {
    try {
      choose_draft(choosing_[i], i);
    } catch (...) {
      if (!choosing_[i].chosen.problem) choosing_[i].chosen.problem = std::current_exception();
      // The draft's row is computed all the same, beside those of other groups.
      sequences_[choosing_[i].group.slot]->drafts.push_back(0);
    }
  });
  ++drafts_made_;
}

void CpuDevice::choose_draft(Choosing& choosing, int logit_row) {
  Sequence& sequence = *sequences_[choosing.group.slot];
  std::vector<int> ids = sequence.ids;
  ids.insert(ids.end(), sequence.drafts.begin(), sequence.drafts.end());
  check_logits(logits(logit_row), options_);
  sequence.drafts.push_back(sequence.sampler.choose(logits(logit_row), ids, sequence.prompt_size));
  choosing.chosen.drafts = sequence.drafts;
}

void CpuDevice::begin_draft() {
  const int hidden = description_.hidden_size;
  std::vector<Row> rows;
  // A group's row moves to a place that is no later, and later groups move after it, so none is overwritten before.
  for (int i = 0; i < int(draft_rows_.size()) && choosing_[i].group.drafts > drafts_made_; ++i) {
    if (draft_rows_[i] != i)
      std::copy_n(&hidden_[size_t(draft_rows_[i]) * hidden], hidden, &hidden_[size_t(i) * hidden]);
    const Row from = step_.rows[draft_rows_[i]];
    const int draft = sequences_[from.slot]->drafts.back();
    rows.push_back({.token = draft, .slot = from.slot, .position = from.position + 1, .next = draft});
    draft_rows_[i] = i;
  }
  draft_rows_.resize(rows.size());
  step_.rows = std::move(rows);
  step_.mtp_rows = -1;
  rows_ = int(step_.rows.size());
  prepare_rope();
}

int CpuDevice::end_step() {
  std::vector<Chosen>& chosen = taken_later_[next_ticket_];
  for (Choosing& choosing : choosing_) chosen.push_back(std::exchange(choosing.chosen, {.slot = choosing.group.slot}));
  return next_ticket_++;
}

std::vector<Chosen> CpuDevice::take(int ticket) { return std::move(taken_later_.extract(ticket).mapped()); }

std::span<const float> CpuDevice::logits(int logit_row) const {
  return {&logits_[size_t(logit_row) * description_.vocab_size], size_t(description_.vocab_size)};
}

std::span<const int> CpuDevice::route_experts() const {
  return {routed_.data(), size_t(rows_) * description_.moe->top_k};
}

std::span<const float> CpuDevice::route_weights() const {
  return {routed_weights_.data(), size_t(rows_) * description_.moe->top_k};
}

}  // namespace kexa

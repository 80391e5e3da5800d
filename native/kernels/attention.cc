#include "kernels/attention.h"

#include <algorithm>
#include <cmath>

#include "model/rope.h"

namespace kexa {
namespace {

constexpr uint32_t kThreads = 64;  // also the keys a workgroup looks at together
constexpr uint32_t kMinPartBlocks = 4;

}  // namespace

Attention::Attention(KernelSet& kernels, const ModelDescription& description, const Plan& plan, int index,
                     const GpuWeights& gpu_weights, const Activations& activations)
    : window_(description.layer(index).window) {
  const LayerDescription& layer = description.layer(index);
  const GpuLayer& weights = gpu_weights.layers[index];
  const KvLayout& kv = plan.kv;
  const int heads = description.heads, kv_heads = description.kv_heads, head_dim = description.head_dim;
  const int stride = padded(description.hidden), attended_stride = padded(description.q_width());
  const int qkv_stride = padded(description.q_width() + 2 * description.kv_width());
  const int ring = kv.ring_rows[index];
  const uint64_t cache_bytes = uint64_t(ring ? int64_t(kSlots) * ring : int64_t(kv.pages) * kPageRows) * kv.row_bytes();
  keys_ = kernels.gpu().create_buffer("keys of layer " + std::to_string(index), cache_bytes);
  values_ = kernels.gpu().create_buffer("values of layer " + std::to_string(index), cache_bytes);

  qkv_ = Matmul(
      kernels, activations, weights.qkv, {&activations.residual, stride}, {&activations.qkv, qkv_stride, true},
      {.gain = description.is_post_norm ? nullptr : &weights.attention_norm, .epsilon = description.norm_epsilon},
      gpu_weights.nothing);

  Prelude cache = kernels.prelude();
  cache.cache(kv.type)
      .set("HEADS", heads)
      .set("KV_HEADS", kv_heads)
      .set("HEAD_DIM", head_dim)
      .set("QKV_STRIDE", qkv_stride)
      .set("RING", ring)
      .set("PAGES_PER_SLOT", kv.pages)
      .set("PAGE_ROWS", kPageRows)
      .set("THREADS", kThreads);
  Prelude input = cache;
  input.set("HAS_ROPE", layer.has_rope).set("ROPE_LOW", kRopeLow).set("EPSILON", description.norm_epsilon);
  heads_ = kernels.make("attention_input", input,
                        {read(weights.head_norms), read(activations.rope), read(activations.step),
                         read(activations.pages), write(activations.qkv), write(keys_), write(values_)},
                        uint32_t(heads + 2 * kv_heads));

  const auto make = [&](int parts, const Buffer& partial, Op& attend, Op& reduce) {
    Prelude prelude = cache;
    prelude.set("WINDOW", layer.window)
        .set("PARTS", parts)
        .set("MIN_PART_BLOCKS", kMinPartBlocks)
        .set("SCORE_SCALE", 1.0f / std::sqrt(float(head_dim)))
        .set("DIMS_PER_THREAD", ceil_div(head_dim, kThreads));
    attend = kernels.make("attention", prelude,
                          {read(activations.qkv), read(keys_), read(values_), read(activations.step),
                           read(activations.pages), write(partial)},
                          uint32_t(heads));
    prelude = kernels.prelude();
    prelude.set("HEADS", heads)
        .set("HEAD_DIM", head_dim)
        .set("WINDOW", layer.window)
        .set("PARTS", parts)
        .set("KEY_BLOCK", kThreads)
        .set("MIN_PART_BLOCKS", kMinPartBlocks)
        .set("ATTENDED_STRIDE", attended_stride);
    reduce = kernels.make("attention_reduce", prelude,
                          {read(partial), read(activations.step), write(activations.attended)}, uint32_t(heads));
  };
  make(kAttentionParts, activations.few_parts, attend_few_, reduce_few_);
  if (plan.options.prefill_chunk > kSmallRows) make(1, activations.many_parts, attend_many_, reduce_many_);
}

void Attention::run_input(const KernelSet& kernels, int rows) const {
  qkv_.run(kernels, rows);
  kernels.run(heads_, rows);
}

void Attention::run(const KernelSet& kernels, int rows, int longest) const {
  if (rows > kSmallRows) {
    kernels.run(attend_many_, rows);
    kernels.run(reduce_many_, rows);
    return;
  }
  if (window_) longest = std::min(longest, window_);
  const uint32_t parts = std::min<uint32_t>(kAttentionParts, ceil_div(longest, kThreads * kMinPartBlocks));
  kernels.run(attend_few_, rows, parts);
  kernels.run(reduce_few_, rows);
}

}  // namespace kexa
